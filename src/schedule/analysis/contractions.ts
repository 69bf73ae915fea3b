// Contractions over rows as products: aᵀ · b is what the kernels of products compute when they read a by its columns.
import { isOp, type Graph } from "../../ir/graph.js";
import { mapGraph } from "../../passes/rewrite.js";

/** The graph with each `contract` a product of the permuted a, which no kernel needs to move. */
export const contractionsAsProducts = (graph: Graph): Graph =>
  mapGraph(graph, (node, emitFrom) => {
    if (!isOp(node, "contract")) return node;
    const [a, b] = node.inputs;
    const emit = emitFrom(node);
    return emit("matmul", [emit("permute", [a], { order: [1, 0] }), b], { transposed: false });
  });
