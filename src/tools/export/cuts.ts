// Finds pipeline cuts: a cut lies between two statements of the model's `forward` across which exactly one tensor is
// live.
import type { Value } from "../../language/check/model/model.js";
import {
  axesRead,
  axisMade,
  axisOfTokens,
  axisSorted,
  firstInputAxis,
  inputAxis,
  isLiteral,
  pathOfWeight,
  sequenceAt,
  valuesOf,
  type Item,
} from "./outline.js";
import type { Variant } from "./variants.js";

/** Statements of the model that stay in one stage, or a list of blocks, each of which may begin a stage. */
export interface Unit {
  /** The first block that the unit calls (`norm` or `layers.3`), or the name of the list. */
  readonly name: string;
  readonly isList: boolean;
  readonly items: readonly Item[];
  /**
   * The tensor from the previous unit (the first unit gets the model's tokens), and the tensor passed on (null for the
   * last unit).
   */
  readonly given: Value;
  readonly made: Value | null;
  /** Paths of blocks and weights that the unit reads. A list excludes paths inside the list. */
  readonly reads: readonly string[];
}

/** A cut between two items; its name is the block called right after the cut. */
interface Cut {
  readonly at: number;
  readonly value: Value;
}

/** The cut names that all versions share, or a sentence that explains why there are no cuts. */
export function cutNames(variants: readonly Variant[]): ReadonlySet<string> | string {
  const [first, ...others] = variants.map((variant) => namedCuts(variant));
  const names = [...(first?.keys() ?? [])].filter((name) => others.every((cuts) => cuts.has(name)));
  if (names.length > 0) return new Set(names);
  return "between any two of its blocks more than one tensor, or a choice of tokens, goes on";
}

/** Splits the statements of one version at the named cuts. `isLoop` tests whether a list is called in a loop. */
export function unitsOf(
  variant: Variant,
  names: ReadonlySet<string>,
  isLoop: (items: readonly Item[]) => boolean,
): readonly Unit[] {
  const { items } = variant.bodies.get("")!;
  const values = crossing(variant);
  const cuts = [...namedCuts(variant)].filter(([name]) => names.has(name)).sort(([, a], [, b]) => a.at - b.at);
  const loops = new Map<number, { readonly name: string; readonly end: number }>();
  for (const [name, { at }] of cuts) {
    const list = /^(\w+)\.0$/.exec(name)?.[1];
    const end = list === undefined ? null : endOfList(variant, list, at, names);
    if (end === null || !isLoop(items.slice(at, end))) continue;
    if (end < items.length && !values.has(end)) continue;
    loops.set(at, { name: list!, end });
  }
  const starts = new Set([0, ...cuts.map(([, { at }]) => at)]);
  for (const [at, { end }] of loops) {
    for (const start of starts) if (start > at && start < end) starts.delete(start);
    if (end < items.length) starts.add(end);
  }
  const order = [...starts].sort((a, b) => a - b);
  const tokens = tokensOf(variant);
  const { instances, weights } = variant.model;
  const attributes = new Set([...instances, ...weights].map(({ path }) => path.split(".")[0]!));
  const taken = new Set<string>();
  /** A name for statements that call no block. The name differs from all unit names and model attributes. */
  const freeName = (wanted: string): string => {
    let name = wanted;
    for (let n = 2; taken.has(name) || attributes.has(name); n++) name = `${wanted}_${n}`;
    return name;
  };
  return order.map((at, i) => {
    const end = order[i + 1] ?? items.length;
    const part = items.slice(at, end);
    const isList = loops.has(at);
    const called = isList ? loops.get(at)!.name : callIn(part);
    const name = called === null || taken.has(called) ? freeName(at === 0 ? "inputs" : "outputs") : called;
    taken.add(name);
    const reads = readsOf(part).filter((path) => !isList || !path.startsWith(`${name}.`));
    return {
      name,
      isList,
      items: part,
      given: at === 0 ? tokens : values.get(at)!,
      made: end === items.length ? null : values.get(end)!,
      reads,
    };
  });
}

/** The input whose token axis the model computes along. */
export const tokensOf = ({ model }: Variant): Value =>
  model.inputs.find(({ type }) => sequenceAt(model, type.shape[1]) === inputAxis(model))!.value;

/** The index after the last member of a list whose members are called in order and nowhere else; null otherwise. */
function endOfList(variant: Variant, list: string, at: number, names: ReadonlySet<string>): number | null {
  const { items } = variant.bodies.get("")!;
  const isMember = (path: string): boolean => path.startsWith(`${list}.`);
  const size = new Set(variant.model.instances.flatMap(({ path }) => (isMember(path) ? [path.split(".")[1]!] : [])))
    .size;
  for (let i = 0; i < size; i++) if (items[at + i]?.body?.path !== `${list}.${i}`) return null;
  for (let i = 1; i < size; i++) if (!names.has(`${list}.${i}`)) return null;
  const others = [...items.slice(0, at), ...items.slice(at + size)];
  return size > 1 && !readsOf(others).some(isMember) ? at + size : null;
}

/** The first block that the items call. */
const callIn = (items: readonly Item[]): string | null => items.find(({ body }) => body)?.body?.instance ?? null;

function readsOf(items: readonly Item[]): readonly string[] {
  const values = items.flatMap((item) =>
    item.value
      ? item.value.inputs.flatMap((input) => pathOfWeight(input) ?? [])
      : [item.body.instance, ...item.body.foreign],
  );
  return [...new Set(values)];
}

/** Cuts by the block called right after each cut, if this call is the block's first. */
function namedCuts(variant: Variant): ReadonlyMap<string, Cut> {
  const { items } = variant.bodies.get("")!;
  const values = crossing(variant);
  const cuts = new Map<string, Cut>();
  const seen = new Set<string>();
  items.forEach(({ body }, at) => {
    if (!body) return;
    const value = values.get(at);
    if (value && !seen.has(body.instance)) cuts.set(body.instance, { at, value });
    seen.add(body.instance);
  });
  const [shape] = [...cuts.values()].map(({ value }) => widthOf(value));
  return new Map([...cuts].filter(([, { value }]) => widthOf(value) === shape));
}

const widthOf = ({ type }: Value): string => type.shape.slice(2).join(" ");

/**
 * For each index at which exactly one tensor is live: the tensor that crosses from the items before into the item
 * there.
 */
function crossing(variant: Variant): ReadonlyMap<number, Value> {
  const { model } = variant;
  const { items } = variant.bodies.get("")!;
  const axis = firstInputAxis(model);
  if (axis === null) return new Map(); // stages pass on tokens
  const stream = ({ type: { dtype, shape } }: Value): boolean =>
    dtype === "f32" &&
    shape.length > 2 &&
    typeof shape[0] !== "number" &&
    sequenceAt(model, shape[1]) === axis &&
    shape.slice(2).every((size) => typeof size === "number");
  const made = items.map((item) => (item.value ? [item.value] : item.body.outs));
  const last = new Map<Value, number>();
  items.forEach((item, at) => {
    for (const value of item.value ? item.value.inputs : item.body.ins) last.set(value, at);
  });
  const blocked = blockedBy(variant);
  const live = new Set<Value>();
  const found = new Map<number, Value>();
  items.forEach((_, at) => {
    for (const value of live) if (last.get(value)! < at) live.delete(value);
    const [only, ...others] = live;
    if (only && others.length === 0 && stream(only) && !blocked(at)) found.set(at, only);
    for (const value of made[at]!)
      if (!isLiteral(value) && value.op !== "input" && (last.get(value) ?? -1) > at) live.add(value);
  });
  return found;
}

/**
 * Rejects cuts between the definition of an axis and its last reader.
 * An attribute with states that training moves must stay in one stage, so that a cut between two reads of the attribute
 * is rejected as well.
 */
function blockedBy(variant: Variant): (at: number) => boolean {
  const { model, updates } = variant;
  const { items } = variant.bodies.get("")!;
  const moving = new Set([...updates.keys()].map(memberOf));
  const spans = new Map<string, { first: number; last: number }>();
  const note = (key: string, at: number): void => {
    const span = spans.get(key);
    if (span) span.last = at;
    else spans.set(key, { first: at, last: at });
  };
  items.forEach((item, at) => {
    for (const value of valuesOf(item))
      for (const axis of [axisSorted(value) ?? axisOfTokens(value) ?? axisMade(value)].flat()) note(axis, at);
    for (const axis of item.value ? axesRead(model, item.value) : item.body.axes) if (spans.has(axis)) note(axis, at);
    for (const path of readsOf([item])) if (moving.has(memberOf(path))) note(`states of ${memberOf(path)}`, at);
  });
  return (at) => updates.has("") || [...spans.values()].some(({ first, last }) => first < at && at <= last);
}

/** The model attribute that contains a path; for a list, the list member. */
export const memberOf = (path: string): string => {
  const [name = "", index = ""] = path.split(".");
  return /^\d+$/.test(index) ? `${name}.${index}` : name;
};
