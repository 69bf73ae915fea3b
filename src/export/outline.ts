// Gives a model's flat list of operations back its blocks: the body of each instance, and what flows in and out.
import type { LogicalType, Model, Value } from "../check/model.js";
import { axisSize, type Size } from "../size/size.js";
import { ExportError, refuse } from "./refused.js";

/** The body of one instance of a block; the model itself has the empty path. */
export interface Body {
  readonly path: string;
  readonly items: readonly Item[];
  /** Values from outside that it or an inner block reads, and values of its own that others read. */
  readonly ins: readonly Value[];
  readonly outs: readonly Value[];
  /** Sequence axes from outside whose positions or lengths it reads. */
  readonly axes: readonly string[];
}

export type Item = { readonly value: Value; readonly body?: never } | { readonly body: Body; readonly value?: never };

/** Values that a body writes where they are used, and nothing passes on. */
export const isLiteral = (value: Value): boolean =>
  value.op === "weight" || value.op === "number" || value.op === "live";

const mentionsLive = (size: Size): boolean =>
  typeof size !== "number" &&
  size.terms.some(({ atoms }) =>
    atoms.some(({ atom }) => atom.kind === "live" || ("args" in atom && atom.args.some(mentionsLive))),
  );

/** Whether an operation reads a live parameter, as a value or in a size. */
export function readsLive(model: Model, value: Value): boolean {
  if (value.inputs.some(({ op }) => op === "live")) return true;
  if (is(value, "length")) return mentionsLive(value.attrs.size);
  if (!is(value, "top")) return false;
  const axis = model.axes.find(({ name }) => name === value.attrs.axis);
  return axis?.role === "sequence" && axis.count.kind === "top" && mentionsLive(axis.count.k);
}

/** The sequence axis along a dimension of a type, if it is one. */
export function sequenceAt(model: Model, size: Size | undefined): string | null {
  if (size === undefined || typeof size === "number") return null;
  const axis = model.axes.find((a) => a.role === "sequence" && axisSize(a.name).key === size.key);
  return axis?.name ?? null;
}

/** The most tokens that a sequence of the model's input may have. */
export const boundOf = ({ axes }: Model): number | null =>
  axes.find((a) => a.role === "sequence" && a.count.kind === "input" && a.bound !== null)?.bound ?? null;

/** The only sequence axis of a type, if any. */
export function sequenceOf(model: Model, type: LogicalType, path: string): string | null {
  const found = type.shape.flatMap((size) => sequenceAt(model, size) ?? []);
  if (found.length > 1) refuse("a tensor along two sequences", path);
  return found[0] ?? null;
}

/**
 * The outputs, losses and observed values of a model are what its bodies compute; `recorders` has the paths of the
 * blocks that record a value.
 */
export function outline(model: Model, recorders: ReadonlyMap<Value, readonly string[]>): Body {
  if (model.updates.length > 0) refuse("a state that training moves", model.updates[0]!.path);
  const results = [...model.outputs, ...model.losses, ...model.observes].map(({ value }) => value);
  const values = reachable(results);
  for (const { path, op } of values)
    if (path.includes("#")) refuse(`a block that is called more than once, here at ${op},`, path);
  const instances = new Set(["", ...model.instances.map(({ path }) => path)]);
  const owner = (path: string): string => {
    for (let at = path; at !== ""; at = at.slice(0, Math.max(0, at.lastIndexOf(".")))) if (instances.has(at)) return at;
    return "";
  };
  const own = new Map<string, Value[]>();
  for (const value of values)
    if (!isLiteral(value))
      for (let at = owner(value.path); ; at = owner(parent(at))) {
        const list = own.get(at) ?? [];
        if (list.length === 0) own.set(at, list);
        if (at === owner(value.path)) list.push(value);
        if (at === "") break;
      }
  const children = new Map<string, string[]>();
  for (const path of own.keys())
    if (path !== "") {
      const above = owner(parent(path));
      children.set(above, [...(children.get(above) ?? []), path]);
    }
  const outputs = new Set(model.outputs.map((o) => o.value));
  return new Outliner(model, own, children, users(values), recorders).body("", outputs);
}

const parent = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf(".")));

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
    const done = new Set<Value>();
    const ins = new Set<Value>();
    for (const item of items) {
      for (const input of item.value ? item.value.inputs : item.body.ins) {
        if (isLiteral(input)) continue;
        if (!inside.has(input)) ins.add(input);
        else if (!done.has(input))
          throw new ExportError(
            `${item.body?.path ?? path} needs what is computed in turn with it: another block than its own calls it`,
            "such blocks have no form in PyTorch yet",
          );
      }
      for (const value of valuesOf(item)) done.add(value);
    }
    const outs = [...inside].filter(
      (value) =>
        results.has(value) ||
        (this.usedBy.get(value) ?? []).some((user) => !inside.has(user)) ||
        (this.recorders.get(value) ?? []).some((at) => at !== path && !at.startsWith(`${path}.`) && path !== ""),
    );
    const byId = (a: Value, b: Value): number => a.id - b.id;
    return { path, items, ins: [...ins].sort(byId), outs: outs.sort(byId), axes: this.#axes(items, inside) };
  }

  #axes(items: readonly Item[], inside: ReadonlySet<Value>): readonly string[] {
    const made = new Set([...inside].flatMap((value) => axisOfTokens(value) ?? axisMade(value)));
    const read = items.flatMap((item) => (item.value ? axesRead(this.model, item.value) : item.body.axes));
    return [...new Set(read)].filter((axis) => !made.has(axis));
  }
}

const firstOf = (item: Item): number => (item.value ? item.value.id : Math.min(...item.body.items.map(firstOf)));

const valuesOf = (item: Item): readonly Value[] => (item.value ? [item.value] : item.body.items.flatMap(valuesOf));

const is = <K extends Value["op"]>(value: Value, op: K): value is Value<K> => value.op === op;

/** The axis that a choice of tokens makes. */
export function axisMade(value: Value): readonly string[] {
  return is(value, "top") || is(value, "above") || is(value, "those") ? [value.attrs.axis] : [];
}

/** The axis that a slice of tokens or a join of some makes; null for other operations. */
export const axisOfTokens = (value: Value): string | null =>
  is(value, "span") || is(value, "join") ? value.attrs.axis : null;

/** The sequences whose lengths a size has. */
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

/** The axis on which a choice of tokens chooses. */
export function axisChosenFrom(model: Model, axis: string): string {
  const found = model.axes.find((a) => a.name === axis);
  if (found?.role !== "sequence") refuse(`the axis ${axis}`, "");
  const { count } = found;
  if (count.kind === "top" || count.kind === "above" || count.kind === "those" || count.kind === "rest")
    return count.parent;
  return refuse(`the axis of a choice by ${count.kind}`, "");
}

/** Axes of which an operation reads positions, or which tokens exist. */
export function axesRead(model: Model, value: Value): readonly string[] {
  const along = (input: Value | undefined, dim: number): readonly string[] =>
    sequenceAt(model, input?.type.shape.at(dim)) === null ? [] : [sequenceAt(model, input!.type.shape.at(dim))!];
  const whole = (input: Value | undefined): readonly string[] => {
    const axis = input ? sequenceOf(model, input.type, value.path) : null;
    return axis === null ? [] : [axis];
  };
  if (is(value, "rope")) return along(value.inputs[0], value.attrs.dim);
  if (is(value, "attention")) return [...along(value.inputs[0], -2), ...along(value.inputs[1], -2)];
  if (is(value, "reduce")) return value.attrs.axes.flatMap((dim) => along(value.inputs[0], dim));
  if (is(value, "cross_entropy")) return whole(value.inputs[1]);
  if (is(value, "bce")) return whole(value.inputs[0]);
  if (is(value, "position")) return [value.attrs.axis];
  if (is(value, "softmax")) return along(value.inputs[0], value.attrs.axis);
  if (is(value, "matmul")) return along(value.inputs[0], -1);
  if (is(value, "span")) return along(value.inputs[0], value.attrs.dim);
  if (is(value, "join")) return value.inputs.flatMap((input) => along(input, value.attrs.dim));
  if (is(value, "token")) return along(value.inputs[0], value.attrs.dim);
  if (is(value, "zeros")) return along({ ...value }, 1);
  if (is(value, "length")) return axesOfSize(value.attrs.size);
  if (is(value, "top") || is(value, "above") || is(value, "those")) return [axisChosenFrom(model, value.attrs.axis)];
  if (is(value, "mask")) return value.inputs.flatMap(axisMade).map((axis) => axisChosenFrom(model, axis));
  return [];
}
