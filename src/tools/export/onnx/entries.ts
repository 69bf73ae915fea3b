// Entry selections in ONNX (such as a token's experts), and computations on entries, such as expert calls. Ties choose
// the lower index.
import type { Value } from "../../../language/check/model/model.js";
import { invariant, bug } from "../../../ground/base/invariant.js";
import type { Name } from "./graph.js";
import { topIndices, forward } from "./shapes.js";
import { refuse, broadcast, elementOf, kept, scalar, type Scope } from "./scope.js";
import { bestTokens, routeAxis, rowsAlong } from "./routes.js";
import type { Size } from "../../../ground/size/size.js";
import type { Rows } from "./axes.js";

/** The number of candidates that a selection chooses from. */
function amongOf(choice: Value): number {
  const size = choice.inputs[0]!.type.shape.at(-1);
  return typeof size === "number" ? size : refuse("a choice among entries of an axis", choice.path);
}

function topEntries(cx: Scope, value: Value<"top_entries">): Name {
  const { at, graph } = cx;
  const [scores] = value.inputs;
  const { shape } = scores!.type;
  const k = graph.ints(value.attrs.k);
  return topIndices(cx, at.ranked(cx.get(scores!)), { shape, dim: shape.length - 1, k, ascend: true });
}

/** The k best tokens for each entry, as a mask [B, T, E]. */
function topTokens(cx: Scope, value: Value<"top_tokens">): Name {
  const { at, axes } = cx;
  const { axis } = value.attrs;
  const { count } = axes.sequence(axis);
  invariant(count.kind === "top", `axis ${axis} is not made by top`);
  const k = axes.countOfTop(count);
  if (axes.countsDiffer(count)) axes.define(axis, { length: at.reduce("Max", k, [0], true), counts: axes.ofBatch(k) });
  else axes.define(axis, { length: k, counts: null });
  return bestTokens(cx, value.inputs[0]!, count);
}

/**
 * The entries selected by a mask, in ascending order. Unused slots hold the number of entries, which is no valid index.
 */
function thoseEntries(cx: Scope, value: Value<"those_entries">): Name {
  const { at, graph } = cx;
  const among = amongOf(value);
  const [mask] = value.inputs;
  const { shape } = mask!.type;
  const numbers = at.cast(cx.get(mask!), "i64");
  const order = topIndices(cx, numbers, { shape, dim: shape.length - 1, k: graph.ints(among) });
  const chosen = graph.node("GatherElements", [numbers, order], { axis: -1 });
  return at.where(at.cast(chosen, "bool"), order, graph.int(among));
}

/** A mask of the existing entries; null if all exist. */
const existing = (cx: Scope, choice: Value): Name | null =>
  choice.op === "top_entries" ? null : cx.at.less(cx.get(choice), cx.graph.int(amongOf(choice)));

function entryExists(cx: Scope, value: Value<"entry_exists">): Name {
  const all = cx.graph.constant("bool", [], [1]);
  return existing(cx, value.inputs[0]!) ?? broadcast(cx, all, [], value.type.shape);
}

/** Entry indices, with 0 for missing entries. */
export function entryIndex(cx: Scope, choice: Value): Name {
  const exists = existing(cx, choice);
  return exists === null ? cx.get(choice) : cx.at.where(exists, cx.get(choice), cx.graph.int(0));
}

function entryMask(cx: Scope, value: Value<"entry_mask">): Name {
  const { at, graph } = cx;
  const [choice] = value.inputs;
  if (choice!.op === "those_entries") return cx.get(choice!.inputs[0]!);
  const all = graph.constant("i64", [amongOf(choice!)], [...Array(amongOf(choice!)).keys()]);
  const rank = value.type.shape.length;
  const same = at.cast(at.equal(at.unsqueeze(cx.get(choice!), rank), all), "i64"); // [..., k, E]
  return at.cast(at.reduce("Max", same, [rank - 1], false), "bool");
}

/** i64: the number of chosen entries for each token. */
export function entryCount(cx: Scope, choice: Value): Name {
  const { at, graph, axes } = cx;
  const { shape } = choice.type;
  const exists = existing(cx, choice);
  if (exists !== null) return at.reduce("Sum", at.cast(exists, "i64"), [shape.length - 1], false);
  return graph.node("Expand", [graph.int(Number(shape.at(-1))), axes.dims(shape.slice(0, -1))]);
}

function takeEntries(cx: Scope, value: Value<"take_entries">): Name {
  const [x, choice] = value.inputs;
  const taken = cx.graph.node("GatherElements", [cx.get(x!), entryIndex(cx, choice!)], { axis: -1 });
  const exists = existing(cx, choice!);
  return exists === null ? taken : kept(cx, exists, taken, value.type.dtype);
}

function putEntries(cx: Scope, value: Value<"put_entries">): Name {
  const [x, choice, y] = value.inputs;
  const exists = existing(cx, choice!);
  const update = exists === null ? cx.get(y!) : kept(cx, exists, cx.get(y!), y!.type.dtype);
  return cx.graph.node("ScatterElements", [cx.get(x!), entryIndex(cx, choice!), update], {
    axis: -1,
    reduction: "add",
  });
}

/**
 * bool[B, K, k]: for each token of a route, which slot holds this entry. The rank is extended to `rank`, with tokens
 * along `dim`.
 */
function isEntry(cx: Scope, choice: Value, route: Value, entry: number, dim: number, rank: number): Name {
  const { at, graph } = cx;
  const matches = at.equal(at.rows(cx.get(choice), cx.get(route)), graph.int(entry));
  const ones = Array.from({ length: rank }, (_, i) => i).filter((i) => i !== 0 && i !== dim && i !== dim + 1);
  return ones.length === 0 ? matches : at.unsqueeze(matches, ...ones);
}

/** Gathers each token's row for this one entry, as a sum in which all other rows are zero. */
function takeEntry(cx: Scope, value: Value<"take_entry">): Name {
  const { at } = cx;
  const { dim, entry } = value.attrs;
  const [x, choice, route] = value.inputs;
  const rank = x!.type.shape.length;
  const rows = rowsAlong(cx, x!, dim, route!);
  const isTruth = elementOf(value.type.dtype) === "bool";
  const numbers = isTruth ? at.cast(rows, "i64") : rows;
  const zero = isTruth ? cx.graph.int(0) : scalar(cx, 0, value.type.dtype);
  const entryRows = at.where(isEntry(cx, choice!, route!, entry, dim, rank), numbers, zero);
  const one = at.reduce("Sum", entryRows, [dim + 1], false);
  return isTruth ? at.cast(one, "bool") : one;
}

/** Adds each entry's rows to zeros, at the entry's slot of its token. */
function joinEntries(cx: Scope, value: Value<"join_entries">): Name {
  const { at, axes, graph } = cx;
  const { dim } = value.attrs;
  const { dtype, shape } = value.type;
  const [choice, ...parts] = value.inputs;
  // Booleans cannot be added, so they are added as 0 and 1.
  const isTruth = dtype === "bool";
  const zero = isTruth ? graph.int(0) : scalar(cx, 0, dtype);
  const order = [0, dim];
  const front = [...order, ...shape.map((_, i) => i).filter((i) => !order.includes(i))];
  let joined = graph.node("Expand", [zero, axes.dims(front.map((i) => shape[i]!))]);
  for (let e = 0; 2 * e < parts.length; e++) {
    const [route, y] = [parts[2 * e]!, parts[2 * e + 1]!];
    const axis = routeAxis(route);
    let atSlot = isEntry(cx, choice!, route, e, dim, shape.length);
    const exists = axes.exists(axis);
    if (exists !== null) atSlot = at.and(atSlot, at.unsqueezedTo(exists, dim, shape.length));
    const numbers = isTruth ? at.cast(cx.get(y), "i64") : cx.get(y);
    const placed = at.where(atSlot, at.unsqueeze(numbers, dim + 1), zero); // [B, …, K, k, …]
    const [rows] = forward(cx, placed, shape.length, dim);
    joined = at.addRows(joined, cx.get(route), rows);
  }
  return at.transpose(
    isTruth ? at.cast(joined, "bool") : joined,
    front.map((_, i) => front.indexOf(i)),
  );
}

function entryMembers({ at, graph, get }: Scope, value: Value<"entry_members">): Name {
  const index = get(value.inputs[0]!);
  return value.attrs.members
    .map(({ first, count }) =>
      at.and(graph.node("GreaterOrEqual", [index, graph.int(first)]), at.less(index, graph.int(first + count))),
    )
    .reduce((a, b) => graph.node("Or", [a, b]));
}

export const entryEmitters = {
  top_tokens: topTokens,
  top_entries: topEntries,
  those_entries: thoseEntries,
  entry_exists: entryExists,
  entry_index: (cx: Scope, value: Value<"entry_index">): Name => entryIndex(cx, value.inputs[0]!),
  entry_mask: entryMask,
  entry_count: (cx: Scope, value: Value<"entry_count">): Name => entryCount(cx, value.inputs[0]!),
  take_entries: takeEntries,
  put_entries: putEntries,
  take_entry: takeEntry,
  join_entries: joinEntries,
  entry_members: entryMembers,
};

// Expert calls in ONNX. For each expert, the rows of its entries are gathered, computed with the expert's weights, and
// scattered back. Experts without entries compute nothing.

type Sorting = Value<"sort_rows"> | Value<"sort_entries"> | Value<"unsort_entries">;
type EmitValue = (cx: Scope, value: Value) => Name;

const isSorting = (value: Value): value is Sorting =>
  value.op === "sort_rows" || value.op === "sort_entries" || value.op === "unsort_entries";

/** The axes of sorted entries among these values. */
export const sortedAxes = (values: readonly Value[]): ReadonlySet<string> =>
  new Set(values.flatMap((value) => (isSorting(value) ? [value.attrs.axis] : [])));

const isOfExperts = (value: Value): boolean =>
  value.op === "expert_weight" || (value.op === "permute" && isOfExperts(value.inputs[0]!));

/** Whether each expert computes this value separately. */
export const isPerExpert = ({ axes }: Pick<Scope, "axes">, value: Value, sorted: ReadonlySet<string>): boolean => {
  const axis = axes.sequenceOf(value.type.shape[1]);
  return isOfExperts(value) || (axis !== null && sorted.has(axis) && value.op !== "unsort_entries");
};

/** The expert number of each entry, flattened: i64[B · T · k]. */
function flatChoice(cx: Scope, choice: Value): Name {
  const { at, axes, graph } = cx;
  const axis = axes.sequenceOf(choice.type.shape[1]);
  const exists = axis === null ? null : axes.exists(axis);
  const none = graph.int(Number(choice.inputs[0]!.type.shape.at(-1)));
  const index = exists === null ? cx.get(choice) : at.where(at.unsqueeze(exists, 2), cx.get(choice), none);
  return at.reshape(index, -1);
}

const numbers = (shape: readonly Size[], path: string): readonly number[] =>
  shape.map((size) => (typeof size === "number" ? size : refuse("rows of experts along another axis", path)));

/** Flattens the leading dimensions of x[B, T, …] or x[B, T, k, …] into one. */
const flat = (cx: Scope, x: Value, lead: number): Name =>
  cx.at.reshape(cx.get(x), -1, ...numbers(x.type.shape.slice(lead), x.path));

/** The scope in which one expert computes: [1, n, …] instead of [B, K, …]. */
function scopeOf(cx: Scope, value: Value<"unsort_entries">, member: number, place: Name, emit: EmitValue): Scope {
  const { at, graph } = cx;
  const { axis } = value.attrs;
  const entries = Number(value.inputs[1]!.type.shape[2]);
  const batch = cx.model.axes.find(({ role }) => role === "batch")!; // entries belong to tokens of sequences
  const rows: Rows = { length: at.dim(place, 0), counts: null };
  const axes = cx.axes.within(
    new Map([
      [batch.name, { length: graph.ints(1), counts: null }],
      [axis, rows],
    ]),
  );
  const memo = new Map<Value, Name>();
  const axesOfPart = new Set([axis]);
  const computed = (v: Value): Name => {
    if (v.op === "expert_weight") return cx.get(v.inputs[member]!);
    if (v.op === "sort_rows") return gathered(flat(cx, v.inputs[0]!, 2), at.div(place, graph.ints(entries)));
    if (v.op === "sort_entries") return gathered(flat(cx, v.inputs[0]!, 3), place);
    return emit(scope, v);
  };
  const gathered = (x: Name, index: Name): Name => at.unsqueeze(graph.node("Gather", [x, index], { axis: 0 }), 0);
  const get = (v: Value): Name => {
    if (!isPerExpert(cx, v, axesOfPart)) return cx.get(v);
    let name = memo.get(v);
    if (name === undefined) memo.set(v, (name = computed(v)));
    return name;
  };
  const scope: Scope = { ...cx, axes, get };
  return scope;
}

/** The rows of all members, scattered to their entries' slots; zeros for entries of other experts. */
export function unsorted(cx: Scope, value: Value<"unsort_entries">, emit: EmitValue): Name {
  const { at, axes, graph } = cx;
  const [results, choice] = value.inputs;
  const { dtype, shape } = value.type;
  invariant(results && choice, "entries are unsorted by their choice");
  const experts = flatChoice(cx, choice);
  const members = value.attrs.members.flatMap(({ first, count }) => Array.from({ length: count }, (_, i) => first + i));
  const entryIndices = members.map((entry) =>
    at.squeeze(graph.node("NonZero", [at.equal(experts, graph.int(entry))]), 0),
  );
  const rows = entryIndices.map((indices, expert) => {
    const path = graph.path;
    const part = scopeOf(cx, value, expert, indices, emit).get(results);
    graph.path = path;
    return at.squeeze(part, 0);
  });
  const trailing = shape.slice(3);
  const all = axes.dims(shape.slice(0, 3));
  const size = graph.node("ReduceProd", [all, graph.ints(0)], { keepdims: 1 });
  const none = graph.node("Expand", [scalar(cx, 0, dtype), at.concat([size, axes.dims(trailing)], 0)]);
  const joined = graph.node("ScatterND", [none, at.unsqueeze(at.concat(entryIndices, 0), 1), at.concat(rows, 0)]);
  return at.reshapeTo(joined, axes.dims(shape));
}

const inParts = (_: Scope, value: Value): Name => bug(`${value.op} of ${value.path} is computed in parts`);

export const sortedEmitters = { sort_rows: inParts, sort_entries: inParts, expert_weight: inParts };
