// Lowers values computed for all entries of a choice at once: rows sorted by entry, and products and elementwise
// functions with the weights of each row's expert.
import type { Value } from "../../language/check/model/model.js";
import { isOp as isOperation } from "../../language/check/model/types.js";
import { bug, invariant } from "../../ground/base/invariant.js";
import { typeOf, type Node } from "../ir/graph.js";
import type { OpAttrs } from "../ir/vocabulary.js";
import { expectedOfEach } from "../../language/check/tensors/entry-bounds.js";
import { divide, type Rational } from "../../ground/numerics/rational.js";
import {
  addSizes,
  applySize,
  divideSizes,
  equalSizes,
  multiplySizes,
  normal,
  rowsSize,
  sizeOf,
  type Size,
  type SizeExpr,
} from "../../ground/size/size.js";
import type { Lowering, Placed, SortedEntries } from "./context.js";
import { packedAlong } from "./convert.js";
import type { ModelAxes } from "./layout.js";

type Sorting = Value<"sort_rows" | "sort_entries" | "unsort_entries">;

type Members = Value<"entry_members">["attrs"]["members"];

const isSorting = (value: Value): value is Sorting =>
  value.op === "sort_rows" || value.op === "sort_entries" || value.op === "unsort_entries";

/** The greatest number of rows on each axis of sorted entries among these values. */
export function sortedAxes(values: readonly Value[], axes: ModelAxes): ReadonlyMap<string, Size> {
  return new Map(
    values.flatMap((value): readonly [string, Size][] => {
      if (!isSorting(value)) return [];
      const axis = axes.get(value.attrs.axis);
      invariant(axis.role === "sequence" && axis.count.kind === "join", "sorted entries are those of several axes");
      return [[axis.name, axis.count.parts.reduce((sum: Size, part) => addSizes(sum, rowsSize(part)), 0)]];
    }),
  );
}

/**
 * For each axis of sorted entries, the number of experts whose rows the axis's call computes, summed over all kinds.
 */
export function computingIn(values: readonly Value[]): ReadonlyMap<string, number> {
  const calls = new Map<string, Map<string, number>>();
  const unsorting = values.filter((v) => isOperation(v, "unsort_entries"));
  for (const { attrs } of unsorting) {
    const kinds = calls.get(attrs.call) ?? new Map<string, number>();
    calls.set(attrs.call, kinds.set(JSON.stringify(attrs.members), countOf(attrs.members)));
  }
  const sum = (kinds: ReadonlyMap<string, number>): number => [...kinds.values()].reduce((n, count) => n + count, 0);
  return new Map(unsorting.map(({ attrs }) => [attrs.axis, Math.min(attrs.of, sum(calls.get(attrs.call)!))]));
}

/** The sorted entries of the choice, which several values share. */
function sortedBy(cx: Lowering, { inputs: [, choice], attrs }: Sorting): SortedEntries {
  return cx.sorted(attrs.axis, () => {
    const group = groupsOf(cx, cx.get(choice).node, attrs);
    const count = countOf(attrs.members);
    const all = cx.computing.get(attrs.axis) ?? count;
    const computing = all > count ? { computing: all } : {};
    const sorted = cx.emit("sort_entries", [group], { groups: count, ...computing, ...listOf(cx, choice!, attrs) });
    const pick = (result: number): Node => cx.emit("pick", [sorted], { result });
    return { group, entries: pick(0), rows: pick(1), place: pick(2), starts: pick(3), groups: pick(4) };
  });
}

/** The number of listed entries, and the share of them expected to exist. */
function listOf(cx: Lowering, choice: Value, { axis }: Sorting["attrs"]): Partial<OpAttrs["sort_entries"]> {
  if (!isOperation(choice, "those_entries")) return {};
  const { count } = cx.sequence(axis);
  const [, tokens, among] = choice.type.shape;
  const parent = cx.axes.sequenceOf(tokens);
  invariant(count.kind === "join" && parent !== null, "sorted entries are those of each token");
  const entries = Number(among);
  const isCut = count.parts.length !== entries || count.parts[0] !== parent;
  const listed = cx.axes.rowsOf(axis);
  const expected = normal(multiplySizes(entries, expectedOfEach(choice, entries, parent)));
  return {
    ...(isCut ? { list: listed } : {}),
    ...(equalSizes(expected, listed) ? {} : { share: shareOf(expected, listed, parent) }),
  };
}

/** The expected share, in closed form if both sizes are multiples of the axis's rows. */
function shareOf(expected: Size, listed: Size, axis: string): Size {
  const [expectedRows, listedRows] = [expected, listed].map((size) => coefficientOf(size, rowsSize(axis)));
  return expectedRows && listedRows
    ? sizeOf(divide(expectedRows, listedRows))
    : (divideSizes(expected, applySize("max", [1, listed])) ?? 1);
}

/** The c in a size c times the unit; null for any other size. */
function coefficientOf(size: Size, unit: SizeExpr): Rational | null {
  const [term, ...more] = typeof size === "number" ? [] : size.terms;
  return term && more.length === 0 && equalSizes(normal(multiplySizes(sizeOf(term.coefficient), unit)), size)
    ? term.coefficient
    : null;
}

const countOf = (members: Members): number => members.reduce((n, { count }) => n + count, 0);

/**
 * The group of each entry: its number among the members. Entries of other experts, and missing entries, get a number
 * beyond the members.
 */
function groupsOf(cx: Lowering, index: Node, { members, of }: Sorting["attrs"]): Node {
  const m = cx.algebra(index);
  let before = countOf(members);
  if (before === of) return index;
  let groups: Node = cx.constant(before, "u32", typeOf(index).shape);
  for (const { first, count } of members.toReversed()) {
    before -= count;
    const group = first === before ? index : m.sub(index, first - before);
    groups = m.where(within(cx, index, first, count), group, groups);
  }
  return groups;
}

function within(cx: Lowering, index: Node, first: number, count: number): Node {
  const m = cx.algebra(index);
  const below = m.lt(index, first + count);
  return first === 0 ? below : cx.emit("and", [m.ge(index, first), below], {});
}

function lowerMembers(cx: Lowering, value: Value<"entry_members">): Placed {
  const index = cx.get(value.inputs[0]).node;
  const [first, ...more] = value.attrs.members.map((s) => within(cx, index, s.first, s.count));
  invariant(first, "a kind of block has members");
  const any = more.reduce((a: Node, b) => cx.emit("or", [a, b], {}), first);
  return cx.placed(any, value.type);
}

/** N·k of u32[N, k]. */
const entriesIn = (place: Node): Size => typeOf(place).shape.reduce(multiplySizes);

/** Reshapes u32[N·k] to u32[N·k, 1]. */
const alone = (cx: Lowering, index: Node): Node => cx.reshape(index, [...typeOf(index).shape, 1]);

function lowerSortRows(cx: Lowering, value: Value<"sort_rows">): Placed {
  const { rows, place } = sortedBy(cx, value);
  const { node } = packedAlong(cx, cx.get(value.inputs[0]), 1);
  return cx.placed(cx.emit("entry_rows", [node, rows, place], {}), value.type);
}

function lowerSortEntries(cx: Lowering, value: Value<"sort_entries">): Placed {
  const { entries, place } = sortedBy(cx, value);
  const { node } = packedAlong(cx, cx.get(value.inputs[0]), 1);
  const flat = cx.reshape(node, [entriesIn(place), ...typeOf(node).shape.slice(2)]);
  const flatPlaces = alone(cx, cx.reshape(place, [entriesIn(place)]));
  return cx.placed(cx.emit("entry_rows", [flat, entries, flatPlaces], {}), value.type);
}

function lowerUnsort(cx: Lowering, value: Value<"unsort_entries">): Placed {
  const { entries, place, group } = sortedBy(cx, value);
  const [sorted, choice] = value.inputs;
  const rows = cx.get(sorted).node;
  const flatPlaces = cx.reshape(place, [entriesIn(place)]);
  const gathered = cx.emit("entry_rows", [rows, flatPlaces, alone(cx, entries)], {});
  const trailing = typeOf(rows).shape.slice(1);
  const unsorted = cx.reshape(gathered, [...typeOf(place).shape, ...trailing]);
  const { members, of } = value.attrs;
  if (countOf(members) === of && choice!.op === "top_entries") return cx.placed(unsorted, value.type);
  // Entries that are not members, or do not exist, have no row.
  const m = cx.algebra(unsorted);
  const has = cx.reshape(m.lt(group, cx.constant(countOf(members), "u32")), [
    ...typeOf(place).shape,
    ...trailing.map(() => 1),
  ]);
  return cx.placed(m.where(has, unsorted, 0), value.type);
}

/** [E, …]: the weights of all experts, concatenated. */
function lowerExpertWeight(cx: Lowering, value: Value<"expert_weight">): Placed {
  const [first, ...more] = value.inputs.map((input) => cx.get(input).node);
  invariant(first, "a list of blocks has one or more");
  const { shape } = typeOf(first);
  const rows = shape.length === 0 ? [first, ...more].map((w) => cx.reshape(w, [1])) : [first, ...more];
  const joint = rows.length === 1 ? rows[0]! : cx.emit("concat", rows, { axis: 0 });
  return { node: cx.reshape(joint, [rows.length, ...shape]), type: value.type, packing: null };
}

/** Whether the value is a stacked expert weight, possibly transposed. */
export const isOfExperts = (value: Value | undefined): boolean =>
  value?.op === "expert_weight" || (value?.op === "permute" && value.inputs[0]?.op === "expert_weight");

/** The product of each row of `a` and the matrix `b` of the row's expert. */
export function expertProduct(cx: Lowering, value: Value<"matmul">): Placed {
  const [a, b] = value.inputs;
  const stacked = b!.op === "permute" ? b!.inputs[0] : b;
  const rows = cx.get(a);
  const { starts } = sortedOn(cx, rows);
  const product = cx.emit("grouped_matmul", [rows.node, cx.get(stacked).node, starts], {
    transposed: b!.op === "permute",
  });
  return cx.placed(product, value.type);
}

/** The vector of each row's expert, as an operand of a pointwise operator of `rank` logical dimensions. */
export function expertVectors(cx: Lowering, weight: Value, like: Placed, rank: number): Node {
  const { groups } = sortedOn(cx, like);
  const ofGroups = cx.emit("gather", [cx.get(weight).node, groups], {});
  const [rows, ...shape] = typeOf(ofGroups).shape;
  const between = rank - 2 - shape.length;
  return cx.reshape(ofGroups, [rows!, ...Array.from({ length: between }, () => 1), ...shape]);
}

function sortedOn(cx: Lowering, { packing }: Placed): SortedEntries {
  invariant(packing, "rows of experts are packed");
  return cx.sorted(packing.axis, () => bug(`nothing sorted the entries of ${packing.axis}`));
}

export const sortedLowerings = {
  sort_rows: lowerSortRows,
  sort_entries: lowerSortEntries,
  unsort_entries: lowerUnsort,
  expert_weight: lowerExpertWeight,
  entry_members: lowerMembers,
};
