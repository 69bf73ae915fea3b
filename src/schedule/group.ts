// Grouping: a pointwise operator whose result one other of the same shape reads, or one reduction, is computed where it is read, and never stored.
import type { Node } from "../ir/graph.js";
import type { TensorType } from "../ir/types.js";
import { equalShapes } from "../ir/typing.js";
import type { OpName } from "../ir/vocabulary.js";
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

/** Operators whose kernels can compute the elements of input 0 instead of reading them. */
const TAKES_PROLOGUE: ReadonlySet<OpName> = new Set<OpName>(["sum", "reduce_max", "reduce_min", "softmax"]);

export interface Grouping {
  /** The group of each pointwise operator that is stored; those that are computed inside another kernel have none. */
  readonly stored: ReadonlyMap<Node, Group>;
  /** The group that computes input 0 of an operator, element by element, inside its kernel. */
  readonly prologues: ReadonlyMap<Node, Group>;
}

/** `stored`: values that must exist in memory. */
export function groupPointwise(order: readonly Node[], stored: ReadonlySet<Node>, extents: Extents, limits: Limits): Grouping {
  const reader = soleReaders(order);
  const groups = new Map<Node, Group>();
  const prologues = new Map<Node, Group>();
  const mostBuffers = (type: TensorType): number => {
    const deviceAxes = new Set(type.shape.map((s) => extents.deviceSize(s)?.axis).filter((a) => a !== undefined));
    return limits.storageBuffersPerStage - 1 - deviceAxes.size;
  };
  for (const node of order) {
    if (TAKES_PROLOGUE.has(node.op)) {
      const input = node.inputs[0]!;
      const group = groups.get(input);
      if (!group || stored.has(input) || reader.get(input) !== node || buffersOf(new Set(group.leaves)) > mostBuffers(input.types[0]!)) continue;
      groups.delete(input);
      prologues.set(node, group);
    }
    if (!isExpression(node)) continue;
    const [type] = node.types;
    const most = mostBuffers(type!);
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
  return { stored: groups, prologues };
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
