// Grouping: a pointwise operator whose result one other of the same shape reads is computed where it is read, and never stored.
import type { Node } from "../ir/graph.js";
import { equalShapes } from "../ir/typing.js";
import { ops } from "../ops/index.js";
import type { Extents } from "./extents.js";
import type { Limits } from "../program/target.js";

/** Pointwise operators computed by one kernel. */
export interface Group {
  /** In order; the last is the group's result. */
  readonly operations: readonly Node[];
  /** What it reads: values in memory and constants, each once. */
  readonly leaves: readonly Node[];
}

/** A kernel's text grows with its operations, and compiling it more so. */
const MOST_OPERATIONS = 24;

export const isExpression = (node: Node): boolean => node.op !== "constant" && ops[node.op].lower.kind === "pointwise";

/** The group of each pointwise operator that is stored; those that are computed inside another's have none. `stored`: values that must exist in memory. */
export function groupPointwise(order: readonly Node[], stored: ReadonlySet<Node>, extents: Extents, limits: Limits): ReadonlyMap<Node, Group> {
  const reader = soleReaders(order);
  const groups = new Map<Node, Group>();
  for (const node of order) {
    if (!isExpression(node)) continue;
    const [type] = node.types;
    const deviceAxes = new Set(type!.shape.map((s) => extents.deviceSize(s)?.axis).filter((a) => a !== undefined));
    const most = limits.storageBuffersPerStage - 1 - deviceAxes.size;
    let leaves = new Set(node.inputs.map(behindBroadcast));
    const operations: Node[] = [];
    for (const input of new Set(node.inputs)) {
      const inner = groups.get(input);
      if (!inner || stored.has(input) || reader.get(input) !== node || !equalShapes(input.types[0]!.shape, type!.shape)) continue;
      const merged = new Set([...leaves].filter((l) => l !== input));
      for (const leaf of inner.leaves) merged.add(leaf);
      if (buffersOf(merged) > most || operations.length + inner.operations.length >= MOST_OPERATIONS) continue;
      leaves = merged;
      operations.push(...inner.operations);
      groups.delete(input);
    }
    operations.push(node);
    groups.set(node, { operations, leaves: [...leaves] });
  }
  return groups;
}

const buffersOf = (leaves: ReadonlySet<Node>): number => {
  let count = 0;
  for (const leaf of leaves) if (leaf.op !== "constant") count++;
  return count;
};

/** What an expression reads of an input: broadcasting needs no copy, only other strides. */
export function behindBroadcast(node: Node): Node {
  let at = node;
  while (at.op === "broadcast") at = at.inputs[0]!;
  return at;
}

/** The one node that reads a value; null where several do. */
function soleReaders(order: readonly Node[]): ReadonlyMap<Node, Node | null> {
  const readers = new Map<Node, Node | null>();
  for (const node of order)
    for (const input of node.inputs) {
      const known = readers.get(input);
      readers.set(input, known === undefined || known === node ? node : null);
    }
  return readers;
}
