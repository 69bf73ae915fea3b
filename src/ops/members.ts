// Experts of one kind among all: which share of a token's entries they are expected to be.
import { isOp, isPointwise, isView, producerOf, typeOf, type Node } from "../ir/graph.js";
import * as q from "../size/rational.js";
import type { Rational } from "../size/rational.js";
import { constantOf } from "../size/size.js";

/** The experts whose weights a node's rows read: how many there are, and among how many entries is chosen. */
export interface Members {
  readonly groups: number;
  readonly of: number;
  /** The share of the sorted entries that are expected to exist. */
  readonly existing: Rational;
}

/** What a product or look-up by the expert of each row says of them; null for any other node. */
export function membersOf(node: Node): Members | null {
  if (isOp(node, "grouped_matmul") || isOp(node, "grouped_contract")) return sortedBy(node.inputs[2]);
  if (isOp(node, "gather")) return sortedBy(node.inputs[1]);
  return null;
}

/** The shares of sorted entries that exist, and of these that have an expert; the others cost a product nothing. */
export function sharesOfMembers(node: Node): { readonly existing: Rational; readonly members: Rational } {
  const found = membersOf(node);
  return found === null
    ? { existing: q.ONE, members: q.ONE }
    : { existing: found.existing, members: q.rational(found.groups, found.of) };
}

function sortedBy(result: Node): Members | null {
  const sort = producerOf(result);
  if (!isOp(sort, "sort_entries")) return null;
  const { groups, share } = sort.attrs;
  const existing = share === undefined ? null : constantOf(share);
  return { groups, of: entriesBehind(sort.inputs[0]) ?? groups, existing: existing ?? q.ONE };
}

/**
 * Among how many entries the choice is whose index becomes the groups: where a list has several kinds of blocks, those
 * of one kind are made from it by comparisons. Null where they come from elsewhere.
 */
function entriesBehind(groups: Node): number | null {
  const seen = new Set([groups]);
  for (const node of seen) {
    if (isOp(node, "top_entries") || isOp(node, "those_entries")) {
      const entries = typeOf(node.inputs[0]).shape.at(-1);
      return typeof entries === "number" ? entries : null;
    }
    if (isPointwise(node) || isView(node)) for (const input of node.inputs) seen.add(input);
  }
  return null;
}
