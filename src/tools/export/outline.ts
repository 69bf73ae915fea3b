// Recovers the block structure from a model's flat list of operations: each instance's body and the values that flow in
// and out.
import type { LogicalType, Model, ModelCall, Value } from "../../language/check/model/model.js";
import { countingAxis } from "../../ground/size/axes.js";
import { isCut } from "../../ground/size/count-rules.js";
import { axisSize, type Size } from "../../ground/size/size.js";
import { placeOf, refuse, type Place } from "./refused.js";

/** The body of one call to a block's function. The model itself has the empty path. */
export interface Body {
  readonly path: string;
  /** The block's path and the function's name. */
  readonly instance: string;
  readonly fn: string;
  readonly items: readonly Item[];
  /** Values from outside that the body or an inner block reads, and the body's values that others read. */
  readonly ins: readonly Value[];
  readonly outs: readonly Value[];
  /** Sequence axes from outside whose positions or lengths the body reads. */
  readonly axes: readonly string[];
  /** Paths of blocks and weights outside this block that the body or an inner block calls or reads. */
  readonly foreign: readonly string[];
}

export type Item = { readonly value: Value; readonly body?: never } | { readonly body: Body; readonly value?: never };

/** Values that are written out at each use, and never passed between bodies. */
export const isLiteral = (value: Value): boolean =>
  value.op === "weight" || value.op === "state" || value.op === "number" || value.op === "live" || isOfExperts(value);

/** The stacked weights of all experts, or this stack with exchanged dimensions. */
export const isOfExperts = (value: Value): boolean =>
  value.op === "expert_weight" || (value.op === "permute" && isOfExperts(value.inputs[0]!));

/** The path of a weight or state; for a stack of expert weights, the first expert's path. */
export function pathOfWeight(value: Value): string | null {
  if (isOfExperts(value)) return pathOfWeight(value.inputs[0]!);
  return is(value, "weight") || is(value, "state") ? value.attrs.path : null;
}

const mentionsLive = (size: Size): boolean =>
  typeof size !== "number" &&
  size.terms.some(({ atoms }) =>
    atoms.some(({ atom }) => atom.kind === "live" || ("args" in atom && atom.args.some(mentionsLive))),
  );

/** Whether an operation reads a live parameter, as a value or in a size. */
export function readsLive(model: Model, value: Value): boolean {
  if (value.inputs.some(({ op }) => op === "live")) return true;
  if (is(value, "length")) return mentionsLive(value.attrs.size);
  const k = is(value, "top") || is(value, "top_tokens") ? sizeOfTop(model, value) : null;
  return k !== null && mentionsLive(k);
}

/** The number of tokens that a `top` takes; null for an axis that no `top` defined. */
export function sizeOfTop(model: Model, value: Value<"top"> | Value<"top_tokens">): Size | null {
  const axis = model.axes.find(({ name }) => name === value.attrs.axis);
  return axis?.role === "sequence" && axis.count.kind === "top" ? axis.count.k : null;
}

/** The sequence axis along a dimension, or null. */
export function sequenceAt(model: Model, size: Size | undefined): string | null {
  if (size === undefined || typeof size === "number") return null;
  const axis = model.axes.find((a) => a.role === "sequence" && axisSize(a.name).key === size.key);
  return axis?.name ?? null;
}

/** The greatest number of tokens in a sequence of the model's input. */
export const boundOf = ({ axes }: Model): number | null =>
  axes.find((a) => a.role === "sequence" && a.count.kind === "input" && a.bound !== null)?.bound ?? null;

/** The only sequence axis of a type, or null. */
export function sequenceOf(model: Model, type: LogicalType, place: Place): string | null {
  const axes = type.shape.flatMap((size) => sequenceAt(model, size) ?? []);
  if (axes.length > 1) refuse("a tensor along two sequences", place);
  return axes[0] ?? null;
}

/** The instance path of a call. */
export const instanceOf = (call: string): string => call.replaceAll(/#\d+/g, "");

/** Removes the outer path's prefix from a path. */
export const below = (path: string, outer: string): string => (outer === "" ? path : path.slice(outer.length + 1));

/** Whether a block or weight path lies within an instance. */
export const isWithin = (path: string, instance: string): boolean => instance === "" || path.startsWith(`${instance}.`);

/**
 * Outputs, losses and observed values are the results of the model's bodies.
 * `recorders` lists, for each recorded value, the paths of the calls that record the value. `tallied` are the values
 * that move states.
 */
export function outline(
  model: Model,
  recorders: ReadonlyMap<Value, readonly string[]>,
  tallied: readonly Value[],
): Body {
  const results = [...model.outputs, ...model.losses, ...model.observes].map(({ value }) => value);
  const values = reachable([...results, ...tallied]);
  const calls = new Map<string, ModelCall>();
  for (const call of model.calls) {
    if (calls.has(call.path)) refuse("a block that is called both within another and by itself", call.path);
    calls.set(call.path, call);
  }
  const valuesByPath = new Map<string, Value[]>();
  const children = new Map<string, string[]>();
  const entered = (path: string): Value[] => {
    const known = valuesByPath.get(path);
    if (known) return known;
    const list: Value[] = [];
    valuesByPath.set(path, list);
    const call = calls.get(path);
    if (call) {
      entered(call.caller);
      children.set(call.caller, [...(children.get(call.caller) ?? []), path]);
    }
    return list;
  };
  entered("");
  for (const value of values) if (!isLiteral(value)) entered(value.path).push(value);
  const outputs = new Set(model.outputs.map((o) => o.value));
  return new Outliner(model, calls, valuesByPath, children, users(values), recorders).body("", outputs);
}

function reachable(results: readonly Value[]): readonly Value[] {
  const seen = new Set<Value>();
  const todo = [...results];
  for (let next = todo.pop(); next; next = todo.pop()) {
    if (seen.has(next)) continue;
    seen.add(next);
    todo.push(...next.inputs);
  }
  return [...seen].sort((a, b) => a.id - b.id);
}

function users(values: readonly Value[]): ReadonlyMap<Value, readonly Value[]> {
  const found = new Map<Value, Value[]>();
  for (const value of values)
    for (const input of value.inputs) {
      const list = found.get(input);
      if (list) list.push(value);
      else found.set(input, [value]);
    }
  return found;
}

class Outliner {
  constructor(
    private readonly model: Model,
    private readonly calls: ReadonlyMap<string, ModelCall>,
    private readonly own: ReadonlyMap<string, readonly Value[]>,
    private readonly children: ReadonlyMap<string, readonly string[]>,
    private readonly usedBy: ReadonlyMap<Value, readonly Value[]>,
    private readonly recorders: ReadonlyMap<Value, readonly string[]>,
  ) {}

  body(path: string, results: ReadonlySet<Value>): Body {
    const items: Item[] = [
      ...(this.own.get(path) ?? []).map((value) => ({ value })),
      ...(this.children.get(path) ?? []).map((child) => ({ body: this.body(child, results) })),
    ];
    items.sort((a, b) => firstOf(a) - firstOf(b));
    const inside = new Set(items.flatMap((item) => valuesOf(item)));
    const ins = new Set<Value>();
    for (const item of items)
      for (const input of item.value ? item.value.inputs : item.body.ins)
        if (!isLiteral(input) && !inside.has(input)) ins.add(input);
    for (const [value, at] of this.recorders) if (at.includes(path) && !inside.has(value)) ins.add(value);
    const outs = [...inside].filter(
      (value) =>
        results.has(value) ||
        (this.usedBy.get(value) ?? []).some((user) => !inside.has(user)) ||
        (this.recorders.get(value) ?? []).some((at) => !this.#isInside(at, path)),
    );
    const byId = (a: Value, b: Value): number => a.id - b.id;
    return {
      path,
      instance: instanceOf(path),
      fn: this.calls.get(path)?.fn ?? "forward",
      items,
      ins: [...ins].sort(byId),
      outs: outs.sort(byId),
      axes: this.#axes(items, inside),
      foreign: foreignTo(instanceOf(path), items),
    };
  }

  /** Whether a call happens within another call. */
  #isInside(call: string, outer: string): boolean {
    if (outer === "") return true;
    for (let at: string | undefined = call; at; at = this.calls.get(at)?.caller) if (at === outer) return true;
    return false;
  }

  #axes(items: readonly Item[], inside: ReadonlySet<Value>): readonly string[] {
    const defined = new Set(
      [...inside].flatMap((value) => axisSorted(value) ?? axisOfTokens(value) ?? axisMade(value)),
    );
    const read = items.flatMap((item) => (item.value ? axesRead(this.model, item.value) : item.body.axes));
    return [...new Set(read)].filter((axis) => !defined.has(axis));
  }
}

/** Paths of weights and blocks outside the instance that the items read or call. */
function foreignTo(instance: string, items: readonly Item[]): readonly string[] {
  const blocks = items.flatMap((item) =>
    item.value
      ? item.value.inputs.flatMap((input) => pathOfWeight(input) ?? [])
      : [item.body.instance, ...item.body.foreign],
  );
  return [...new Set(blocks)].filter((path) => !isWithin(path, instance));
}

/** The smallest value id in an item. */
export const firstOf = (item: Item): number => (item.value ? item.value.id : Math.min(...item.body.items.map(firstOf)));

export const valuesOf = (item: Item): readonly Value[] =>
  item.value ? [item.value] : item.body.items.flatMap(valuesOf);

const is = <K extends Value["op"]>(value: Value, op: K): value is Value<K> => value.op === op;

/** The axis that a token selection defines. */
export function axisMade(value: Value): readonly string[] {
  return is(value, "top") || is(value, "above") || is(value, "those") ? [value.attrs.axis] : [];
}

/** The sorted entry axis, for operations along this axis. */
export const axisSorted = (value: Value): string | null =>
  is(value, "sort_rows") || is(value, "sort_entries") || is(value, "unsort_entries") ? value.attrs.axis : null;

/** The axis that a token slice or token join defines; null for other operations. */
export const axisOfTokens = (value: Value): string | null =>
  is(value, "span") || is(value, "join") || is(value, "sequence") ? value.attrs.axis : null;

/** The sequence axes whose lengths appear in a size. */
export const axesOfSize = (size: Size): readonly string[] =>
  typeof size === "number"
    ? []
    : [
        ...new Set(
          size.terms.flatMap(({ atoms }) =>
            atoms.flatMap(({ atom }) =>
              atom.kind === "axis" ? [atom.axis] : "args" in atom ? atom.args.flatMap(axesOfSize) : [],
            ),
          ),
        ),
      ];

/** The sequence whose length n determines how many tokens a `top` takes. */
export function countedBy(model: Model, value: Value<"top"> | Value<"top_tokens">): string {
  const axis = model.axes.find(({ name }) => name === value.attrs.axis);
  if (axis?.role !== "sequence" || axis.count.kind !== "top") refuse("this choice", value);
  return countingAxis(model.axes, axis.count);
}

/** The sequence axis of the model's inputs, or null. */
export const firstInputAxis = ({ axes }: Model): string | null =>
  axes.find((axis) => axis.role === "sequence" && axis.count.kind === "input")?.name ?? null;

/** The sequence axis of the model's inputs. `reader` is the place that needs the axis, for the error. */
export const inputAxis = (model: Model, reader: Place = placeOf(model.inputs[0])): string =>
  firstInputAxis(model) ?? refuse("a model without sequences", reader, "give an input a sequence axis: f32[B, T, …]");

/** The axis that a token selection selects from. `reader` is the place that needs the axis, for the error. */
export function axisChosenFrom(model: Model, axis: string, reader: Place): string {
  const declared = model.axes.find((a) => a.name === axis);
  const count = declared?.role === "sequence" ? declared.count : null;
  if (count && !isCut(count) && "parent" in count) return count.parent;
  return refuse(`a choice on ${axis}, whose tokens no route chose,`, reader);
}

/** Axes whose positions an operation reads, or for which it needs to know the existing tokens. */
export function axesRead(model: Model, value: Value): readonly string[] {
  const along = (input: Value | undefined, dim: number): readonly string[] =>
    sequenceAt(model, input?.type.shape.at(dim)) === null ? [] : [sequenceAt(model, input!.type.shape.at(dim))!];
  const whole = (input: Value | undefined): readonly string[] => {
    const axis = input ? sequenceOf(model, input.type, value) : null;
    return axis === null ? [] : [axis];
  };
  if (is(value, "rope") || is(value, "shift") || is(value, "scan")) return along(value.inputs[0], value.attrs.dim);
  if (is(value, "linear_attention")) return along(value.inputs[0], -2);
  if (is(value, "received")) return [...along(value.inputs[0], -2), ...along(value.inputs[1], -2)];
  if (is(value, "attention")) return [...along(value.inputs[0], -2), ...along(value.inputs[1], -2)];
  if (is(value, "reduce")) return value.attrs.axes.flatMap((dim) => along(value.inputs[0], dim));
  if (is(value, "cross_entropy") || is(value, "log_probability")) return whole(value.inputs[1]);
  if (is(value, "bce")) return whole(value.inputs[0]);
  if (is(value, "position")) return [value.attrs.axis];
  if (is(value, "softmax")) return along(value.inputs[0], value.attrs.axis);
  if (value.inputs.some(isOfExperts)) return along(value, 1);
  if (is(value, "sort_rows") || is(value, "sort_entries")) return along(value.inputs[1], 1);
  if (is(value, "matmul")) return along(value.inputs[0], -1);
  if (is(value, "span")) return along(value.inputs[0], value.attrs.dim);
  if (is(value, "rows")) return along(value.inputs[0], 1);
  if (is(value, "join")) return value.inputs.flatMap((input) => along(input, value.attrs.dim));
  if (is(value, "token")) return along(value.inputs[0], value.attrs.dim);
  if (is(value, "literal")) return firstInputAxis(model) === null ? [] : [inputAxis(model, value)];
  if (is(value, "zeros")) return along(value, 1).length > 0 ? along(value, 1) : [inputAxis(model, value)];
  if (is(value, "length")) return axesOfSize(value.attrs.size);
  if (is(value, "top") || is(value, "top_tokens"))
    return [...new Set([axisChosenFrom(model, value.attrs.axis, value), countedBy(model, value)])];
  if (is(value, "above") || is(value, "those")) return [axisChosenFrom(model, value.attrs.axis, value)];
  if (is(value, "mask")) return value.inputs.flatMap(axisMade).map((axis) => axisChosenFrom(model, axis, value));
  return [];
}
