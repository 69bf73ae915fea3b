// Reads, writes and reruns reproduction files: the smallest graph that shows a fault, as text, with its inputs and
// weights.
import { countOf } from "../../ground/base/collections.js";
import { ModcError, type FaultOptions } from "../../ground/base/errors.js";
import { isOp, nodesOf, type Graph, typeOf } from "../../compiler/ir/graph.js";
import { parseGraph } from "../../compiler/ir/parse.js";
import { printGraph } from "../../compiler/ir/print.js";
import { ops } from "../../compiler/ops/index.js";
import { isDType, isFloat, type DType } from "../../ground/base/dtype.js";
import type { Lengths } from "../../ground/size/lengths.js";
import { type RunInputs, largestDifference } from "./compare.js";
import { type Weights, evaluateGraph, type Machine } from "./machine.js";
import type { Part } from "./extract.js";
import type { Pass } from "../../compiler/passes/index.js";
import { OPERATOR_ALLOWED, trial } from "./operators.js";
import { PASS_TOLERANCE } from "./passes.js";

interface Reproduction {
  /** The results that differ from the reference: those of a pass, in f64, or those of a kernel on a device. */
  readonly fault: { readonly kind: "pass" | "kernel"; readonly name: string };
  readonly graph: Graph;
  readonly given: RunInputs;
  readonly weights: Weights;
}

/** The file is not a reproduction that modc can read. */
class ReproductionError extends ModcError<"reproduction"> {
  override readonly name = "ReproductionError";

  constructor(message: string, options: FaultOptions = {}) {
    super("reproduction", message, options);
  }
}

/** A tensor in the file: 32-bit words, little endian, in base64. */
interface StoredTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly base64: string;
}

const FORMAT = "modc reproduction 1";

/** The text of the file, as JSON, without weights that the part does not read. */
export function printReproduction(fault: Reproduction["fault"], { graph, given }: Part, weights: Weights): string {
  const types = new Map(graph.inputs.map((i) => [i.name, i.node.attrs.dtype]));
  const read = new Map(
    nodesOf(graph).flatMap((n) => (isOp(n, "weight") ? [[n.attrs.path, typeOf(n).dtype] as const] : [])),
  );
  return `${JSON.stringify(
    {
      format: FORMAT,
      fault,
      graph: printGraph(graph).trimEnd().split("\n"),
      lengths: given.lengths,
      inputs: Object.fromEntries([...given.inputs].map(([name, v]) => [name, stored(types.get(name)!, v)])),
      weights: Object.fromEntries(
        [...weights].flatMap(([path, v]) => (read.has(path) ? [[path, stored(read.get(path)!, v)]] : [])),
      ),
    },
    null,
    1,
  )}\n`;
}

function stored(
  dtype: DType,
  { shape, data }: { readonly shape: readonly number[]; readonly data: ArrayLike<number> },
): StoredTensor {
  const bytes = new Uint8Array(4 * data.length);
  const view = new DataView(bytes.buffer);
  const float = isFloat(dtype);
  for (let i = 0; i < data.length; i++)
    if (float) view.setFloat32(4 * i, data[i]!, true);
    else view.setUint32(4 * i, data[i]! >>> 0, true);
  let text = "";
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return { dtype, shape, base64: btoa(text) };
}

/** Whether a value is a list of lengths, or such lists by the names of axes. */
const areLengths = (value: unknown): value is Lengths =>
  isListOfLengths(value) ||
  (typeof value === "object" && value !== null && Object.values(value).every(isListOfLengths));
const isListOfLengths = (value: unknown): boolean =>
  Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);

/** Reads the text of a file. Throws ReproductionError for any other text. */
export function parseReproduction(text: string): Reproduction {
  try {
    const { format, fault, graph, lengths, inputs, weights } = record(JSON.parse(text));
    if (format !== FORMAT)
      throw new SyntaxError(`its format is ${JSON.stringify(format)}, not ${JSON.stringify(FORMAT)}`);
    const { kind, name } = record(fault);
    if ((kind !== "pass" && kind !== "kernel") || typeof name !== "string")
      throw new SyntaxError("its fault is neither in a pass nor in a kernel");
    if (!Array.isArray(graph) || !graph.every((line) => typeof line === "string"))
      throw new SyntaxError("its graph is not a list of lines");
    if (lengths !== null && !areLengths(lengths)) throw new SyntaxError("its lengths are not numbers");
    return {
      fault: { kind, name },
      graph: parseGraph(`${graph.join("\n")}\n`, ops),
      given: { inputs: tensors(inputs), lengths },
      weights: tensors(weights),
    };
  } catch (cause) {
    throw new ReproductionError(
      `it is not a reproduction that modc can read: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new SyntaxError("an object is missing");
  return value as Readonly<Record<string, unknown>>; // just checked
}

function tensors(
  value: unknown,
): ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array | Uint32Array | Int32Array }> {
  return new Map(
    Object.entries(record(value)).map(([name, entry]) => {
      const { dtype, shape, base64 } = record(entry);
      if (!Array.isArray(shape) || !shape.every((n): n is number => Number.isSafeInteger(n) && n >= 0))
        throw new SyntaxError(`${name} has no shape`);
      if (typeof base64 !== "string" || !isDType(dtype)) throw new SyntaxError(`${name} has no values`);
      const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
      if (bytes.length !== 4 * countOf(shape))
        throw new SyntaxError(`${name} has ${bytes.length} bytes for [${shape.join(", ")}]`);
      const view = new DataView(bytes.buffer);
      const words = Array.from({ length: bytes.length / 4 }, (_, i) =>
        isFloat(dtype)
          ? view.getFloat32(4 * i, true)
          : dtype === "i32"
            ? view.getInt32(4 * i, true)
            : view.getUint32(4 * i, true),
      );
      const data = isFloat(dtype)
        ? Float32Array.from(words)
        : dtype === "i32"
          ? Int32Array.from(words)
          : Uint32Array.from(words);
      return [name, { shape, data }];
    }),
  );
}

/** The difference, in words; null if there is none. */
export async function checkReproduction(
  machine: Machine,
  { fault, graph, given, weights }: Reproduction,
  passes: readonly Pass[],
): Promise<string | null> {
  if (fault.kind === "kernel") {
    const { verdict } = await trial(machine, { graph, given }, weights, OPERATOR_ALLOWED);
    return verdict.agrees ? null : verdict.faults.join("; ");
  }
  const pass = passes.find((p) => p.name === fault.name);
  if (!pass) throw new ReproductionError(`there is no pass ${fault.name}: another version of modc wrote the file`);
  const [before, after] = [graph, pass.run(graph, null)].map((g) => evaluateGraph(g, given, weights).outputs);
  const worst = [...before!]
    .map(([name, { data }]) => [name, largestDifference(after!.get(name)!.data, data)] as const)
    .find(([, d]) => !(d <= PASS_TOLERANCE));
  return worst ? `${worst[0]} differs by ${worst[1].toExponential(1)} of its largest magnitude` : null;
}
