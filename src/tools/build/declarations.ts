// Prints `index.d.ts` of a built package, with types of the model's inputs and results.
import type { Programs } from "../../generation/packaged/programs.js";
import { takesInputs, type Generation } from "../../runtime/program/generation.js";
import type { Program, ProgramInput, ProgramOutput, SizeText } from "../../runtime/program/program.js";
import type { DType } from "../../ground/base/dtype.js";

/** The text of `index.d.ts`. Equal programs give equal text. */
export function declarations({ run, generation, maxBatch }: Programs): string {
  const results = run.outputs.filter((o) => o.role !== "observe");
  const observed = run.outputs.filter((o) => o.role === "observe");
  const live = run.live.map((l) => `    ${propertyOf(l.name)}?: LiveValue;\n`).join("");
  const declared = run.axes.filter((a) => a.role !== "sequence" || a.count.kind === "input");
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
${declared.map((a) => `  readonly ${a.name}?: number;\n`).join("")}}
${generation === null ? "" : generationTypes(generation)}${tail(generation, maxBatch)}`;
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
/** For each sequence its number of tokens. */
export type Lengths = readonly number[] | Uint32Array | Int32Array;
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

const tail = (generation: Generation | null, maxBatch: number | undefined): string => `
export interface RunOptions {
  /**
   * Tokens of each sequence, u32[B], 0 to T, or lists by the names of axes; by default every sequence has all tokens.
   */
  readonly lengths?: Lengths | Readonly<Record<string, Lengths>>;
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
${generation ? USE_MEMBER : ""}  readonly max?: Max;
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
    ${generation ? ' | "bad-tokenizer" | "bad-template" | "bad-text" | "bad-token" | "too-slow"' : ""}${
      maxBatch === undefined ? "" : ' | "cache-full"'
    };
  /** A remedy; null if there is no simple one. */
  readonly hint: string | null;
}

/** The model on a device. */
export interface LoadedModel {
  /** Runs the model once. Rejects with a ModelError. */
  run(inputs: Inputs, options?: RunOptions): Promise<Outputs>;
${generation ? generateMember(takesInputs(generation), maxBatch) : ""}  /** The name of the device. */
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

/** The inputs of `generate` beside the tokens, with the prompts in front, and members of its options. */
function furtherInputs({ given, beside = [], prompt }: Generation): {
  readonly types: string;
  readonly members: string;
} {
  const later = prompt.inputs.filter(({ name }) => beside.includes(name));
  const listed = [
    ...(given?.inputs ?? []).map((input) => [input, inputText(input, given!)] as const),
    ...later.map((input) => [input, inputText(input, prompt)] as const),
  ];
  const axes = (given?.axes ?? []).filter((axis) => axis.role === "sequence" && axis.count.kind === "input");
  const types = `
/** Inputs of \`generate\` beside the tokens. B: one for each prompt. */
export interface GenerationInputs {
${listed.map(([{ name }, text]) => `  /** ${text} */\n  readonly ${propertyOf(name)}: InputValue;\n`).join("")}}
`;
  const members = `  /** Inputs beside the tokens. */
  readonly inputs: GenerationInputs;
${
  axes.length === 0
    ? ""
    : `  /** The length of each input's sequences by axis; by default every sequence has all tokens. */
  readonly lengths?: { ${axes.map(({ name }) => `readonly ${name}?: Lengths`).join("; ")} };
`
}${
    later.length === 0
      ? ""
      : `  /**
   * Returns the inputs of a token that was generated; \`position\` counts from 0 with the prompt. Without it \`inputs\`
   * has the values of all tokens that may be read, as a model in a worker needs: it takes no function.
   */
  readonly next?: (token: number, position: number, sequence: number) => {
${later.map(({ name }) => `    readonly ${propertyOf(name)}: number | readonly number[];\n`).join("")}  };
`
  }`;
  return { types, members };
}

/** The types of `generate`: its options and results. */
function generationTypes(generation: Generation): string {
  const { types, members } = takesInputs(generation) ? furtherInputs(generation) : { types: "", members: "" };
  return `${types}${OPTION_TYPES}${members}${RESULT_TYPES}`;
}

const OPTION_TYPES = `
export interface Message {
  readonly role: string;
  readonly content: string;
}

/** A text, tokens, or the messages of a chat to answer (by the package's chat template). */
export type Prompt = string | ArrayLike<number> | readonly Message[];

export interface SamplingOptions {
  /**
   * Divides the logits; 0 takes the most likely token. Default 0, or 1 if \`topK\`, \`topP\`, \`minP\` or
   * \`seed\` is given.
   */
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  /** Subtracted from the logits of tokens that the generated text has. From −2 to 2. */
  readonly presencePenalty?: number;
  /** Subtracted from a token's logit for each time that the generated text has it. From −2 to 2. */
  readonly frequencyPenalty?: number;
  /** A whole number from 0 to 2^53 − 1. */
  readonly seed?: number;
  /** Added to the logits of tokens; −Infinity: never. */
  readonly logitBias?: ReadonlyMap<number, number> | Readonly<Record<number, number>>;
  /** Whether the log-probability of each token is computed. */
  readonly logprobs?: boolean;
}

export interface GenerateOptions {
`;

const RESULT_TYPES = `  /**
   * How to choose tokens, for all texts or for each. Defaults are the checkpoint's; without them the most likely token
   * is taken.
   */
  readonly sampling?: SamplingOptions | readonly SamplingOptions[];
  /** The most tokens to add to each text. */
  readonly maxTokens?: number;
  /** A string, or several, before which a text ends. */
  readonly stop?: string | readonly string[];
  /** Tokens that end a text. */
  readonly ends?: readonly number[];
  /** Ends the generation: the iterator throws its reason. */
  readonly signal?: AbortSignal;
}

/** A token, and its addition to the text. */
export interface Generated {
  /** The number of its prompt. */
  readonly sequence: number;
  /** Its place among the tokens added to the prompt. */
  readonly index: number;
  readonly token: number;
  /** Whole characters; an incomplete character comes with a later token. */
  readonly text: string;
  /** Natural logarithm of its probability, with \`logprobs\`; else null. */
  readonly logprob: number | null;
  /** The number of layers that computed the previous token; null if it was read with the rest of its prompt. */
  readonly depth: number | null;
  /** Whether the previous token took each route, in the order of the summary; null if \`depth\` is. */
  readonly routes: readonly boolean[] | null;
  /** The reason of the end of its text; null: the text continues. */
  readonly finish: "end" | "stop" | "length" | "context" | null;
}

/** Figures of a generation, at its end. */
export interface GenerationSummary {
  readonly promptTokens: number;
  readonly generatedTokens: number;
  /**
   * Milliseconds: from the call to the first token; the part of them spent compiling kernels; and from the first token
   * to the last, without compiling kernels.
   */
  readonly firstToken: number;
  readonly compiling: number;
  readonly generation: number;
  /** All tokens first, then those that took each route. */
  readonly routes: readonly { readonly path: string; readonly layers: number; readonly tokens: number }[];
  /**
   * Bytes of keys, values and states of recurrences: in use, allocated, and if every layer computed every token.
   */
  readonly cache: { readonly used: number; readonly allocated: number; readonly dense: number };
  /** Mean floating-point operations of a token, and if every layer computed every token. */
  readonly flops: { readonly own: number; readonly dense: number } | null;
}
`;

const TURNS = `A call waits until earlier
   * calls have ended, or their loops were left. Throws a ModelError.`;
const together = (maxBatch: number): string => `Calls may run
   * at the same time, with the same tokens as alone: at most ${maxBatch} texts are generated together, and others
   * wait. Throws a ModelError.`;

/**
 * Members of `LoadedModel`. `inputs`: whether it takes inputs beside the tokens; `maxBatch`: the most sequences that an
 * engine generates at once; undefined without an engine.
 */
const generateMember = (inputs: boolean, maxBatch: number | undefined): string => `  /**
   * Continues a prompt, or each of several: yields tokens as they come, in turn for each text. ${
     maxBatch === undefined ? TURNS : together(maxBatch)
   }
   */
  generate(
    prompt: Prompt | { readonly prompts: readonly Prompt[] },
    options${inputs ? "" : "?"}: GenerateOptions,
  ): AsyncGenerator<Generated, GenerationSummary>;
`;

/** A member of `LoadOptions`. */
const USE_MEMBER = `  /** The use of the model; default: both. */
  readonly use?: "run" | "generate";
`;
