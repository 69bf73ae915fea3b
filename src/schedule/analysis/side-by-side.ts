// Concatenated weights (packed QKV): a concatenation that only products read is formed when its weights are packed, at
// load or before the first product, so no kernel computes it.
import { isOp, type Node } from "../../ir/graph.js";

/**
 * An operand that a product reads packed: a weight, which the runtime packs at load, or a state of known extents, which
 * the device packs in every run.
 */
export type Packable = Node<"weight"> | Node<"state">;

const isPackable = (node: Node): node is Packable =>
  isOp(node, "weight") || (isOp(node, "state") && node.attrs.shape.every((s) => typeof s === "number"));

/** The extents of a packable operand. */
export const shapeOf = (node: Packable): readonly number[] => node.attrs.shape.map(Number);

/**
 * The weights that a product reads as its input b: one, or several matrices of one kind concatenated along the
 * product's columns; null for anything else.
 */
export function weightsOf(b: Node, transposed: boolean): readonly Packable[] | null {
  if (isPackable(b)) return [b];
  if (!isOp(b, "concat")) return null;
  const weights = b.inputs.filter(isPackable);
  const columns = transposed ? -2 : -1;
  const matrices = weights.every(
    (w) => w.op === weights[0]!.op && w.attrs.shape.length === 2 && shapeOf(w).every((s) => s > 0),
  );
  return matrices && weights.length === b.inputs.length && b.attrs.axis === 2 + columns ? weights : null;
}

/** The weights of a product, and null where `node` is no product by weights. */
export const productWeights = (node: Node): readonly Packable[] | null =>
  isOp(node, "matmul") ? weightsOf(node.inputs[1], node.attrs.transposed) : null;

/**
 * Whether the b of a product by weights is stored unpacked (row-major): a single state, which products read in place if
 * they can, since packing it costs time.
 */
export function isUnpacked(node: Node): boolean {
  const weights = productWeights(node);
  return weights?.length === 1 && isOp(weights[0]!, "state");
}

/** The concatenations among `nodes` that only products read, as weights. `stored`: nodes that the caller reads. */
export function packedAtLoad(nodes: readonly Node[], stored: ReadonlySet<Node>): ReadonlySet<Node> {
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
