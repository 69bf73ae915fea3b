// Functions of one element for the oracle: their records' meaning, which samples worked by hand hold to.
import type { DType } from "../../../src/ground/base/dtype.js";
import type { PlainPointwiseOp } from "../../../src/compiler/ir/vocabulary.js";
import type { EvaluateContext } from "../../../src/compiler/ops/define.js";
import { ops } from "../../../src/compiler/ops/index.js";
import { tensor } from "../../../src/compiler/ops/tensors.js";
import { resolveSizes } from "../../../src/ground/size/axes.js";

export interface Arr {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

/** Pointwise operators ask nothing of a run. */
const NO_RUN: EvaluateContext = {
  axes: [],
  sizes: resolveSizes([], { extents: new Map(), lengths: new Map(), live: new Map() }),
  live: new Map(),
  seed: 0,
  source: (kind, name) => {
    throw new Error(`${kind} ${name}: a function of elements reads none`);
  },
  forced: () => null,
  forcedEntries: () => null,
};

/** Of operands that broadcast. */
export function applied(op: PlainPointwiseOp, operands: readonly Arr[], dtypes: readonly DType[]): Arr {
  const inputs = operands.map(({ shape, data }, i) => tensor(dtypes[i]!, shape, Float64Array.from(data)));
  const [y] = ops[op].evaluate(inputs, {}, NO_RUN);
  return { shape: y!.shape, data: [...y!.data] };
}

export const product = (shape: readonly number[]): number => shape.reduce((n, s) => n * s, 1);

/** The array of this shape with a value for each index. */
export const arr = (shape: readonly number[], at: (index: readonly number[]) => number): Arr => {
  const data: number[] = [];
  const index = shape.map(() => 0);
  for (let i = 0; i < product(shape); i++) {
    data.push(at(index));
    for (let d = shape.length - 1; d >= 0; d--) {
      if (++index[d]! < shape[d]!) break;
      index[d] = 0;
    }
  }
  return { shape: [...shape], data };
};

export const sum = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0);

/** For each target, log softmax(row of logits)[target]; null if the target is −1. */
export function logProbabilities(logits: Arr, targets: Arr): readonly (number | null)[] {
  const classes = logits.shape.at(-1)!;
  return targets.data.map((target, row) => {
    if (target < 0) return null;
    const line = logits.data.slice(row * classes, (row + 1) * classes);
    const most = Math.max(...line);
    return line[target]! - most - Math.log(sum(line.map((n) => Math.exp(n - most))));
  });
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
/** −t · log sigmoid(z) − (1 − t) · log(1 − sigmoid(z)). */
export const binaryLoss = (z: number, t: number): number =>
  -t * Math.log(sigmoid(z)) - (1 - t) * Math.log(1 - sigmoid(z));

const offset = (shape: readonly number[], index: readonly number[]): number =>
  shape.reduce((n, s, d) => n * s + index[d]!, 0);
/** The element at an index. */
export const get = (a: Arr, index: readonly number[]): number => a.data[offset(a.shape, index)]!;
/** Broadcasting: index aligned from the right, dimensions of one element repeated. */
export const at = (a: Arr, index: readonly number[]): number =>
  get(
    a,
    a.shape.map((s, d) => (s === 1 ? 0 : index[index.length - a.shape.length + d]!)),
  );
/** An index with another value at d. */
export const replaced = (index: readonly number[], d: number, value: number): number[] =>
  index.map((v, i) => (i === d ? value : v));
