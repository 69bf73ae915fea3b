// Random values, keyed by seed, stream, position and channel (`size/philox.ts`), and independent of the batch. The
// channel of an element is its row-major index among the dimensions other than packed rows and batch. The position of
// an element is its row's position in the model's input; 0 without a packed dimension.
import { countOf } from "../../ground/base/collections.js";
import { inferContext, packedAxis, printShape } from "../ir/typing.js";
import { normalOf, philox, RANDOM_KEY, uniformOf, type Words } from "../../ground/numerics/philox.js";
import { atomsOf, equalSizes, type Size } from "../../ground/size/size.js";
import type { EvaluateContext, InferContext, OpDef, OpTable, Tensor } from "./define.js";
import { arity, costPerResult, expectPacked, expectType, mismatch, rowsType } from "./shapes.js";
import { at, shapeOf, stridesOf, tensor, walk } from "./tensors.js";

type Random = OpDef<"random_uniform" | "random_normal">;

const random = (doc: string, from: (words: Words) => number): Random => ({
  doc,
  infer(inputs, { shape, dim, stream }, context) {
    arity(inputs, dim === null ? 1 : 2);
    expectType(inputs, 0, "u32", []);
    if (dim !== null) expectType(inputs, 1, "u32", rowsType(expectPacked(shape, dim)).shape);
    shape.forEach((size, d) => {
      if (d !== dim) expectChannels(shape, size, d === 0, context);
    });
    if (stream !== stream >>> 0) mismatch(`the stream must be a u32, found ${stream}`);
    return [{ dtype: "f32", shape }];
  },
  // Nominal: ten rounds of two multiplications and four other integer operations.
  cost: costPerResult(60),
  evaluate: (inputs, attrs, context) => [generate(inputs, attrs, context, from)],
  // A row is determined by its position, so any subset of rows can be generated.
  rows: ({ attrs }, dim) => (attrs.dim === dim ? [null, 0] : null),
  tokens: "own",
  columns: null,
  saved: "again",
  grad: null,
  lower: { kind: "kernel" },
});

/**
 * The channel number must not depend on the batch's other sequences: only the first dimension, whose extent does not
 * enter the channel number, may be the longest sequence.
 */
function expectChannels(shape: readonly Size[], size: Size, first: boolean, context: InferContext): void {
  if (packedAxis(size) !== null)
    mismatch(`dimension of packed rows in ${printShape(shape)} must be the one named by dim`);
  if (first) return;
  for (const atom of atomsOf(size))
    if (atom.kind !== "axis" || context.axis(atom.axis).role === "sequence")
      mismatch(`random values of ${printShape(shape)} would depend on the length of other sequences`);
}

function generate(
  inputs: readonly Tensor[],
  { shape, dim, stream }: { readonly shape: readonly Size[]; readonly dim: number | null; readonly stream: number },
  context: EvaluateContext,
  from: (words: Words) => number,
): Tensor {
  const seed = at(inputs, 0).data[0]!;
  const positions = dim === null ? null : at(inputs, 1).data;
  const out = tensor("f32", shapeOf(shape, context));
  const { rowStep, channelSteps } = stepsOf(shape, out.shape, dim, context);
  // Two walks in the same order compute the row index and the channel of each element.
  const rows = new Int32Array(countOf(out.shape));
  walk(out.shape, rowStep, (i, row) => {
    rows[i] = row;
  });
  walk(out.shape, channelSteps, (i, channel) => {
    const position = positions ? positions[rows[i]!]! : 0;
    out.data[i] = from(philox([position, channel, stream, 0], [seed, RANDOM_KEY]));
  });
  return out;
}

/** The stride of each dimension in row indices and in channels. */
function stepsOf(shape: readonly Size[], numbers: readonly number[], dim: number | null, context: EvaluateContext) {
  const { batch } = inferContext(context.axes);
  const skipped = shape.map((s, d) => d === dim || (batch !== 1 && equalSizes(s, batch)));
  const strides = stridesOf(numbers.map((n, d) => (skipped[d] ? 1 : n)));
  return { rowStep: shape.map((_, d) => Number(d === dim)), channelSteps: strides.map((s, d) => (skipped[d] ? 0 : s)) };
}

/** Records of random values. */
export const randoms: Pick<OpTable, "random_uniform" | "random_normal"> = {
  random_uniform: random("uniform in [0, 1)", uniformOf),
  random_normal: random("standard normal", normalOf),
};
