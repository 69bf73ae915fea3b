// Parameters of a model, and those that are active for a token: what of its weights a token reads on average.
import { countOf } from "../../ground/base/collections.js";
import type { Model } from "../../language/check/model.js";
import { isOp, isView, nodesOf, type Graph, type Node } from "../ir/graph.js";
import * as q from "../../ground/numerics/rational.js";
import type { Rational } from "../../ground/numerics/rational.js";
import { atomsOf, axisSize, normal, rowsSize, type Size } from "../../ground/size/size.js";
import { languageModelHeads } from "./convention.js";
import { membersOf } from "../ops/members.js";
import { resolveShares, type RunShares, type SizeValues } from "./shares.js";

/** Numbers of values in weights. */
export interface Parameters {
  readonly total: number;
  /** Those of tables whose rows are looked up, as embeddings are. */
  readonly tables: number;
  /** Those of the language-model head, where it is no table. */
  readonly heads: number;
}

/**
 * All parameters, and the active ones: each weight by the share of tokens that read it. A routed block counts by its
 * capacity, one of E experts of which a token takes k by k/E, a table whole. Shares are exact, so that they depend on
 * no length.
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

/** Paths of the weights whose rows are looked up. */
function lookedUp(graph: Graph): ReadonlySet<string> {
  return new Set(
    nodesOf(graph).flatMap((node) =>
      isOp(node, "gather") && isOp(node.inputs[0], "weight") ? [node.inputs[0].attrs.path] : [],
    ),
  );
}

/** Paths of the weights that the nodes are, or are views of, or are joined from. */
function weightsBehind(nodes: readonly Node[]): ReadonlySet<string> {
  const seen = new Set(nodes);
  for (const node of seen) if (isView(node) || isOp(node, "concat")) for (const input of node.inputs) seen.add(input);
  return new Set([...seen].flatMap((node) => (isOp(node, "weight") ? [node.attrs.path] : [])));
}

/** By path, the share of tokens that read a weight: that of the reader with most of them. */
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
    // Each row reads the weights of one expert of all.
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

/** The share of what is joined: of a block that stands in a list more than once, that of all its places. */
function timesRead(share: Rational, inputs: readonly Node[], input: Node): Rational {
  const times = inputs.reduce((n, other) => (other === input ? n + 1 : n), 0);
  if (times === 1) return share;
  const all = q.multiply(share, q.rational(times));
  return q.compare(all, q.ONE) > 0 ? q.ONE : all;
}

/** The share of all tokens for which a node has rows; null where it has none. */
function tokensOf(graph: Graph, sizes: SizeValues): (node: Node) => Rational | null {
  const sequences = new Map(graph.axes.flatMap((a) => (a.role === "sequence" ? [[a.name, a] as const] : [])));
  const root = [...sequences.values()].find((a) => a.count.kind === "input")?.name;
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
    if (atom === undefined || root === undefined) return null;
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
