// Margins of masks: how far numbers may change before a boolean computed from them changes. Routes by a mask on two
// machines can agree only within the margins of the comparisons that compute the mask.
import { countOf } from "../../ground/base/collections.js";
import { isOp, isView, typeOf, type Node } from "../ir/graph.js";
import { isFloat } from "../../ground/base/dtype.js";
import type { EvaluateContext, Tensor } from "../ops/define.js";
import { ops } from "../ops/index.js";
import { map } from "../ops/pointwise-kinds.js";
import { tensor } from "../ops/tensors.js";
import type { OpName } from "../ir/vocabulary.js";
import { scoreDistance } from "./margins.js";

/** The boolean scores of choices, also as numbers, and the booleans from which they are computed. */
export function masksOfRoutes(nodes: readonly Node[]): ReadonlySet<Node> {
  const masks = new Set<Node>();
  for (const node of nodes.toReversed()) {
    if (isOp(node, "above") && isMaskAsNumber(node.inputs[0])) masks.add(node.inputs[0]);
    if (isOp(node, "those_entries")) masks.add(node.inputs[0]);
    if (masks.has(node)) for (const input of node.inputs) if (isTruth(input)) masks.add(input);
  }
  return masks;
}

const isMaskAsNumber = (node: Node): node is Node<"cast"> => isOp(node, "cast") && isTruth(node.inputs[0]);
const isTruth = (node: Node): boolean => node.types.length === 1 && typeOf(node).dtype === "bool";

/**
 * The margin of each element of a boolean: for a comparison, the distance of its operands; for `and` and `or`, the
 * margin of the operands that decide. Choices have their own margins, and integers do not change slightly: Infinity.
 * `marginOf` returns an input's margins.
 */
export function maskMargins<K extends OpName>(
  node: Node<K>,
  inputs: readonly Tensor[],
  result: Tensor,
  marginOf: (input: Node) => Tensor | null,
  context: EvaluateContext,
): Tensor {
  const margins = node.inputs.map((input, i) => marginOf(input) ?? filled(inputs[i]!.shape, Infinity));
  const [a, b] = inputs;
  const [first, second] = margins;
  if (first && isOp(node, "pick")) return first;
  if (a && b && COMPARISONS.has(node.op)) return isFloat(a.dtype) ? paired(a, b, scoreDistance) : filled(result.shape);
  if (first && (isOp(node, "not") || isOp(node, "cast"))) return first;
  if (isOp(node, "route_mask")) return filled(result.shape);
  if (a && b && first && second && (isOp(node, "and") || isOp(node, "or"))) {
    // If an operand decides alone (false for `and`, true for `or`), its margin is positive, else negative.
    const decides = isOp(node, "and") ? 0 : 1;
    const signed = (value: Tensor, margin: Tensor): Tensor => paired(value, margin, (v, m) => (v === decides ? m : -m));
    return paired(signed(a, first), signed(b, second), (x, y) => Math.abs(Math.max(x, y)));
  }
  if (first && isView(node)) return ops[node.op].evaluate([first, ...inputs.slice(1)], node.attrs, context)[0]!;
  // Any other boolean result has the least margin of its inputs.
  return filled(
    result.shape,
    margins.reduce((least, { data }) => data.reduce((x, y) => Math.min(x, y), least), Infinity),
  );
}

const COMPARISONS: ReadonlySet<OpName> = new Set(["eq", "ne", "lt", "le", "gt", "ge"]);

const filled = (shape: readonly number[], value = Infinity): Tensor =>
  tensor("f32", shape, new Float64Array(countOf(shape)).fill(value));

/** f of the elements that broadcasting pairs. */
const paired = (a: Tensor, b: Tensor, f: (x: number, y: number) => number): Tensor => map("f32", [a, b], f);
