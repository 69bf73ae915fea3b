// Prints `index.d.ts` of a built package, with types of the model's inputs and results.
import { generateMember, GENERATION_TYPES, USE_MEMBER } from "./declarations-generation.js";
import type { Programs } from "../../generation/packaged/programs.js";
import type { Program, ProgramInput, ProgramOutput, SizeText } from "../../runtime/program/program.js";
import type { DType } from "../../ground/base/dtype.js";

/** The text of `index.d.ts`. Equal programs give equal text. */
export function declarations({ run, generation, maxBatch }: Programs): string {
  const results = run.outputs.filter((o) => o.role !== "observe");
  const observed = run.outputs.filter((o) => o.role === "observe");
  const live = run.live.map((l) => `    ${propertyOf(l.name)}?: LiveValue;\n`).join("");
  const given = run.axes.filter((a) => a.role !== "sequence" || a.count.kind === "input");
  return `${HEAD}
/** Inputs of \`run\`. */
export interface Inputs {
${run.inputs.map((i) => `  /** ${inputText(i, run)} */\n  readonly ${propertyOf(i.name)}: InputValue;\n`).join("")}}

/** Results of \`run\`. */
export interface Outputs {
${[...results.map((o) => outputText(o, false)), ...observed.map((o) => outputText(o, true))].join("")}}

/** Live parameters: they may change from run to run. */
export interface Live {
${live}}

/** Sizes for which buffers are allocated. */
export interface Max {
${given.map((a) => `  readonly ${a.name}?: number;\n`).join("")}}
${generation === null ? "" : GENERATION_TYPES}${tail(generation !== null, maxBatch)}`;
}

const shapeText = (dtype: DType, shape: readonly SizeText[]): string =>
  shape.length === 0 ? dtype : `${dtype}[${shape.join(", ")}]`;

function inputText({ dtype, shape, least, below }: ProgramInput, { axes }: Program): string {
  const bounds = axes.flatMap((a) =>
    a.bound !== null && shape.some((s) => s === a.name) ? [`${a.name} ≤ ${a.bound}`] : [],
  );
  const range = below === null ? [] : [`whole numbers from ${least} to ${below - 1}`];
  return `${shapeText(dtype, shape)}${[...bounds, ...range].map((t) => `, ${t}`).join("")}.`;
}

function outputText({ name, dtype, shape }: ProgramOutput, observed: boolean): string {
  const note = observed ? ", if `observe` or `outputs` asks for it" : "";
  return (
    `  /** ${shapeText(dtype, shape)}${note}. */\n  readonly ${propertyOf(name)}${observed ? "?" : ""}: ` +
    `Result<${ARRAYS[dtype]}>;\n`
  );
}

const ARRAYS: { readonly [D in DType]: string } = {
  f32: "Float32Array",
  f16: "Float32Array",
  u32: "Uint32Array",
  i32: "Int32Array",
  bool: "Uint8Array",
};

/** The name as a TypeScript property, quoted if it is not an identifier, such as a path with dots. */
const propertyOf = (name: string): string => (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) ? name : JSON.stringify(name));

const HEAD = `// Made by modc build; do not edit.
export type NumberArray =
  | Float32Array | Float64Array | Int8Array | Uint8Array | Uint8ClampedArray | Int16Array | Uint16Array | Int32Array
  | Uint32Array | BigInt64Array | BigUint64Array;
/** Nested arrays, all of one length on each level. */
export type Nested = number | boolean | readonly Nested[];
/** Nested arrays; values one after the other (row-major) with their shape; or, for one dimension, a typed array. */
export type InputValue =
  | Nested
  | NumberArray
  | { readonly data: NumberArray | readonly number[] | readonly boolean[]; readonly shape: readonly number[] };
/** A number, or a ratio such as "12.5%" or "1/8". */
export type LiveValue = number | string;

/** Values of one result, row-major. */
export interface Result<A> {
  readonly dtype: "f32" | "f16" | "u32" | "i32" | "bool";
  readonly shape: readonly number[];
  readonly data: A;
  /** The same as nested arrays; a scalar is a number or boolean. */
  toArray(): Nested;
}
`;

const tail = (generates: boolean, maxBatch: number | undefined): string => `
export interface RunOptions {
  /** Tokens of each sequence, u32[B], 0 to T; by default every sequence has T. */
  readonly lengths?: readonly number[] | Uint32Array | Int32Array;
  readonly live?: Live;
  /** The seed of random values, a u32. */
  readonly seed?: number;
  /** Exactly these results, by name. */
  readonly outputs?: readonly (keyof Outputs & string)[];
  /** Adds observed values: true for all, or a list of names and beginnings of names. */
  readonly observe?: boolean | readonly string[];
  readonly signal?: AbortSignal;
}

export interface LoadProgress {
  /** Bytes of files, kernels compiled, weights on the device. */
  readonly stage: "download" | "kernels" | "weights";
  readonly done: number;
  readonly total: number;
}

export interface LoadOptions {
  /** Your own device. By default the best device: \`navigator.gpu\` in a page, the package \`webgpu\` in Node. */
  readonly device?: GPUDeviceLike;
  /**
   * For a package with activations in f16, in Node on a GPU: states that the driver computes 16-bit floats correctly,
   * as \`modc doctor\` tests. A page, and Node on a software device, need no statement.
   */
  readonly f16?: boolean;
${generates ? USE_MEMBER : ""}  readonly max?: Max;
  readonly live?: Live;
  /** Whether to run the model once on zeros before \`load\` resolves, so that no call waits for kernels. */
  readonly warm?: boolean;
  /**
   * Whether a browser keeps the weights for the next load: at most \`maxBytes\` of all packages of the page's origin,
   * 4 GiB by default. Node reads them from disk.
   */
  readonly cache?: boolean | { readonly maxBytes?: number };
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: LoadProgress) => void;
}

/** A GPUDevice, without a dependency on its types. */
export interface GPUDeviceLike {
  readonly queue: object;
  readonly lost: Promise<unknown>;
  createBuffer(descriptor: never): object;
}

/** The errors of the runtime. */
export interface ModelError extends Error {
  readonly code:
    | "no-device" | "device-lost" | "out-of-memory" | "limit-exceeded" | "kernel-refused" | "unsupported"
    | "bad-input" | "bad-weights" | "disposed"
    | "corrupted" | "download-failed" | "bad-package" | "worker-ended"
    ${generates ? ' | "bad-tokenizer" | "bad-template" | "bad-text" | "bad-token" | "too-slow"' : ""}${
      maxBatch === undefined ? "" : ' | "cache-full"'
    };
  /** A remedy; null if there is no simple one. */
  readonly hint: string | null;
}

/** The model on a device. */
export interface LoadedModel {
  /** Runs the model once. Rejects with a ModelError. */
  run(inputs: Inputs, options?: RunOptions): Promise<Outputs>;
${generates ? generateMember(maxBatch) : ""}  /** The name of the device. */
  readonly device: string;
  /** Resolves when the device is gone, after which \`run\` rejects with the same error: load again. */
  readonly lost: Promise<ModelError>;
  /** Frees its memory on the device, and the device if \`load\` opened it. */
  dispose(): void;
}

export interface Model {
  readonly name: string;
  /** Fetches the files, checks each against its hash, and puts the model on a device. Rejects with a ModelError. */
  load(options?: LoadOptions): Promise<LoadedModel>;
}

declare const model: Model;
export default model;
export declare const load: Model["load"];
`;
