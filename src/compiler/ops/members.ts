// Experts of one kind in a list: the expected share of a token's entries that belongs to them.
import { isOp, isPointwise, isView, producerOf, typeOf, type Node } from "../ir/graph.js";
import * as q from "../../ground/numerics/rational.js";
import type { Rational } from "../../ground/numerics/rational.js";
import type { Size } from "../../ground/size/size.js";

/** The experts whose weights a node's rows read: their number, and the number of entries of the choice. */
export interface Members {
  readonly groups: number;
  readonly of: number;
  /** The expected share of the sorted entries that exist. */
  readonly existing: Size;
  /** The number of experts in the list that compute something, these experts included. */
  readonly computing: number;
}

/** The experts of a product or look-up by each row's expert; null for any other node. */
export function membersOf(node: Node): Members | null {
  if (isOp(node, "grouped_matmul") || isOp(node, "grouped_contract")) return sortedBy(node.inputs[2]);
  if (isOp(node, "gather")) return sortedBy(node.inputs[1]);
  return null;
}

/** Shares of sorted entries. The remaining entries cost a product nothing. */
export interface MemberShares {
  /** The share of all entries that exist. */
  readonly existing: Size;
  /** The share of existing entries that have an expert here. */
  readonly members: Rational;
  /** The share of existing entries that would have an expert here if no entry chose an expert that computes nothing. */
  readonly computing: Rational;
}

/** The shares of a node's sorted entries; 1 for other nodes. */
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
 * The choice whose index becomes the groups. In a list of several kinds of blocks, the groups of one kind are computed
 * from the index by comparisons. Null if the groups have another origin.
 */
function choiceBehind(groups: Node): Node<"top_entries" | "those_entries"> | null {
  const seen = new Set([groups]);
  for (const node of seen) {
    if (isOp(node, "top_entries") || isOp(node, "those_entries")) return node;
    if (isPointwise(node) || isView(node)) for (const input of node.inputs) seen.add(input);
  }
  return null;
}
