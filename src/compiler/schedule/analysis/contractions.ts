// Rewrites contractions over rows as products of a permuted a: aᵀ · b.
import { isOp, type Graph } from "../../ir/graph.js";
import { mapGraph } from "../../passes/rewrite.js";

/**
 * The graph with each `contract` replaced by a product of the permuted a. Product kernels read the permutation in
 * place.
 */
export const contractionsAsProducts = (graph: Graph): Graph =>
  mapGraph(graph, (node, emitFrom) => {
    if (!isOp(node, "contract")) return node;
    const [a, b] = node.inputs;
    const emit = emitFrom(node);
    return emit("matmul", [emit("permute", [a], { order: [1, 0] }), b], { transposed: false });
  });
