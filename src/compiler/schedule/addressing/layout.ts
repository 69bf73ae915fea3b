// Layouts of values in memory, and the layouts of their views.
import type { Node } from "../../ir/graph.js";
import { addSizes, equalSizes, type Size } from "../../../ground/size/size.js";
import type { Extents } from "../analysis/extents.js";
import { stridesOf } from "./index-map.js";

/** A stored result of a node. Values are compared by identity: there is one object for each. */
export interface Value {
  readonly node: Node;
  readonly result: number;
}

/** Element (i, j, …) lies at offset + i · strides[0] + j · strides[1] + …, counted in elements. */
export interface Layout {
  readonly value: Value;
  readonly strides: readonly Size[];
  readonly offset: Size;
  /** Number of adjacent partial sums whose total is one element; 1: elements are stored whole. */
  readonly parts: number;
}

/** The row-major layout in a value's own memory. */
export const rowMajor = (extents: Extents, value: Value, shape: readonly Size[]): Layout => ({
  value,
  strides: stridesOf(extents, shape),
  offset: 0,
  parts: 1,
});

/** The layout of columns from `start` on, in rows of `across` columns. */
export function columnsOf(
  extents: Extents,
  value: Value,
  shape: readonly Size[],
  across: number,
  start: number,
): Layout {
  const lead = rowMajor(extents, value, shape.slice(0, -1));
  return { ...lead, strides: [...lead.strides.map((s) => extents.times(s, across)), 1], offset: start };
}

/** The layout with each element stored as `parts` adjacent partial sums. */
export const inParts = (extents: Extents, whole: Layout, parts: number): Layout => ({
  ...whole,
  strides: whole.strides.map((s) => extents.times(s, parts)),
  parts,
});

export function isRowMajor(extents: Extents, { strides, offset, parts }: Layout, shape: readonly Size[]): boolean {
  const expected = stridesOf(extents, shape);
  return offset === 0 && parts === 1 && shape.every((s, d) => s === 1 || equalSizes(strides[d]!, expected[d]!));
}

/** The layout of a view `node` of its first input; null where it needs a copy. */
export function viewed(extents: Extents, node: Node, from: Layout): Layout | null {
  const shape = node.inputs[0].types[0]!.shape;
  switch (node.op) {
    case "permute":
      return { ...from, strides: (node as Node<"permute">).attrs.order.map((d) => from.strides[d]!) };
    case "slice": {
      const { axis, start } = (node as Node<"slice">).attrs;
      return { ...from, offset: addSizes(from.offset, extents.times(start, from.strides[axis]!)) };
    }
    case "broadcast": {
      const to = node.types[0]!.shape;
      const gone = to.length - shape.length;
      return { ...from, strides: to.map((_, d) => (d < gone || shape[d - gone] === 1 ? 0 : from.strides[d - gone]!)) };
    }
    case "reshape": {
      const strides = reshaped(extents, shape, from.strides, node.types[0]!.shape);
      return strides && { ...from, strides };
    }
    case "stop_gradient":
    case "straight":
    case "barrier":
      return from;
    default:
      return null;
  }
}

/** A group of dimensions of one shape that corresponds to a group of another. */
export interface DimensionGroup {
  readonly from: readonly number[];
  readonly to: readonly number[];
}

/**
 * The correspondence of dimensions between two shapes of equal size, without dimensions of one element; null where it
 * cannot be determined.
 */
export function dimensionGroups(
  extents: Extents,
  from: readonly Size[],
  to: readonly Size[],
): readonly DimensionGroup[] | null {
  const longDims = (shape: readonly Size[]): number[] => shape.flatMap((s, d) => (s === 1 ? [] : [d]));
  const [left, right] = [longDims(from), longDims(to)];
  const groups: DimensionGroup[] = [];
  let [i, j] = [0, 0];
  while (i < left.length && j < right.length) {
    const group = shortestGroup(
      extents,
      left.slice(i).map((d) => from[d]!),
      right.slice(j).map((d) => to[d]!),
    );
    if (!group) return null;
    groups.push({ from: left.slice(i, i + group[0]), to: right.slice(j, j + group[1]) });
    i += group[0];
    j += group[1];
  }
  return i === left.length && j === right.length ? groups : null;
}

/** The fewest leading sizes of each list whose products are equal. */
function shortestGroup(extents: Extents, from: readonly Size[], to: readonly Size[]): readonly [number, number] | null {
  for (let total = 2; total <= from.length + to.length; total++)
    for (let m = Math.max(1, total - to.length); m <= Math.min(total - 1, from.length); m++)
      if (equalSizes(extents.product(from.slice(0, m)), extents.product(to.slice(0, total - m)))) return [m, total - m];
  return null;
}

function reshaped(
  extents: Extents,
  from: readonly Size[],
  strides: readonly Size[],
  to: readonly Size[],
): readonly Size[] | null {
  const groups = dimensionGroups(extents, from, to);
  if (!groups) return null;
  const made: Size[] = to.map(() => 0);
  for (const group of groups) {
    const joined = group.from.every((d, n) => {
      const next = group.from[n + 1];
      return next === undefined || equalSizes(strides[d]!, extents.times(strides[next]!, from[next]!));
    });
    if (!joined) return null;
    let step = strides[group.from.at(-1)!]!;
    for (const d of group.to.toReversed()) {
      made[d] = step;
      step = extents.times(step, to[d]!);
    }
  }
  return made;
}
