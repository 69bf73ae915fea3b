// Expert calls in ONNX. For each expert, the rows of its entries are gathered, computed with the expert's weights, and
// scattered back. Experts without entries compute nothing.
import { bug, invariant } from "../../../ground/base/invariant.js";
import type { Value } from "../../../language/check/model.js";
import type { Size } from "../../../ground/size/size.js";
import type { Rows } from "./axes.js";
import type { Name } from "./graph.js";
import { refuse } from "./refuse.js";
import { scalar, type Scope } from "./scope.js";

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
export const isInParts = ({ axes }: Pick<Scope, "axes">, value: Value, sorted: ReadonlySet<string>): boolean => {
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
  const own = new Set([axis]);
  const made = (v: Value): Name => {
    if (v.op === "expert_weight") return cx.get(v.inputs[member]!);
    if (v.op === "sort_rows") return gathered(flat(cx, v.inputs[0]!, 2), at.div(place, graph.ints(entries)));
    if (v.op === "sort_entries") return gathered(flat(cx, v.inputs[0]!, 3), place);
    return emit(scope, v);
  };
  const gathered = (x: Name, index: Name): Name => at.unsqueeze(graph.node("Gather", [x, index], { axis: 0 }), 0);
  const get = (v: Value): Name => {
    if (!isInParts(cx, v, own)) return cx.get(v);
    let name = memo.get(v);
    if (name === undefined) memo.set(v, (name = made(v)));
    return name;
  };
  const scope: Scope = { ...cx, axes, get };
  return scope;
}

/** The rows of all members, scattered to their entries' slots; zeros for entries of other experts. */
export function unsorted(cx: Scope, value: Value<"unsort_entries">, emit: EmitValue): Name {
  const { at, axes, graph } = cx;
  const [made, choice] = value.inputs;
  const { dtype, shape } = value.type;
  invariant(made && choice, "entries are unsorted by their choice");
  const experts = flatChoice(cx, choice);
  const members = value.attrs.members.flatMap(({ first, count }) => Array.from({ length: count }, (_, i) => first + i));
  const places = members.map((entry) => at.squeeze(graph.node("NonZero", [at.equal(experts, graph.int(entry))]), 0));
  const rows = places.map((place, member) => {
    const path = graph.path;
    const part = scopeOf(cx, value, member, place, emit).get(made);
    graph.path = path;
    return at.squeeze(part, 0);
  });
  const behind = shape.slice(3);
  const all = axes.dims(shape.slice(0, 3));
  const size = graph.node("ReduceProd", [all, graph.ints(0)], { keepdims: 1 });
  const none = graph.node("Expand", [scalar(cx, 0, dtype), at.concat([size, axes.dims(behind)], 0)]);
  const joined = graph.node("ScatterND", [none, at.unsqueeze(at.concat(places, 0), 1), at.concat(rows, 0)]);
  return at.reshapeTo(joined, axes.dims(shape));
}

const inParts = (_: Scope, value: Value): Name => bug(`${value.op} of ${value.path} is computed in parts`);

export const sortedEmitters = { sort_rows: inParts, sort_entries: inParts, expert_weight: inParts };
