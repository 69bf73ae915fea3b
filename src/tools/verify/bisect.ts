// Finds the first node of a graph at which two computations differ.
import { nodesReaching, type Graph, type Node } from "../../compiler/ir/graph.js";
import { computedNodes } from "./extract.js";

/** Whether the results of a node differ. */
export type Differs = (node: Node) => boolean | Promise<boolean>;

/**
 * Finds a node whose results differ although the results of all its inputs agree, starting from a differing node
 * `from`. A difference usually makes all later nodes differ, so bisection in order of computation needs few trials; if
 * it does not, the inputs are tested one by one.
 */
export async function bisect(graph: Graph, from: Node, differs: Differs): Promise<Node> {
  const tried = new Map<Node, boolean>();
  const test = async (node: Node): Promise<boolean> => {
    let known = tried.get(node);
    if (known === undefined) tried.set(node, (known = await differs(node)));
    return known;
  };
  let found = from;
  for (;;) {
    const before = computedNodes(graph, [found]).filter((n) => n !== found);
    let [agreeing, differing] = [-1, before.length];
    while (differing - agreeing > 1) {
      const middle = (agreeing + differing) >> 1;
      if (await test(before[middle]!)) differing = middle;
      else agreeing = middle;
    }
    const earlier = before[differing] ?? (await firstThat(nearest(found, new Set(before)), test));
    if (earlier === null) return found;
    found = earlier;
  }
}

async function firstThat(nodes: readonly Node[], test: (node: Node) => Promise<boolean>): Promise<Node | null> {
  for (const node of nodes) if (await test(node)) return node;
  return null;
}

/** The nodes of `among` from which `node` is reachable without passing another node of `among`. */
function nearest(node: Node, among: ReadonlySet<Node>): readonly Node[] {
  const found = new Set<Node>();
  const pending = [...node.inputs];
  const seen = new Set<Node>();
  for (let n = pending.pop(); n; n = pending.pop()) {
    if (seen.has(n)) continue;
    seen.add(n);
    if (among.has(n)) found.add(n);
    else pending.push(...n.inputs);
  }
  return nodesReaching([node]).filter((n) => found.has(n));
}
