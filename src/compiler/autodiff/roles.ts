// The roles of weights that optimisers treat in a way of their own: tables, heads, routers, predictors. They follow
// from the values that a training step computes, not from names.
import { addTo } from "../../ground/base/collections.js";
import { equalSizes } from "../../ground/size/size.js";
import { reachable, rootsOf } from "../../language/check/model/model-values.js";
import type { LogicalType, Model, Value } from "../../language/check/model/model.js";
import { operations } from "../../language/check/model/operations.js";
import { isOp } from "../../language/check/model/types.js";

/**
 * - `table`: rows of it are looked up, also if it is multiplied elsewhere (tied output projections);
 * - `router`: it affects only the scores of choices of tokens or experts, and what is made of these scores;
 * - `predictor`: it affects only the logits that learn the mask of a route;
 * - `head`: a product reads it, and no product with a weight reads that result: the output projection.
 */
export type WeightRole = "table" | "router" | "predictor" | "head";

/** The role of each weight that has one, by its path, for the objective in phase train. */
export function rolesOf(model: Model): ReadonlyMap<string, WeightRole> {
  const values = reachable(rootsOf(model));
  const users = usersOf(values);
  const [scores, predictions] = [values.flatMap(scoreOf), values.flatMap(predictionOf)];
  const products = productsOf(values);
  const only = (seeds: readonly Value[]): ReadonlySet<Value> => affectingOnly(seeds, values, users, products.projected);
  const [routing, predicting, both] = [only(scores), only(predictions), only([...scores, ...predictions])];
  const last = lastProducts(values, users, products);
  const weights = new Map<string, Value[]>();
  for (const v of values) if (isOp(v, "weight")) addTo(weights, v.attrs.path, v);
  return new Map(
    [...weights].flatMap(([path, own]): [string, WeightRole][] => {
      const within = (set: ReadonlySet<Value>): boolean => own.every((v) => set.has(v));
      const readers = own.flatMap((v) => users.get(v) ?? []);
      if (readers.some((v) => isOp(v, "gather") && own.some((w) => v.inputs[0] === w))) return [[path, "table"]];
      if (within(routing)) return [[path, "router"]];
      if (within(predicting)) return [[path, "predictor"]];
      if (within(both)) return [[path, "router"]];
      return within(last) ? [[path, "head"]] : [];
    }),
  );
}

/** The values that read each value, without those that read only its shape. */
function usersOf(values: readonly Value[]): ReadonlyMap<Value, readonly Value[]> {
  const users = new Map<Value, Value[]>(values.map((v) => [v, []]));
  for (const v of values) if (!operations[v.op].measures) for (const input of v.inputs) users.get(input)!.push(v);
  return users;
}

/** The score or mask that a value chooses by. */
function scoreOf(value: Value): readonly Value[] {
  const chooses =
    operations[value.op].kind === "choice" || ["top_entries", "top_tokens", "those_entries"].includes(value.op);
  return chooses ? value.inputs.slice(0, 1) : [];
}

/** The logits of a loss whose targets are the mask of a route. */
const predictionOf = (value: Value): readonly Value[] =>
  isOp(value, "bce") && value.inputs[1]?.op === "mask" ? value.inputs.slice(0, 1) : [];

/**
 * The seeds, the values of the same elements that they are computed from (`softmax(logits)`), whatever else reads
 * these, and every value that only affects such values. A seed may also be a part of a projection (`logits[..., 1]`).
 */
function affectingOnly(
  seeds: readonly Value[],
  values: readonly Value[],
  users: ReadonlyMap<Value, readonly Value[]>,
  projected: ReadonlySet<Value>,
): ReadonlySet<Value> {
  const follows = (v: Value, input: Value): boolean =>
    sameElements(v, input) || ((v.op === "slice" || isOp(v, "reduce")) && projected.has(input));
  const set = new Set(reachable(seeds, (v) => v.inputs.filter((input) => follows(v, input))));
  for (const v of values.toReversed()) {
    const readers = users.get(v)!;
    if (readers.length > 0 && readers.every((reader) => set.has(reader))) set.add(v);
  }
  return set;
}

/** Whether each element of a value belongs to one element of its input. */
function sameElements(value: Value, input: Value): boolean {
  if (["reshape", "permute", "take"].includes(value.op)) return value.inputs[0] === input;
  const { kind } = operations[value.op];
  return (
    (kind === "elementwise" || ["softmax", "slice", "stop_gradient"].includes(value.op)) &&
    equalLong(value.type, input.type)
  );
}

/** Whether two shapes are equal up to dimensions of one element. */
function equalLong(a: LogicalType, b: LogicalType): boolean {
  const [m, n] = [a, b].map(({ shape }) => shape.filter((size) => size !== 1));
  return m!.length === n!.length && m!.every((size, i) => equalSizes(size, n![i]!));
}

interface Products {
  /** The weights, and values computed from weights alone. */
  readonly weights: ReadonlySet<Value>;
  readonly multiplies: (value: Value) => boolean;
  /** Products with a weight, and what is computed from them element by element, without another value that varies. */
  readonly projected: ReadonlySet<Value>;
}

function productsOf(values: readonly Value[]): Products {
  const [weights, fixed, projected] = [new Set<Value>(), new Set<Value>(), new Set<Value>()];
  const multiplies = (v: Value): boolean =>
    v.op === "matmul" && !weights.has(v) && v.inputs.some((input) => weights.has(input));
  for (const v of values) {
    const variable = v.inputs.filter((input) => input.op !== "number" && input.op !== "live");
    const { kind, measures } = operations[v.op];
    if (v.op === "weight" || (variable.length > 0 && variable.every((input) => weights.has(input)))) weights.add(v);
    if (v.op !== "input" && (measures || v.inputs.every((input) => fixed.has(input)))) fixed.add(v);
    const keeps = kind === "elementwise" || kind === "structure" || v.op === "softmax" || v.op === "take";
    const moved = v.inputs.filter((input) => !fixed.has(input) && operations[input.op].kind !== "choice");
    if (multiplies(v) || (keeps && moved.length > 0 && moved.every((input) => projected.has(input)))) projected.add(v);
  }
  return { weights, multiplies, projected };
}

/** The weights, and values of weights alone, whose products no product with a weight reads. */
function lastProducts(
  values: readonly Value[],
  users: ReadonlyMap<Value, readonly Value[]>,
  { weights, multiplies }: Products,
): ReadonlySet<Value> {
  /** Values that a product with a weight reads, directly or not. */
  const read = new Set<Value>();
  const last = new Set<Value>();
  for (const v of values.toReversed()) {
    const readers = users.get(v)!;
    if (!weights.has(v)) {
      if (readers.some((reader) => read.has(reader) || multiplies(reader))) read.add(v);
    } else if (readers.length > 0) {
      const ends = (reader: Value): boolean =>
        weights.has(reader) ? last.has(reader) : multiplies(reader) && !read.has(reader);
      if (readers.every(ends)) last.add(v);
    }
  }
  return last;
}
