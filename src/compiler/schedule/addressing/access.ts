// Access functions: the coordinates of input elements as affine functions of a result element's coordinates, one of
// them possibly through the row indices of a route, or of a route and then of the experts by which its rows are sorted.
import { isGather, isOp, type Node } from "../../ir/graph.js";
import { addSizes, equalSizes, type Size } from "../../../ground/size/size.js";
import type { Extents } from "../analysis/extents.js";
import { dimensionGroups, type Layout, type Value } from "./layout.js";

/** An affine function: Σ over the dimensions of the result of coordinate · stride, plus an offset. */
export interface Affine {
  readonly strides: readonly Size[];
  readonly offset: Size;
}

/** A coordinate: the affine function or, with indices i, j, …, `…j[i[affine]] + plus`. */
export interface Coordinate {
  readonly affine: Affine;
  readonly indices: readonly Value[];
  readonly plus: Size;
}

/** The offset of an element: affine, plus `times` · what the indices give, each read at what the one before gave. */
export interface Access {
  readonly affine: Affine;
  readonly indexed: Indexed | null;
}

export interface Indexed {
  /** The first is read at `at`. */
  readonly indices: readonly Value[];
  readonly at: Affine;
  readonly times: Size;
}

/** Each is a read before the element's own, and a buffer: two for rows that a route chose and experts sorted. */
const MOST_INDICES = 2;

const plain = (affine: Affine): Coordinate => ({ affine, indices: [], plus: 0 });

const ownCoordinates = (rank: number): readonly Coordinate[] =>
  Array.from({ length: rank }, (_, d) =>
    plain({ strides: Array.from({ length: rank }, (_s, e) => (d === e ? 1 : 0)), offset: 0 }),
  );
const BY_RANK = Array.from({ length: 9 }, (_, rank) => ownCoordinates(rank));

/** The identity: each dimension is its own coordinate. */
export const coordinatesOf = (rank: number): readonly Coordinate[] => BY_RANK[rank] ?? ownCoordinates(rank);

/** Whether two coordinate lists address the same elements. */
export function sameCoordinates(a: readonly Coordinate[], b: readonly Coordinate[]): boolean {
  const same = (x: Affine, y: Affine): boolean =>
    equalSizes(x.offset, y.offset) && x.strides.every((s, d) => equalSizes(s, y.strides[d]!));
  return (
    a.length === b.length &&
    a.every(
      (c, d) => c === b[d] || (sameIndices(c, b[d]!) && equalSizes(c.plus, b[d]!.plus) && same(c.affine, b[d]!.affine)),
    )
  );
}

const sameIndices = (a: Coordinate, b: Coordinate): boolean =>
  a.indices.length === b.indices.length && a.indices.every((index, n) => index === b.indices[n]);

const nowhere = (rank: number): Coordinate => plain({ strides: Array.from({ length: rank }, () => 0), offset: 0 });

/** Coordinates in an operand of shape `from` that broadcasts to `to`. */
export function broadcastCoordinates(
  at: readonly Coordinate[],
  from: readonly Size[],
  to: readonly Size[],
  rank: number,
): readonly Coordinate[] {
  const gone = to.length - from.length;
  return gone === 0 && from.every((s, d) => s !== 1 || to[d] === 1)
    ? at
    : from.map((s, d) => (s === 1 ? nowhere(rank) : at[d + gone]!));
}

/**
 * Maps coordinates in the result of a structure operator to coordinates in its first input; null where they are not
 * affine. `indexOf` returns the value that holds a route's row indices.
 */
export function inputCoordinates(
  extents: Extents,
  node: Node,
  at: readonly Coordinate[],
  rank: number,
  indexOf: (node: Node) => Value | null,
): readonly Coordinate[] | null {
  const from = node.inputs[0].types[0]!.shape;
  const to = node.types[0]!.shape;
  if (isOp(node, "permute")) {
    const moved: Coordinate[] = [];
    node.attrs.order.forEach((d, n) => (moved[d] = at[n]!));
    return moved;
  }
  if (isOp(node, "slice")) return at.map((c, d) => (d === node.attrs.axis ? shifted(c, node.attrs.start) : c));
  if (isOp(node, "broadcast")) return broadcastCoordinates(at, from, to, rank);
  if (isGather(node)) {
    const dim = isOp(node, "take") ? node.attrs.dim : 0;
    const index = indexOf(node.inputs[1]);
    // An access goes through indices along one dimension.
    if (!index || at.some((c, d) => d !== dim && c.indices.length > 0)) return null;
    const { affine, indices, plus } = at[dim]!;
    if (indices.length === MOST_INDICES || plus !== 0) return null;
    return at.with(dim, { affine, indices: [...indices, index], plus: 0 });
  }
  if (isOp(node, "reshape")) return reshapedCoordinates(extents, at, from, to, rank);
  return isOp(node, "stop_gradient") || isOp(node, "straight") || isOp(node, "barrier") ? at : null;
}

const shifted = (c: Coordinate, by: number): Coordinate =>
  c.indices.length > 0
    ? { ...c, plus: addSizes(c.plus, by) }
    : plain({ strides: c.affine.strides, offset: addSizes(c.affine.offset, by) });

/** Dimensions that a reshape split are merged; a dimension that it merged cannot be split. */
function reshapedCoordinates(
  extents: Extents,
  at: readonly Coordinate[],
  from: readonly Size[],
  to: readonly Size[],
  rank: number,
): readonly Coordinate[] | null {
  const groups = dimensionGroups(extents, from, to);
  if (!groups) return null;
  const coordinates = from.map(() => nowhere(rank));
  for (const group of groups) {
    const [d, ...more] = group.from;
    if (d === undefined || more.length > 0) return null;
    const only = group.to.length === 1 ? at[group.to[0]!]! : null;
    if (only) {
      coordinates[d] = only;
      continue;
    }
    let step: Size = 1;
    let joined = nowhere(rank).affine;
    for (const t of group.to.toReversed()) {
      const c = at[t]!;
      if (c.indices.length > 0) return null;
      joined = added(extents, joined, c.affine, step);
      step = extents.times(step, to[t]!);
    }
    coordinates[d] = plain(joined);
  }
  return coordinates;
}

const added = (extents: Extents, a: Affine, b: Affine, times: Size): Affine => ({
  strides: a.strides.map((s, e) => addSizes(s, extents.times(times, b.strides[e]!))),
  offset: addSizes(a.offset, extents.times(times, b.offset)),
});

/** The access of an element in a layout; null where two of its coordinates have indices. */
export function accessOf(extents: Extents, layout: Layout, at: readonly Coordinate[], rank: number): Access | null {
  let affine: Affine = { strides: nowhere(rank).affine.strides, offset: layout.offset };
  let indexed: Access["indexed"] = null;
  for (const [d, c] of at.entries()) {
    const times = layout.strides[d]!;
    if (times === 0) continue;
    if (c.indices.length === 0) {
      affine = added(extents, affine, c.affine, times);
      continue;
    }
    if (indexed) return null;
    indexed = { indices: c.indices, at: c.affine, times };
    affine = { strides: affine.strides, offset: addSizes(affine.offset, extents.times(times, c.plus)) };
  }
  return { affine, indexed };
}
