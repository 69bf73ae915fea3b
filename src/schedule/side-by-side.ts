// Weights side by side: a concatenation that only products read is made when the weights are loaded, and never computed.
import { isOp, type Node } from "../ir/graph.js";

/** The weights that a product reads as its input b: one, or several matrices concatenated along the product's columns; null for anything else. */
export function weightsOf(b: Node, transposed: boolean): readonly Node<"weight">[] | null {
  if (isOp(b, "weight")) return [b];
  if (!isOp(b, "concat")) return null;
  const weights = b.inputs.filter((n) => isOp(n, "weight"));
  const columns = transposed ? -2 : -1;
  const matrices = weights.every((w) => w.attrs.shape.length === 2 && w.attrs.shape.every((s) => s > 0));
  return matrices && weights.length === b.inputs.length && b.attrs.axis === 2 + columns ? weights : null;
}

/** The weights of a product, and null where `node` is no product by weights. */
export const productWeights = (node: Node): readonly Node<"weight">[] | null =>
  isOp(node, "matmul") ? weightsOf(node.inputs[1]!, node.attrs.transposed) : null;

/** The concatenations in a list of nodes that products read as weights and nothing else reads; `stored` are those that the caller reads. */
export function madeWhenLoaded(nodes: readonly Node[], stored: ReadonlySet<Node>): ReadonlySet<Node> {
  const packed = new Set<Node>();
  const computed = new Set<Node>(stored);
  for (const node of nodes)
    node.inputs.forEach((input, i) => {
      if (!isOp(input, "concat")) return;
      if (i === 1 && productWeights(node)) packed.add(input);
      else computed.add(input);
    });
  return new Set([...packed].filter((n) => !computed.has(n)));
}
