// The routes of a loop over experts: finds the choice and entry of each route, and merges per-entry values into one
// tensor for all entries.
import type {
  EntryChoice,
  LogicalAttrs,
  LogicalOp,
  LogicalType,
  Route,
  Value,
} from "../../language/check/model/model.js";
import { isOp, typeOf, type AxisLookup } from "../../language/check/model/types.js";
import { attrsKey } from "../ir/key.js";
import { declaredShare } from "../../ground/size/count-rules.js";
import type { Rational } from "../../ground/numerics/rational.js";
import { equalSizes, printSize, type Size } from "../../ground/size/size.js";

/** Adds an operation to the model, at the source place of the value `like`. */
export type EmitValue = <K extends LogicalOp>(
  op: K,
  inputs: readonly Value[],
  attrs: LogicalAttrs[K],
  type: LogicalType,
  like?: Value,
) => Value<K>;

/** Numbers values so that two have one number exactly if they are the same operation on the same values. */
export class Numbering {
  readonly #numbers = new Map<Value, number>();
  readonly #known = new Map<string, number>();

  /** `values`: all values of a model, inputs before their readers. */
  constructor(values: readonly Value[]) {
    for (const value of values) {
      const { op, inputs, attrs, type } = value;
      const shape = type.shape.map(printSize).join();
      const key = `${op} ${attrsKey(attrs)} ${inputs.map((v) => this.#numbers.get(v)).join()} ${type.dtype}[${shape}]`;
      let number = this.#known.get(key);
      if (number === undefined) this.#known.set(key, (number = this.#known.size));
      this.#numbers.set(value, number);
    }
  }

  areSame(a: Value, b: Value): boolean {
    const number = this.#numbers.get(a);
    return a === b || (number !== undefined && number === this.#numbers.get(b));
  }
}

/** A route with the tokens that chose an entry, or with the tokens for which one of several masks holds. */
export interface EntryRoute {
  readonly route: Route;
  readonly entry: number;
}

/** The origin of a route's choice. */
export type Source =
  /** A choice in the program. */
  | { readonly kind: "choice"; readonly choice: EntryChoice }
  /** The argmax of these probabilities. */
  | { readonly kind: "largest"; readonly of: Value }
  /** Masks, one for each entry; each route is made from one mask. */
  | { readonly kind: "mask"; readonly expected: Rational };

interface EntrySource {
  readonly source: Source;
  readonly entry: number;
}

/** The choice that the route comes from, and its entry there; null for any other route. */
export function sourceOf(route: Route, axes: AxisLookup): EntrySource | null {
  if (isOp(route, "top")) return null;
  return (isOp(route, "those") ? choiceSource(route.inputs[0]!) : null) ?? maskSource(route, axes);
}

function choiceSource(mask: Value): EntrySource | null {
  const column = columnOf(mask);
  const choice = column && isOp(column.of, "entry_mask") ? column.of.inputs[0] : undefined;
  if (column && choice && (isOp(choice, "top_entries") || isOp(choice, "those_entries")))
    return { source: { kind: "choice", choice }, entry: column.entry };
  return argmaxSource(mask);
}

/** A mask, or a score above a threshold, computed from one column of a tensor or of several tensors. */
function maskSource(route: Route, axes: AxisLookup): EntrySource | null {
  const axis = axes.axis(route.attrs.axis);
  const expected = axis.role === "sequence" ? declaredShare(axis.count) : null;
  const column = columnBehind(route);
  return column && expected ? { source: { kind: "mask", expected }, entry: column.entry } : null;
}

/** The number of entries among which the route's mask is a column. */
export const amongOf = (route: Route): Size | null => columnBehind(route)?.of.type.shape[2] ?? null;

/** The first column of a tensor [B, T, E] from which a route's mask or score is computed, element by element. */
function columnBehind(route: Route): Column | null {
  const seen = new Set(route.inputs);
  for (const value of seen) {
    const column = columnOf(value);
    if (column) return column;
    const isOneEach = value.type.shape.length >= 2 && value.type.shape.slice(2).every((size) => size === 1);
    if (isOneEach && isOfElements(value)) for (const input of value.inputs) seen.add(input);
  }
  return null;
}

/** Merges the masks of routes into one mask for all entries, [B, T, E]; null if the routes' masks do not fit. */
export function maskOfAll(
  routes: readonly EntryRoute[],
  among: Size,
  numbering: Numbering,
  emit: EmitValue,
): Value | null {
  const [first] = routes;
  if (!first || routes.some(({ route }) => route.op !== first.route.op)) return null;
  const entries = routes.map((r) => r.entry);
  const all = first.route.inputs.map((input, i) => {
    const operands = routes.map(({ route }) => route.inputs[i]!);
    return operands.every((v) => numbering.areSame(v, input))
      ? forAllEntries(input, emit)
      : mergedOverEntries(operands, entries, among, numbering, emit);
  });
  const [score, threshold] = all;
  if (!score || first.route.op === "those") return score ?? null;
  const { shape } = score.type;
  return threshold ? emit("pointwise", [score, threshold], { fn: "gt" }, typeOf("bool", shape)) : null;
}

/**
 * Matches argmax(p) == e for a softmax p. A NaN among its inputs makes all of p NaN, so that both `argmax` and `top`
 * take the first entry. For other values, `argmax` and `top` would differ if only some are NaN.
 */
function argmaxSource(mask: Value): EntrySource | null {
  if (!isOp(mask, "pointwise") || mask.attrs.fn !== "eq") return null;
  for (const [index, number] of [mask.inputs, mask.inputs.toReversed()]) {
    const largest = index && behindReshapes(index);
    const of = largest?.inputs[0];
    if (!number || !isOp(number, "number") || !largest || !isOp(largest, "reduce") || !of || !isOp(of, "softmax"))
      continue;
    const last = of.type.shape.length - 1;
    const { fn, axes } = largest.attrs;
    if (fn === "argmax" && axes.length === 1 && axes[0] === last && of.attrs.axis === last && last === 2)
      return { source: { kind: "largest", of }, entry: number.attrs.value };
  }
  return null;
}

function behindReshapes(value: Value): Value {
  let at = value;
  while (isOp(at, "reshape")) at = at.inputs[0]!;
  return at;
}

/** x[…, e] of a tensor x[B, T, E]. */
interface Column {
  readonly of: Value;
  readonly entry: number;
}

/** The column that a value [B, T] or [B, T, 1] equals; null for any other value. */
function columnOf(value: Value): Column | null {
  const sliced = behindReshapes(value);
  if (!isOp(sliced, "slice")) return null;
  const of = sliced.inputs[0]!;
  const { axis, start, stop } = sliced.attrs;
  const [batch, tokens, ...more] = value.type.shape;
  const fits =
    of.type.shape.length === 3 &&
    axis === 2 &&
    stop === start + 1 &&
    equalSizes(batch ?? 0, of.type.shape[0]!) &&
    equalSizes(tokens ?? 0, of.type.shape[1]!) &&
    more.every((size) => size === 1);
  return fits ? { of, entry: start } : null;
}

/**
 * A tensor [B, T, E] that holds values [B, T] of several entries, each in its entry's column. The values must be
 * columns of one tensor, or the same function of such columns; otherwise null.
 */
export function mergedOverEntries(
  values: readonly Value[],
  entries: readonly number[],
  among: Size,
  numbering: Numbering,
  emit: EmitValue,
): Value | null {
  const [first] = values;
  if (!first) return null;
  const [batch, tokens] = first.type.shape;
  const columns = values.map(columnOf);
  const [column] = columns;
  if (column && columns.every((c, i) => c && numbering.areSame(c.of, column.of) && c.entry === entries[i]))
    return equalSizes(column.of.type.shape[2]!, among) ? column.of : null;
  if (!isOfElements(first)) return null;
  if (first.type.shape.slice(2).some((size) => size !== 1)) return null;
  const alike = values.every(
    (v) =>
      v.op === first.op &&
      v.inputs.length === first.inputs.length &&
      attrsKey(v.attrs) === attrsKey(first.attrs) &&
      v.type.dtype === first.type.dtype &&
      v.type.shape.length === first.type.shape.length,
  );
  if (!alike) return null;
  const inputs: Value[] = [];
  for (const [i, input] of first.inputs.entries()) {
    const { shape } = input.type;
    const operands = values.map((v) => v.inputs[i]!);
    const merged = operands.every((v) => numbering.areSame(v, input))
      ? forAllEntries(input, emit)
      : shape.length >= 2 && equalSizes(shape[0]!, batch!) && equalSizes(shape[1]!, tokens!)
        ? mergedOverEntries(operands, entries, among, numbering, emit)
        : null;
    if (!merged) return null;
    inputs.push(merged);
  }
  if (isOp(first, "reshape")) return inputs[0]!;
  return emit(first.op, inputs, first.attrs, typeOf(first.type.dtype, [batch!, tokens!, among]));
}

const isOfElements = (value: Value): boolean =>
  isOp(value, "pointwise") || isOp(value, "powi") || isOp(value, "cast") || isOp(value, "reshape");

/** Reshapes a value [B, T], or a number, to broadcast over the entries. */
function forAllEntries(value: Value, emit: EmitValue): Value | null {
  const { dtype, shape } = value.type;
  if (shape.length === 0 || (shape.length === 3 && shape[2] === 1)) return value;
  return shape.length === 2 ? emit("reshape", [value], {}, typeOf(dtype, [...shape, 1])) : null;
}
