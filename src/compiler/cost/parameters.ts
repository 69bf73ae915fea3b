// A model's parameters, and the active parameters, i.e. the weights that a token reads on average.
import { countOf } from "../../ground/base/collections.js";
import type { Model } from "../../language/check/model/model.js";
import { isOp, isView, nodesOf, type Graph, type Node } from "../ir/graph.js";
import * as q from "../../ground/numerics/rational.js";
import type { Rational } from "../../ground/numerics/rational.js";
import { parentsOf } from "../../ground/size/count-rules.js";
import { atomsOf, axisSize, normal, rowsSize, type Size } from "../../ground/size/size.js";
import { languageModelHeads } from "./convention.js";
import { membersOf } from "../ops/members.js";
import { resolveShares, type RunShares, type SizeValues } from "./shares.js";

/** Numbers of weight values. */
export interface Parameters {
  readonly total: number;
  /** Values in lookup tables such as embeddings. */
  readonly tables: number;
  /** Values in the language-model head, unless it is a lookup table. */
  readonly heads: number;
}

/**
 * All parameters, and the active ones: each weight times the share of tokens that read this weight.
 * A routed block counts by its capacity. An expert counts by k/E, if a token takes k of E experts. A table counts in
 * full. The shares are exact and therefore independent of sequence lengths.
 */
export function parametersOf(
  graph: Graph,
  { weights }: Pick<Model, "weights">,
  run: RunShares,
): { readonly all: Parameters; readonly active: Parameters } {
  const tables = lookedUp(graph);
  const heads = weightsBehind([...languageModelHeads(graph)].flatMap((product) => product.inputs[1] ?? []));
  const shares = sharesOf(graph, resolveShares(graph.axes, run, false));
  const learned = weights.filter((w) => w.kind === "weight");
  const sum = (some: typeof learned, share: (path: string) => Rational): number =>
    q.toNumber(some.reduce((n, w) => q.add(n, q.multiply(q.rational(countOf(w.shape)), share(w.path))), q.ZERO));
  const counted = (share: (path: string) => Rational): Parameters => ({
    total: sum(learned, share),
    tables: sum(
      learned.filter((w) => tables.has(w.path)),
      share,
    ),
    heads: sum(
      learned.filter((w) => heads.has(w.path) && !tables.has(w.path)),
      share,
    ),
  });
  return { all: counted(() => q.ONE), active: counted((path) => shares.get(path) ?? q.ZERO) };
}

/** Paths of weights used as lookup tables. */
function lookedUp(graph: Graph): ReadonlySet<string> {
  return new Set(
    nodesOf(graph).flatMap((node) =>
      isOp(node, "gather") && isOp(node.inputs[0], "weight") ? [node.inputs[0].attrs.path] : [],
    ),
  );
}

/** Paths of weights that the nodes are, view, or concatenate. */
function weightsBehind(nodes: readonly Node[]): ReadonlySet<string> {
  const seen = new Set(nodes);
  for (const node of seen) if (isView(node) || isOp(node, "concat")) for (const input of node.inputs) seen.add(input);
  return new Set([...seen].flatMap((node) => (isOp(node, "weight") ? [node.attrs.path] : [])));
}

/** For each weight path, the largest share of tokens among the weight's readers. */
function sharesOf(graph: Graph, sizes: SizeValues): ReadonlyMap<string, Rational> {
  const shares = new Map<Node, Rational>();
  const read = (node: Node, share: Rational): void => {
    const before = shares.get(node);
    if (before === undefined || q.compare(before, share) < 0) shares.set(node, share);
  };
  for (const { node } of graph.outputs) read(node, q.ONE);
  for (const { next } of graph.states) read(next, q.ONE);
  const tokens = tokensOf(graph, sizes);
  const found = new Map<string, Rational>();
  for (const node of nodesOf(graph).toReversed()) {
    const share = tokens(node) ?? shares.get(node) ?? q.ZERO;
    // Each row reads the weights of one expert.
    const members = membersOf(node);
    const each = members
      ? q.divide(q.multiply(share, sizes.rational(members.existing)), q.rational(members.of))
      : share;
    for (const input of node.inputs) read(input, isOp(node, "concat") ? timesRead(each, node.inputs, input) : each);
    if (!isOp(node, "weight")) continue;
    const { path } = node.attrs;
    const before = found.get(path);
    if (before === undefined || q.compare(before, share) < 0) found.set(path, share);
  }
  return found;
}

/**
 * The share for one input of a concatenation. A block that occurs in a list more than once gets the sum of its shares,
 * at most 1.
 */
function timesRead(share: Rational, inputs: readonly Node[], input: Node): Rational {
  const times = inputs.reduce((n, other) => (other === input ? n + 1 : n), 0);
  if (times === 1) return share;
  const all = q.multiply(share, q.rational(times));
  return q.compare(all, q.ONE) > 0 ? q.ONE : all;
}

/**
 * The share of all tokens of its sequence for which a node has rows: of an input, or of fixed length. Null if the node
 * has no token rows.
 */
function tokensOf(graph: Graph, sizes: SizeValues): (node: Node) => Rational | null {
  const sequences = new Map(graph.axes.flatMap((a) => (a.role === "sequence" ? [[a.name, a] as const] : [])));
  const rootOf = (name: string): string => {
    const { count } = sequences.get(name)!;
    const parent = parentsOf(count).find((from) => sequences.has(from));
    return parent === undefined ? name : rootOf(parent);
  };
  const known = new Map<string, Rational | null>();
  const shareOf = (size: Size): Rational | null => {
    if (typeof size === "number") return null;
    const before = known.get(size.key);
    if (before !== undefined) return before;
    const share = computed(size);
    known.set(size.key, share);
    return share;
  };
  const computed = (size: Size): Rational | null => {
    const atom = [...atomsOf(size)].find((a) => a.kind !== "live" && sequences.has(a.axis));
    if (atom === undefined || atom.kind === "live") return null;
    const root = rootOf(atom.axis);
    const all = normal(atom.kind === "rows" ? rowsSize(root) : axisSize(root));
    return q.divide(sizes.rational(size), sizes.rational(all));
  };
  return (node) => {
    for (const size of node.types[0]?.shape ?? []) {
      const share = shareOf(size);
      if (share !== null) return share;
    }
    return null;
  };
}
