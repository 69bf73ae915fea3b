// Emits a model's operations as nodes, in order; values needed only for the last token are computed for that token
// alone.
import { invariant } from "../../../ground/base/invariant.js";
import type { LogicalOp, Value } from "../../../language/check/model/model.js";
import { reachable } from "../../../language/check/model/model-values.js";
import { axisSize } from "../../../ground/size/size.js";
import { attentionEmitters } from "./attention.js";
import { elementwiseEmitters } from "./elementwise.js";
import { entryEmitters, isPerExpert, sortedAxes, sortedEmitters, unsorted } from "./entries.js";
import type { Name } from "./graph.js";
import { recurrenceEmitters } from "./recurrences.js";
import { reduceEmitters } from "./reduce.js";
import { routeEmitters } from "./routes.js";
import { rounded, type Scope } from "./scope.js";
import { forward, shapeEmitters } from "./shapes.js";

type Emitters = { readonly [K in LogicalOp]: (cx: Scope, value: Value<K>) => Name };

const emitters: Emitters = {
  ...elementwiseEmitters,
  ...shapeEmitters,
  ...reduceEmitters,
  ...routeEmitters,
  ...recurrenceEmitters,
  ...attentionEmitters,
  ...entryEmitters,
  ...sortedEmitters,
  unsort_entries: (cx, value) => unsorted(cx, value, emitValue),
};

function emitValue(cx: Scope, value: Value): Name {
  cx.graph.path = value.path;
  // `emitters[value.op]` accepts exactly this kind of value.
  const emitted = (emitters[value.op] as (cx: Scope, value: Value) => Name)(cx, value);
  return value.type.dtype === "f16" ? rounded(cx, emitted) : emitted;
}

export interface Roots {
  /** Values needed for all tokens. */
  readonly whole: readonly Value[];
  /** Values along this axis needed only at each sequence's last token. */
  readonly last: { readonly axis: string; readonly values: readonly Value[] } | null;
}

export interface Emitted {
  readonly scope: Scope;
  /** The tensor of a wanted value; [B, 1, …] for the last token. */
  readonly whole: (value: Value) => Name;
  readonly last: (value: Value) => Name;
}

/** Emits the wanted values. `base` is a scope that has no values yet. */
export function emitValues(base: Omit<Scope, "get">, { whole, last }: Roots): Emitted {
  const values = reachable([...whole, ...(last?.values ?? [])]);
  const sorted = sortedAxes(values);
  const names = new Map<Value, Name>();
  const scope: Scope = { ...base, get: (value) => nameOf(names, value) };
  const needed =
    last === null
      ? { whole: new Set(values), last: new Set<Value>() }
      : neededOf(base, last.axis, sorted, values, last.values, whole);
  const rows = new Map<Value, Name>();
  const ofLast = last === null ? null : lastScope(scope, last.axis, rows, names);
  for (const value of values) {
    if (isPerExpert(scope, value, sorted)) continue;
    if (needed.whole.has(value)) names.set(value, emitValue(scope, value));
    if (ofLast === null || !needed.last.has(value)) continue;
    rows.set(value, needed.whole.has(value) ? lastOf(scope, value, last!.axis) : emitValue(ofLast(), value));
  }
  return { scope, whole: scope.get, last: (value) => rows.get(value) ?? scope.get(value) };
}

function nameOf(names: ReadonlyMap<Value, Name>, value: Value): Name {
  const name = names.get(value);
  invariant(name !== undefined, `${value.op} of ${value.path} has not been computed`);
  return name;
}

/** The scope in which an axis has only each sequence's last token; created at the first use, when the axis is known. */
function lastScope(
  scope: Scope,
  axis: string,
  lasts: ReadonlyMap<Value, Name>,
  names: ReadonlyMap<Value, Name>,
): () => Scope {
  let scopeOfLast: Scope | null = null;
  return () => {
    if (scopeOfLast) return scopeOfLast;
    const { at, axes, graph } = scope;
    const { counts, length } = axes.rows(axis);
    const positions = axes.positions(axis); // [B or 1, T]
    const last =
      counts === null
        ? at.slice(positions, graph.ints(-1), null, 1)
        : graph.node("GatherElements", [ofAll(scope, positions, axis), lastIndex(scope, axis, counts)], { axis: 1 });
    const rows = at.min(length, graph.ints(1));
    const rowAxes = axes.within(new Map([[axis, { length: rows, counts: null, positions: last }]]));
    return (scopeOfLast = {
      ...scope,
      axes: rowAxes,
      whole: scope,
      get: (value) => lasts.get(value) ?? nameOf(names, value),
    });
  };
}

/** Expands [1, T] to [B, T]. */
function ofAll({ at, axes, graph, model }: Scope, x: Name, axis: string): Name {
  const batch = model.axes.find(({ role }) => role === "batch")!; // tokens belong to sequences
  return graph.node("Expand", [x, at.concat([axes.rows(batch.name).length, axes.rows(axis).length], 0)]);
}

/** i64[B, 1]: the index of each sequence's last token, 0 for an empty sequence. [B, 0] if all sequences are empty. */
function lastIndex({ at, axes, graph }: Scope, axis: string, counts: Name): Name {
  const index = at.unsqueeze(at.max(at.sub(counts, graph.int(1)), graph.int(0)), 1);
  return at.slice(index, graph.ints(0), axes.rows(axis).length, 1);
}

/** Each sequence's last row of a value that was computed for all tokens. */
function lastOf(cx: Scope, value: Value, axis: string): Name {
  const { at, axes, graph } = cx;
  const { shape } = value.type;
  const dim = shape.findIndex((size) => axes.sequenceOf(size) === axis);
  const { counts } = axes.rows(axis);
  graph.path = value.path;
  if (counts === null) return at.slice(cx.get(value), graph.ints(-1), null, dim);
  const [rows, back] = forward(cx, cx.get(value), shape.length, dim);
  return back(at.rows(rows, lastIndex(cx, axis, counts)));
}

/** Whether a value has a dimension along the axis. */
export const isAlong = (value: Value, axis: string): boolean =>
  value.type.shape.some((size) => typeof size !== "number" && size.key === axisSize(axis).key);

// Decides which values of a generating model are needed for all tokens, and which only for the last token. Logits need
// only the last token, and so do their operands in rowwise operations.

export interface Needed {
  readonly whole: ReadonlySet<Value>;
  readonly last: ReadonlySet<Value>;
}

/** `values` ascend by id. `roots` along the axis are needed at the last token; `others` are needed whole. */
function neededOf(
  cx: Pick<Scope, "axes">,
  axis: string,
  sorted: ReadonlySet<string>,
  values: readonly Value[],
  roots: readonly Value[],
  others: readonly Value[],
): Needed {
  const whole = new Set(others);
  const last = new Set<Value>();
  const isAlong = (value: Value): boolean =>
    value.type.shape.some((size) => {
      const rowAxis = cx.axes.sequenceOf(size);
      return rowAxis === axis || (rowAxis !== null && sorted.has(rowAxis));
    });
  const need = (value: Value, asRow: boolean): void => void (asRow && isAlong(value) ? last : whole).add(value);
  for (const root of roots) need(root, true);
  for (const value of values.toReversed()) {
    const rows = last.has(value) ? rowInputs(cx, value, axis) : null;
    if (last.has(value) && rows === null) whole.add(value);
    if (whole.has(value)) for (const input of value.inputs) need(input, false);
    else if (rows) value.inputs.forEach((input, i) => need(input, rows[i]!));
  }
  return { whole, last };
}

/**
 * If each row of a value depends only on the same row of some inputs: a flag for each of the inputs, true for rowwise
 * inputs and false for inputs read whole. Null for other values.
 */
function rowInputs({ axes }: Pick<Scope, "axes">, value: Value, axis: string): readonly boolean[] | null {
  const dimsOf = (v: Value): readonly number[] =>
    v.type.shape.flatMap((size, dim) => (axes.sequenceOf(size) === axis ? [dim] : []));
  const all = value.inputs.map(() => true);
  if (dimsOf(value).length > 1 || value.inputs.some((input) => dimsOf(input).length > 1)) return null;
  switch (value.op) {
    case "pointwise":
    case "powi":
    case "cast":
    case "straight":
    case "stop_gradient":
    case "reshape":
    case "permute":
    case "slice":
    case "concat":
    case "reduce":
    case "softmax":
    case "rope":
    case "top_entries":
    case "those_entries":
    case "entry_exists":
    case "entry_index":
    case "entry_mask":
    case "entry_count":
    case "entry_members":
    case "take_entries":
    case "put_entries":
    case "sort_rows":
    case "sort_entries":
    case "unsort_entries":
      return all;
    case "gather":
      return dimsOf(value.inputs[0]!).length === 0 ? [false, true] : null;
    case "matmul":
      return dimsOf(value.inputs[1]!).length === 0 ? [true, false] : null;
    case "attention":
      return value.inputs.map((_, i) => i === 0);
    default:
      return null;
  }
}
