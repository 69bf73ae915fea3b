// Finds the gradients of logits and the results computed from them, so that they can be computed in parts of the
// classes, one after the other.
import { isOp, resultNodes, type Graph, type Node } from "../../ir/graph.js";
import { keepsColumns } from "./columns.js";

/**
 * A result that reduces or moves the columns of a gradient. `added`: the sum over parts of products with the part's
 * rows of b; `rows`, `columns`: a concatenation of the parts along rows or columns.
 */
export interface GradientResult {
  readonly node: Node;
  /** The gradient, or a column-wise function of it. */
  readonly of: Node;
  readonly kind: "added" | "rows" | "columns";
}

/** Gradients of logits that share columns, with the column-wise functions of them. */
export interface GradientGroup {
  /** In order of computation, inputs first. */
  readonly columns: readonly Node[];
  readonly results: readonly GradientResult[];
}

/**
 * Groups that can be computed in parts: every reader of their columns is column-wise or one of the results, and no
 * result depends on another.
 */
export function gradientGroups(
  nodes: readonly Node[],
  readers: ReadonlyMap<Node, readonly Node[]>,
  stored: ReadonlySet<Node>,
): readonly GradientGroup[] {
  const found = new Set(columnsInCommon(nodes).values());
  const groups = [...found].flatMap((columns): readonly GradientGroup[] => {
    const results = columns.map((of) => (stored.has(of) ? null : resultsOf(of, columns, readers, stored)));
    const all = results.every((r) => r !== null) ? results.flat() : [];
    return all.length > 0 ? [{ columns: [...columns], results: all }] : [];
  });
  // Nodes that depend on a result: a group that needs such a node is not split.
  const below = new Set<Node>(groups.flatMap((g) => g.results.map((r) => r.node)));
  if (below.size === 0) return [];
  for (const node of nodes) if (!below.has(node) && node.inputs.some((n) => below.has(n))) below.add(node);
  return groups.filter((group) => neededBy(group).every((n) => !below.has(n)));
}

/** Gradients of logits and column-wise functions of them, each with the nodes it shares columns with. */
function columnsInCommon(nodes: readonly Node[]): ReadonlyMap<Node, readonly Node[]> {
  const groupOf = new Map<Node, Node[]>();
  for (const node of nodes) {
    const joined = isOp(node, "sum")
      ? []
      : [...new Set(node.inputs.flatMap((n) => (keepsColumns(node, n) ? (groupOf.get(n) ?? []) : [])))];
    if (!isOp(node, "cross_entropy_grad") && joined.length === 0) continue;
    const group = [...joined, node];
    for (const member of group) groupOf.set(member, group);
  }
  return groupOf;
}

/** The inputs of a group from outside. */
function neededBy({ columns, results }: GradientGroup): readonly Node[] {
  const inside = new Set<Node>([...columns, ...results.map((r) => r.node)]);
  return [...inside].flatMap((node) => node.inputs.filter((n) => !inside.has(n)));
}

/** The results that read a member of a group; null where a reader needs its columns whole, or nothing reads it. */
function resultsOf(
  of: Node,
  columns: readonly Node[],
  readers: ReadonlyMap<Node, readonly Node[]>,
  stored: ReadonlySet<Node>,
): readonly GradientResult[] | null {
  const byReader = (readers.get(of) ?? []).map((reader) =>
    columns.includes(reader) ? [] : resultsBy(reader, of, readers, stored),
  );
  return byReader.length > 0 && byReader.every((r) => r !== null) ? byReader.flat() : null;
}

/** The results in which a reader of columns ends; null if a reader needs the columns whole. */
function resultsBy(
  reader: Node,
  of: Node,
  readers: ReadonlyMap<Node, readonly Node[]>,
  stored: ReadonlySet<Node>,
): readonly GradientResult[] | null {
  const isMatrix = (node: Node): boolean => node.types[0]!.shape.length === 2;
  if (isOp(reader, "sum"))
    return reader.inputs[0] === of && keepsColumns(reader, of) ? [{ node: reader, of, kind: "columns" }] : null;
  if (isOp(reader, "matmul")) {
    const [a, b] = reader.inputs;
    if (a === of && b !== of && isMatrix(b)) return [{ node: reader, of, kind: "added" }];
    return b === of && a !== of && isMatrix(b) && !reader.attrs.transposed
      ? [{ node: reader, of, kind: "columns" }]
      : null;
  }
  if (!isOp(reader, "permute") || !isMatrix(of) || reader.attrs.order[0] !== 1 || stored.has(reader)) return null;
  const products = readers.get(reader) ?? [];
  return products.every((p) => isOp(p, "matmul") && p.inputs[0] === reader && p.inputs[1] !== reader)
    ? products.map((node): GradientResult => ({ node, of, kind: "rows" }))
    : null;
}

/** The nodes of a graph in order of computation, with each group's results after all inputs of the group. */
export function groupsLast(graph: Graph, groups: readonly GradientGroup[]): readonly Node[] {
  const before = new Map<Node, readonly Node[]>();
  for (const group of groups) {
    const needed = neededBy(group);
    for (const { node } of group.results) before.set(node, needed);
  }
  const order = new Set<Node>();
  const stack: { readonly node: Node; readonly inputs: readonly Node[]; next: number }[] = [];
  const enter = (node: Node): void =>
    void stack.push({ node, inputs: [...node.inputs, ...(before.get(node) ?? [])], next: 0 });
  for (const root of [...resultNodes(graph), ...graph.starts.values()]) {
    if (!order.has(root)) enter(root);
    for (let top = stack.at(-1); top; top = stack.at(-1)) {
      const input = top.inputs[top.next++];
      if (input === undefined) {
        order.add(top.node);
        stack.pop();
      } else if (!order.has(input)) enter(input);
    }
  }
  return [...order];
}
