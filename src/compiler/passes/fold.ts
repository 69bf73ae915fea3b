// Constant folding, and removal of redundant broadcasts: rules for all pointwise operators.
import { bug } from "../../ground/base/invariant.js";
import { isOp, typeOf, type Node } from "../ir/graph.js";
import { equalTypes } from "../ir/typing.js";
import type { OpName } from "../ir/vocabulary.js";
import type { EvaluateContext, Tensor } from "../ops/define.js";
import { ops } from "../ops/index.js";
import type { Rule } from "./rewrite.js";

const pointwise = (Object.keys(ops) as OpName[]).filter((name) => ops[name].lower.kind === "pointwise");

/** Folds an operator on constants if the value is finite, since WGSL has no literals for other values. */
export const foldConstants: Rule = {
  name: "fold-constants",
  at: pointwise,
  rewrite(root, emit) {
    if (root.inputs.length === 0 || !root.inputs.every((n) => isOp(n, "constant"))) return null;
    const value = evaluateScalar(root);
    const { dtype, shape } = typeOf(root);
    return Number.isFinite(value) ? emit("constant", [], { value, dtype, shape }) : null;
  },
};

function evaluateScalar<K extends OpName>(node: Node<K>): number {
  const inputs = node.inputs.map((n): Tensor => ({
    dtype: typeOf(n).dtype,
    shape: [],
    data: Float64Array.of((n as Node<"constant">).attrs.value),
  }));
  return ops[node.op].evaluate(inputs, node.attrs, NOTHING)[0]!.data[0]!;
}

const unasked = (): never => {
  bug("a pointwise operator asks for more than its inputs");
};
const NOTHING: EvaluateContext = {
  axes: [],
  sizes: { batch: 1, sequence: unasked, rational: unasked, number: unasked },
  live: new Map(),
  seed: 0,
  source: unasked,
  forced: unasked,
  forcedEntries: unasked,
};

/** pointwise(broadcast(x), y) → pointwise(x, y) if y alone determines the shape. */
export const dropBroadcasts: Rule = {
  name: "broadcast-of-operand",
  at: pointwise,
  rewrite(root, emit) {
    for (let i = 0; i < root.inputs.length; i++) {
      const input = root.inputs[i]!;
      if (!isOp(input, "broadcast")) continue;
      const result = emit(
        root.op,
        root.inputs.map((n, j) => (j === i ? input.inputs[0] : n)),
        root.attrs,
      );
      if (equalTypes(typeOf(result), typeOf(root))) return result;
    }
    return null;
  },
};
