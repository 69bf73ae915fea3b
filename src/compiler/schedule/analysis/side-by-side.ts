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

/** The node that stores a product's matrices b. If b is a reshape, it is the reshape's operand: no element moves. */
export function heldB(product: Node<"matmul"> | Node<"grouped_matmul">): Node {
  const [, b] = product.inputs;
  return isOp(product, "grouped_matmul") && isOp(b, "reshape") ? b.inputs[0] : b;
}

/** Whether the node is a product by these weights. */
export const isProductBy = (node: Node, held: Node): node is Node<"matmul"> | Node<"grouped_matmul"> =>
  (isOp(node, "matmul") || isOp(node, "grouped_matmul")) && heldB(node) === held && productWeights(node) !== null;

/**
 * The weights of a product, and null where `node` is no product by weights. Those of a grouped one stand side by side
 * as if the columns of all its matrices were one's.
 */
export function productWeights(node: Node): readonly Packable[] | null {
  if (!isOp(node, "matmul") && !isOp(node, "grouped_matmul")) return null;
  const { transposed } = node.attrs;
  const matrix = heldB(node);
  return isOp(node, "matmul") || isPackable(matrix) || transposed ? weightsOf(matrix, transposed) : null;
}

/**
 * Whether the b of a product by weights is stored unpacked (row-major): a single state, which products read in place if
 * they can, since packing it costs time.
 */
export function isUnpacked(node: Node): boolean {
  const weights = productWeights(node);
  return weights?.length === 1 && isOp(weights[0]!, "state");
}

const behindReshape = (node: Node): Node =>
  isOp(node, "reshape") && isOp(node.inputs[0], "concat") ? node.inputs[0] : node;

/** The concatenations among `nodes` that only products read, as weights. `stored`: nodes that the caller reads. */
export function packedAtLoad(nodes: readonly Node[], stored: ReadonlySet<Node>): ReadonlySet<Node> {
  const packed = new Set<Node>();
  const computed = new Set<Node>([...stored].map(behindReshape));
  for (const node of nodes) {
    // Who reads a stack decides about what it is a reshape of.
    if (behindReshape(node) !== node) continue;
    node.inputs.forEach((input, i) => {
      const matrix = behindReshape(input);
      if (!isOp(matrix, "concat")) return;
      if (i === 1 && isProductBy(node, matrix)) packed.add(matrix);
      else computed.add(matrix);
    });
  }
  return new Set([...packed].filter((n) => !computed.has(n)));
}
