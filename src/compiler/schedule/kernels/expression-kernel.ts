// The kernel of a stored expression: a node with its inlined producers.
import { isOp, type Node } from "../../ir/graph.js";
import { expressionKey, valuesOf } from "../addressing/expression.js";
import { declareValue, dtypeAt, soleResult } from "../addressing/expression-text.js";
import type { Layouts } from "../addressing/layouts.js";
import { indexIn, updatedState, writesOf, type FusedKernel, type FusedKernelOptions } from "./fused-kernel.js";
import { KernelBuilder, result, work, type Stored, type Work } from "./spec.js";

/** The kernel of a stored pointwise operator, view or constant, with its inlined producers. */
export function expressionKernel(node: Node, layouts: Layouts, options: FusedKernelOptions): FusedKernel {
  const { extents, tunings } = options;
  const type = node.types[0]!;
  const expression = layouts.expression([node], type.shape, new Set([node]));
  const reads = valuesOf([expression]);
  const inputOf = indexIn(reads);
  const { operations } = expression;
  const name =
    operations.length === 0
      ? isOp(node, "constant")
        ? "fill"
        : node.op
      : operations
          .slice(-3)
          .map((o) => o.node.op)
          .join("_");
  const updated = updatedState(node, expression, options);
  const takesOver = updated === null ? [] : [inputOf(updated)];
  const make = ([inPlace]: readonly boolean[], stored: Stored): Work => {
    const kernel = new KernelBuilder("pointwise", extents, name);
    const to = stored.writes[0]!;
    if (inPlace) kernel.inputIs(takesOver[0]!, "y");
    kernel.write("y", to.element(dtypeAt(expression, soleResult(expression))), result());
    const count = extents.product(extents.equal.type(type).shape);
    kernel.count("count", count);
    declareValue(kernel, layouts.same(expression), extents, { of: inputOf, codecs: stored.reads }, to);
    return work([kernel.spread(count, tunings.elements)]);
  };
  const nodes = [node, ...operations.map((o) => o.node).filter((n) => n !== node)];
  const key = `= ${name} ${takesOver.join()} ${expressionKey(expression, extents, inputOf)}`;
  return {
    nodes,
    reads,
    writes: writesOf(node, layouts, options),
    inWords: new Set(),
    decodes: null,
    takesOver,
    key,
    make,
  };
}
