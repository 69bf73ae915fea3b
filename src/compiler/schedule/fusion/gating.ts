// Fuses a choice of entries with the rowwise computations before and after it, into one kernel with several
// results (gates, their indices).
import { isGather, isOp, isPointwise, isSameView, isView, type Node } from "../../ir/graph.js";
import { equalSizes, type Size } from "../../../ground/size/size.js";
import { coordinatesOf, type Coordinate } from "../addressing/access.js";
import { coordinatesIn, stepInto, type Views } from "../addressing/views.js";
import type { Consumers } from "../analysis/consumers.js";
import type { Extents } from "../analysis/extents.js";
import { storageBuffers } from "./buffers.js";

export interface Gating {
  /** The choice, or the gather of entries, that the kernel is named for. */
  readonly node: Node;
  /** All nodes that the kernel computes, in order. */
  readonly nodes: readonly Node[];
  /** Those whose values it stores. */
  readonly results: readonly Node[];
  /** The nodes that the kernel reads from memory. */
  readonly reads: ReadonlySet<Node>;
  /**
   * Constants of the same rows that only the caller reads: this kernel stores them, so no other kernel is needed.
   */
  readonly constants: readonly Node<"constant">[];
}

export interface GatingOptions {
  readonly consumers: Consumers;
  readonly views: Pick<Views, "extents">;
  readonly extents: Extents;
  readonly mostBuffers: number;
  /** Nodes that are stored for the caller. */
  readonly required: ReadonlySet<Node>;
  /** The position in the order at which a stored node is computed. */
  readonly scheduledAt: (node: Node) => number;
  readonly position: (node: Node) => number;
  /** Constants that only the caller reads, and no kernel stores. */
  readonly constants: Iterable<Node<"constant">>;
  /** Whether a node needs no kernel of this graph, or another computes it. */
  readonly isElsewhere: (node: Node) => boolean;
}

/** Limit of fused nodes: compile time grows faster than a kernel's text. */
const MOST_NODES = 40;

/** The most words of workgroup memory for a row. Every device has 4096, and lanes need some of them. */
const MOST_CELLS = 3584;

export const isChoiceOfEntries = (node: Node): boolean =>
  isOp(node, "top_entries") || isOp(node, "those_entries") || isOp(node, "take_entries") || isOp(node, "put_entries");

/** The number of elements in a row; null if the number is unknown, or the node has no rows. */
export function widthOf(node: Node, rows: Size): number | null {
  const { shape, dtype } = node.types[0]!;
  if (node.types.length !== 1 || dtype === "f16" || shape.length === 0 || !equalSizes(shape[0]!, rows)) return null;
  return shape.slice(1).reduce<number | null>((n, s) => (n !== null && typeof s === "number" ? n * s : null), 1);
}

/** The node and others around it, as many as one kernel can compute at its place in the order; null for none. */
export function gatingOf(node: Node, options: GatingOptions): Gating | null {
  const [rows] = node.types[0]!.shape;
  if (rows === undefined || node.types[0]!.shape.length < 2) return null;
  let members = possible(node, around(node, rows, options), options);
  while (members.length > 1) {
    const candidate = gating(node, members, options);
    if (candidate) return candidate;
    const last = members.findLast((n) => n !== node);
    members = possible(
      node,
      members.filter((n) => n !== last),
      options,
    );
  }
  return null;
}

function gating(node: Node, nodes: readonly Node[], options: GatingOptions): Gating | null {
  const { required, extents, mostBuffers } = options;
  const members = new Set(nodes);
  const isAskedFor = (n: Node): boolean => required.has(n) || options.consumers.readers(n).some((r) => r.node === null);
  const results = nodes.filter((n) => isAskedFor(n) || readersOf(n, options).some((r) => !members.has(r)));
  const reads = new Set(nodes.flatMap((n) => readsOf(n, members, options)));
  const types = nodes.flatMap((n) => n.types);
  const room = mostBuffers - storageBuffers([{ reads, writes: results }], types, extents);
  const [rows] = node.types[0]!.shape;
  if (room < 0 || cellsOf(nodes, rows!) > MOST_CELLS) return null;
  const constants = [...options.constants].filter((n) => widthOf(n, rows!) !== null).slice(0, room);
  return { node, nodes, results, reads, constants };
}

/** An upper bound for the cells that a row needs: the nodes' values, and operands read from memory. */
const cellsOf = (nodes: readonly Node[], rows: Size): number =>
  nodes.reduce((sum, n) => {
    const loaded = isPointwise(n) || isView(n) ? [] : n.inputs.filter((from) => !nodes.includes(from));
    const all = [n, ...loaded, ...(isOp(n, "top_entries") ? [n] : [])];
    return sum + all.reduce((cells, from) => cells + (widthOf(from, rows) ?? 0), 0);
  }, 0);

/** All nodes of these rows that are connected to the node, none wider than what is chosen among. */
function around(node: Node, rows: Size, options: GatingOptions): readonly Node[] {
  const { position, isElsewhere } = options;
  const found = new Set<Node>([node]);
  const choiceWidth = (n: Node): number => Math.max(...[n, ...n.inputs].map((m) => widthOf(m, rows) ?? 0));
  let widest = choiceWidth(node);
  for (const n of found) {
    if (isChoiceOfEntries(n)) widest = Math.max(widest, choiceWidth(n));
    for (const other of [...n.inputs.map((from) => baseOf(from, options)), ...readersOf(n, options)]) {
      if (found.size >= MOST_NODES) break;
      const width = widthOf(other, rows);
      if (width !== null && width <= widest && isRowwise(other, options) && !isElsewhere(other)) found.add(other);
    }
  }
  return [...found].toSorted((a, b) => position(a) - position(b));
}

/** Whether a row of the result is made from the same row of the inputs, by something that the kernel can compute. */
function isRowwise(node: Node, { consumers }: GatingOptions): boolean {
  if (isPointwise(node) || isChoiceOfEntries(node)) return true;
  if (isView(node)) return consumers.isCopied(node) && !isGather(node);
  const last = (node.inputs[0]?.types[0]!.shape.length ?? 0) - 1;
  if (last < 1) return false;
  if (isOp(node, "softmax")) return node.attrs.axis === last;
  const { dtype } = node.inputs[0].types[0]!;
  if (isOp(node, "sum")) return node.attrs.axes.length === 1 && node.attrs.axes[0] === last && dtype !== "bool";
  if (!isOp(node, "reduce_max") && !isOp(node, "reduce_min")) return false;
  return node.attrs.axes.length === 1 && node.attrs.axes[0] === last && dtype === "f32";
}

/** The nodes that the kernel can compute at the point where the choice is made. */
function possible(node: Node, nodes: readonly Node[], options: GatingOptions): readonly Node[] {
  const { position, scheduledAt } = options;
  const at = position(node);
  let members = new Set(nodes);
  const isPossible = (n: Node): boolean =>
    readsOf(n, members, options).every((r) => scheduledAt(r) < at) &&
    (position(n) >= at || readersOf(n, options).every((r) => members.has(r) || scheduledAt(r) > at)) &&
    isAddressable(n, options);
  for (;;) {
    const left = connected(node, [...members].filter(isPossible), options);
    if (left.length === members.size || left.length === 0) return left;
    members = new Set(left);
  }
}

/** The nodes that are connected to this one by others. */
function connected(node: Node, nodes: readonly Node[], options: GatingOptions): readonly Node[] {
  const left = new Set(nodes);
  if (!left.has(node)) return [];
  const found = new Set<Node>([node]);
  for (const n of found)
    for (const other of [...n.inputs.map((from) => baseOf(from, options)), ...readersOf(n, options)])
      if (left.has(other)) found.add(other);
  return nodes.filter((n) => found.has(n));
}

/** Whether views lie on the way to the value, which are not copied; the value below them. */
function baseOf(node: Node, { consumers }: GatingOptions): Node {
  let base = node;
  while (isView(base) && !consumers.isCopied(base)) base = base.inputs[0]!;
  return base;
}

/** The nodes that read a value, through views that are not copied. */
function readersOf(node: Node, options: GatingOptions): readonly Node[] {
  const found = new Set<Node>();
  const stack = [node];
  for (let n = stack.pop(); n; n = stack.pop())
    for (const reader of options.consumers.direct(n)) {
      if (!isView(reader) || options.consumers.isCopied(reader)) found.add(reader);
      else stack.push(reader);
    }
  return [...found];
}

/** The nodes that a node reads from memory, without constants. */
const readsOf = (node: Node, own: ReadonlySet<Node>, options: GatingOptions): readonly Node[] =>
  node.inputs.flatMap((from) => {
    const base = baseOf(from, options);
    return own.has(base) || isOp(base, "constant") ? [] : [base];
  });

/** Whether every element that the node reads can be found from its own coordinates. */
function isAddressable(node: Node, options: GatingOptions): boolean {
  const { consumers, views } = options;
  const { shape } = node.types[0]!;
  const finds = (from: Node, start: readonly Coordinate[]): boolean => {
    let [n, at] = [from, start];
    while (isView(n) && !consumers.isCopied(n)) {
      const next = isGather(n) ? null : stepInto(n, at, views.extents);
      if (!next) return false;
      [n, at] = [n.inputs[0], next];
    }
    return true;
  };
  if (isView(node)) {
    const at = stepInto(node, coordinatesOf(shape.length), views.extents);
    return at !== null && finds(node.inputs[0], at);
  }
  if (isPointwise(node))
    return node.inputs.every((from) =>
      finds(from, coordinatesIn(from, node, coordinatesOf(shape.length), shape.length)),
    );
  return node.inputs.every((from) => {
    const list = sameList(from);
    return finds(list, coordinatesOf(list.types[0]!.shape.length));
  });
}

/** The value whose rows have the same elements in the same order. */
export function sameList(node: Node): Node {
  let list = node;
  while (isSameView(list) && equalSizes(list.inputs[0].types[0]!.shape[0] ?? 1, list.types[0]!.shape[0]!))
    list = list.inputs[0]!;
  return list;
}
