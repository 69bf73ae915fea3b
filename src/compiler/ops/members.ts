// Experts of one kind among all: which share of a token's entries they are expected to be.
import { isOp, isPointwise, isView, producerOf, typeOf, type Node } from "../ir/graph.js";
import * as q from "../../ground/numerics/rational.js";
import type { Rational } from "../../ground/numerics/rational.js";
import type { Size } from "../../ground/size/size.js";

/** The experts whose weights a node's rows read: how many there are, and among how many entries is chosen. */
export interface Members {
  readonly groups: number;
  readonly of: number;
  /** The share of the sorted entries that are expected to exist. */
  readonly existing: Size;
  /** How many experts of their list compute something, these among them. */
  readonly computing: number;
}

/** What a product or look-up by the expert of each row says of them; null for any other node. */
export function membersOf(node: Node): Members | null {
  if (isOp(node, "grouped_matmul") || isOp(node, "grouped_contract")) return sortedBy(node.inputs[2]);
  if (isOp(node, "gather")) return sortedBy(node.inputs[1]);
  return null;
}

/** Shares of sorted entries; the others cost a product nothing. */
export interface MemberShares {
  /** Of all, those that exist. */
  readonly existing: Size;
  /** Of these, those that have an expert. */
  readonly members: Rational;
  /** Of these, those that had one if no entry were of an expert that computes nothing. */
  readonly computing: Rational;
}

/** The shares of a node's sorted entries; of other nodes all. */
export function memberShares(node: Node): MemberShares {
  const found = membersOf(node);
  if (found === null) return { existing: 1, members: q.ONE, computing: q.ONE };
  const { groups, of, existing, computing } = found;
  return { existing, members: q.rational(groups, of), computing: q.rational(groups, computing) };
}

function sortedBy(result: Node): Members | null {
  const sort = producerOf(result);
  if (!isOp(sort, "sort_entries")) return null;
  const { groups, share, computing = groups } = sort.attrs;
  const [by] = sort.inputs;
  const choice = choiceBehind(by);
  const of = choice && typeOf(choice.inputs[0]).shape.at(-1);
  return { groups, of: typeof of === "number" ? of : groups, existing: share ?? 1, computing };
}

/**
 * The choice whose index becomes the groups: where a list has several kinds of blocks, those of one kind are made from
 * it by comparisons. Null where they come from elsewhere.
 */
function choiceBehind(groups: Node): Node<"top_entries" | "those_entries"> | null {
  const seen = new Set([groups]);
  for (const node of seen) {
    if (isOp(node, "top_entries") || isOp(node, "those_entries")) return node;
    if (isPointwise(node) || isView(node)) for (const input of node.inputs) seen.add(input);
  }
  return null;
}
