// Shifted rows as rows of an index, which what reads them finds by itself: a shift moves nothing.
import { isOp, typeOf, type Graph } from "../../ir/graph.js";
import { packedAxis } from "../../ir/typing.js";
import { mapGraph } from "../../passes/rewrite.js";
import { invariant } from "../../../ground/base/invariant.js";

/** The graph with each `shift` replaced by the rows of an index, and zeros where there is no such row. */
export const shiftsAsRows = (graph: Graph): Graph =>
  mapGraph(graph, (node, emitFrom) => {
    if (!isOp(node, "shift")) return node;
    const [x, starts] = node.inputs;
    const { dim, by } = node.attrs;
    const { dtype, shape } = typeOf(x);
    const axis = packedAxis(shape[dim]!);
    invariant(axis !== null, "a shift moves packed rows");
    const emit = emitFrom(node);
    const rows = emit("shifted_rows", [starts], { axis, by });
    const exists = emit("pick", [rows], { result: 1 });
    const taken = emit("take", [x, emit("pick", [rows], { result: 0 })], { dim });
    const trailing = shape.slice(dim + 1).map(() => 1);
    const held = trailing.length === 0 ? exists : emit("reshape", [exists], { shape: [shape[dim]!, ...trailing] });
    return emit("where", [held, taken, emit("constant", [], { value: 0, dtype, shape: [] })], {});
  });
