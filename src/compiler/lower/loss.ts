// Lowers losses: a value for each row, then the mean over the existing rows that are not ignored. Lowers
// log-probabilities too, and the loss of pairs in a batch.
import type { Value } from "../../language/check/model/model.js";
import { exactly } from "../../ground/base/collections.js";
import { typeOf, type Node } from "../ir/graph.js";
import type { Lowering, Placed } from "./context.js";
import { alignedOperand, padded, broadcastToType } from "./convert.js";
import { storedShape } from "./layout.js";
import { meanOfAll } from "./reduce.js";

/** −log softmax(logits)[target] of each row, 0 where the target is −1. */
function surprises(cx: Lowering, logits: Placed, targets: Placed): { readonly rows: Placed; readonly labels: Node } {
  const type = { dtype: "f32" as const, shape: logits.type.shape.slice(0, -1) };
  const packing = cx.axes.packingOf(type);
  const labels = broadcastToType(cx, targets, { dtype: targets.type.dtype, shape: type.shape });
  const node = cx.emit("cross_entropy", [packing ? logits.node : padded(cx, logits), labels], {});
  return { rows: { node, type, packing }, labels };
}

function lowerCrossEntropy(cx: Lowering, value: Value<"cross_entropy">): Placed {
  const [logits, targets] = [cx.get(value.inputs[0]), cx.get(value.inputs[1])];
  const { rows, labels } = surprises(cx, logits, targets);
  const valid = targets.type.dtype === "i32" ? { ...rows, node: cx.algebra(labels).ge(labels, 0) } : null;
  return cx.placed(meanOfAll(cx, rows, valid), value.type);
}

function lowerLogProbability(cx: Lowering, value: Value<"log_probability">): Placed {
  const { node } = surprises(cx, cx.get(value.inputs[0]), cx.get(value.inputs[1])).rows;
  return cx.placed(cx.algebra(node).neg(node), value.type);
}

/**
 * The mean over i of log Σⱼ exp(scale·aᵢ·bⱼ) − scale·aᵢ·bᵢ. Both terms are products, so that their operands have one
 * precision.
 */
function lowerContrast(cx: Lowering, value: Value<"contrast">): Placed {
  const { scale } = value.attrs;
  const [a, b] = [cx.get(value.inputs[0]), cx.get(value.inputs[1])];
  const [rows, width] = exactly(2, a.type.shape);
  const scaled = (x: Node, y: Node): Node => {
    const product = cx.emit("matmul", [x, y], { transposed: true });
    return scale === 1 ? product : cx.algebra(product).mul(product, scale);
  };
  const logits = scaled(a.node, b.node);
  const single = ({ node }: Placed): Node => cx.reshape(node, [rows, 1, width]);
  const own = cx.reshape(scaled(single(a), single(b)), [rows, 1]);
  const m = cx.algebra(logits);
  // No gradient: the largest logit cancels.
  const largest = cx.emit("stop_gradient", [cx.emit("reduce_max", [logits], { axes: [1], keep: true })], {});
  const total = cx.emit("sum", [m.exp(m.sub(logits, largest))], { axes: [1], keep: true });
  const node = cx.reshape(m.add(m.log(total), m.sub(largest, own)), [rows]);
  return cx.placed(meanOfAll(cx, { node, type: { dtype: "f32", shape: [rows] }, packing: null }, null), value.type);
}

/**
 * −t·log σ(z) − (1 − t)·log(1 − σ(z)) = (1 − t)·softplus(z) + t·softplus(−z). This form has no cancellation for t = 0
 * or 1, and its derivative is σ(z) − t everywhere, also at z = 0.
 */
function lowerBce(cx: Lowering, value: Value<"bce">): Placed {
  const logit = cx.get(value.inputs[0]);
  const target = cx.get(value.inputs[1]);
  const wider = target.type.shape.length > logit.type.shape.length ? target : logit;
  const type = { dtype: "f32" as const, shape: wider.type.shape };
  const packing = cx.axes.packingOf(type);
  const z = cx.cast(alignedOperand(cx, logit, type.shape.length, packing), "f32");
  const t = alignedOperand(cx, target, type.shape.length, packing);
  const m = cx.algebra(z);
  const minus = m.neg(z);
  const rows = ((): Placed["node"] => {
    if (typeOf(t).dtype === "bool") return m.softplus(m.where(t, minus, z));
    const share = cx.cast(t, "f32");
    return m.add(m.mul(m.sub(1, share), m.softplus(z)), m.mul(share, m.softplus(minus)));
  })();
  return cx.placed(
    meanOfAll(cx, { node: cx.broadcast(rows, storedShape(type, packing)), type, packing }, null),
    value.type,
  );
}

/** The share of tokens whose logit predicts their mask: positive where the mask is set, otherwise not. */
export function lowerAgreement(cx: Lowering, { inputs }: Value<"bce">): Placed["node"] {
  const [logit, mask] = [cx.get(inputs[0]), cx.get(inputs[1])];
  const { shape } = logit.type;
  const packing = cx.axes.packingOf(logit.type);
  const z = cx.cast(alignedOperand(cx, logit, shape.length, packing), "f32");
  const m = cx.algebra(z);
  const same = m.eq(m.gt(z, 0), alignedOperand(cx, mask, shape.length, packing));
  const rows = cx.broadcast(cx.cast(same, "f32"), storedShape(logit.type, packing));
  return meanOfAll(cx, { node: rows, type: { dtype: "f32", shape }, packing }, null);
}

export const lossLowerings = {
  cross_entropy: lowerCrossEntropy,
  log_probability: lowerLogProbability,
  contrast: lowerContrast,
  bce: lowerBce,
};
