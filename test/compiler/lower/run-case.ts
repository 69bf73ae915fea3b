// Runs a model by the reference evaluator and by the oracle, sequence by sequence, on the same random inputs.
import type { Model, Value } from "../../../src/language/check/model/model.js";
import { lower } from "../../../src/compiler/lower/lower.js";
import { optimize } from "../../../src/compiler/passes/index.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { evaluateSize } from "../../../src/ground/size/size.js";
import { toNumber, type Rational } from "../../../src/ground/numerics/rational.js";
import { oracle } from "./oracle.js";
import type { Arr } from "./oracle-elements.js";

/** A small generator of reproducible numbers (Marsaglia's xorshift32). */
export function randoms(seed: number): () => number {
  let state = (seed * 2654435761) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state = (state ^ (state << 5)) >>> 0;
    return state / 2 ** 32;
  };
}

const count = (shape: readonly number[]): number => shape.reduce((n, s) => n * s, 1);

export interface Feed {
  readonly inputs: ReadonlyMap<string, Arr>;
  readonly weights: ReadonlyMap<string, Arr>;
}

/** Random inputs and weights, whole numbers below `below` for integers. */
export function feed(
  model: Model,
  extents: ReadonlyMap<string, number>,
  seed: number,
  below: (name: string) => number = () => 5,
): Feed {
  const random = randoms(seed);
  const number = (dtype: string, name: string): number =>
    dtype === "f32" || dtype === "f16" ? random() * 2 - 1 : Math.floor(random() * (dtype === "bool" ? 2 : below(name)));
  const inputs = model.inputs.map(({ name, type }) => {
    const shape = type.shape.map((s) =>
      toNumber(evaluateSize(s, (a) => (a.kind === "axis" ? extents.get(a.axis)! : NaN))),
    );
    return [name, { shape, data: Array.from({ length: count(shape) }, () => number(type.dtype, name)) }] as const;
  });
  // Weights are about 1/√n, as after initialization, so that values keep their size through the layers.
  const weights = model.weights.map(
    ({ path, shape, dtype }) =>
      [
        path,
        { shape, data: Array.from({ length: count(shape) }, () => number(dtype, path) / Math.sqrt(shape.at(-1) ?? 1)) },
      ] as const,
  );
  return { inputs: new Map(inputs), weights: new Map(weights) };
}

/** Selects a sequence's part of an input. */
function ofSequence(model: Model, name: string, value: Arr, b: number, lengths: ReadonlyMap<string, number>): Arr {
  const { type } = model.inputs.find((i) => i.name === name)!;
  const axisAt = (d: number): string | null =>
    typeof type.shape[d] === "number" ? null : (type.shape[d]?.key ?? null);
  const shape = value.shape.map((s, d) => (axisAt(d) === "B" ? 1 : (lengths.get(axisAt(d) ?? "") ?? s)));
  const data: number[] = [];
  const visit = (d: number, offset: number): void => {
    if (d === shape.length) return void data.push(value.data[offset]!);
    for (let i = 0; i < shape[d]!; i++) visit(d + 1, offset * value.shape[d]! + (axisAt(d) === "B" ? b : i));
  };
  visit(0, 0);
  return { shape, data };
}

/** What the oracle says of each output for sequence b. */
export function oracleOf(
  model: Model,
  { inputs, weights }: Feed,
  b: number,
  extents: ReadonlyMap<string, number>,
  live?: ReadonlyMap<string, Rational>,
): (value: Value) => Arr {
  const lengths = new Map([...extents, ["B", 1]]);
  const own = new Map([...inputs].map(([name, value]) => [name, ofSequence(model, name, value, b, lengths)]));
  const values = oracle(model, { inputs: own, weights, extents: lengths, ...(live ? { live } : {}) });
  return (value) => values.get(value)!;
}

/**
 * Compares every output of the lowered and of the optimized graph with the oracle; gives the largest difference,
 * relative where values are large; Infinity for NaN and missing elements.
 */
export function largestDifference(
  model: Model,
  extents: ReadonlyMap<string, number>,
  lengths: readonly number[] | null,
  seed: number,
  { below, live }: { below?: (name: string) => number; live?: ReadonlyMap<string, Rational> } = {},
): number {
  const fed = feed(model, extents, seed, below);
  const graph = lower(model);
  const options = {
    inputs: fed.inputs,
    weights: fed.weights,
    ...(lengths ? { lengths } : {}),
    ...(live ? { live } : {}),
  };
  const runs = [evaluate(graph, options), evaluate(optimize(graph, { verify: true }), options)];
  const batch = extents.get("B")!;
  let worst = 0;
  for (let b = 0; b < batch; b++) {
    const expected = oracleOf(model, fed, b, new Map([...extents, ["T", lengths?.[b] ?? extents.get("T")!]]), live);
    for (const { name, value } of model.outputs)
      for (const { outputs } of runs)
        worst = Math.max(worst, difference(outputs.get(name)!, expected(value), value, b));
  }
  return worst;
}

/** The largest difference between sequence b's part of a batched result and its own result; padding must be 0. */
function difference(
  batched: { readonly shape: readonly number[]; readonly data: ArrayLike<number> },
  own: Arr,
  value: Value,
  b: number,
): number {
  const hasBatch =
    value.type.shape[0] !== undefined && typeof value.type.shape[0] !== "number" && value.type.shape[0].key === "B";
  let worst = 0;
  const visit = (d: number, offset: number, ownOffset: number, inside: boolean): void => {
    if (d === own.shape.length) {
      const found = batched.data[offset]!;
      const wanted = inside ? own.data[ownOffset]! : 0;
      const gap = Math.abs(found - wanted) / (1 + Math.abs(wanted));
      if (!(gap <= worst)) worst = Number.isNaN(gap) ? Infinity : gap;
      return;
    }
    if (d === 0 && hasBatch) return visit(1, b, 0, inside);
    for (let i = 0; i < batched.shape[d]!; i++)
      visit(d + 1, offset * batched.shape[d]! + i, ownOffset * own.shape[d]! + i, inside && i < own.shape[d]!);
    if (batched.shape[d]! < own.shape[d]!) worst = Infinity;
  };
  visit(0, 0, 0, true);
  return worst;
}
