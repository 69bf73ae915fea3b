// Attention with the statistics that its gradient needs, and the gradient of attention.
import { exactly } from "../../ground/base/collections.js";
import type { Node } from "../ir/graph.js";
import type { TensorType } from "../ir/types.js";
import type { OpAttrs } from "../ir/vocabulary.js";
import { addSizes, multiplySizes, type Size } from "../../ground/size/size.js";
import { attend, attentionCotangents, attentionFlops, attentionType, attends, rowsAt } from "./attention.js";
import type { EmitGrad, OpTable, Tensor } from "./define.js";
import { bytesOf, expectType } from "./shapes.js";
import { rowsAlong } from "./rows.js";
import { at, roundStored, tensor } from "./tensors.js";

const zeros = (emit: EmitGrad, type: TensorType): Node => emit("constant", [], { value: 0, ...type });

/** Records of attention in training. */
export const attentionGradients: Pick<OpTable, "attention_kept" | "attention_grad"> = {
  attention_kept: {
    doc:
      "attention, and for each query the logarithm of the sum of the exponentials of its scores; 0, or with weights " +
      "the largest number, for one that sees no key",
    infer(inputs, _attrs, context) {
      const y = attentionType(inputs, 7, context);
      return [y, { dtype: "f32", shape: y.shape.slice(0, 2) }];
    },
    cost: (inputs, attrs, results) => ({
      flops: attentionFlops(inputs, attrs),
      bytes: addSizes(bytesOf(inputs), bytesOf(results)),
    }),
    evaluate(inputs, attrs) {
      const { y, lse } = attend(inputs, attrs);
      return [y, lse];
    },
    starts: (node) => [
      [rowsAlong(node, 0, 1), 3],
      [rowsAlong(node, 1, 1), 4],
    ],
    rows: null,
    tokens: ({ attrs }) => (attrs.causal ? "earlier" : "all"),
    columns: null,
    work: "attention",
    grad: (emit, node, [dy, dlse]) => attentionCotangents(emit, node, dy ?? zeros(emit, node.types[0]!), dlse!),
    lower: { kind: "kernel", readsViews: [0, 1, 2], writesViews: [0] },
  },
  attention_grad: {
    doc: "gradients of attention with respect to q, k, v and weights, if any; heads that share keys add up",
    infer(inputs, _attrs, context) {
      const y = attentionType(inputs, 10, context);
      const each: readonly Size[] = y.shape.slice(0, 2);
      expectType(inputs, 7, "f32", each);
      expectType(inputs, 8, "f32", each);
      expectType(inputs, 9, y.dtype, y.shape);
      const ofWeights: TensorType = { dtype: "f32", shape: inputs[1]!.shape.slice(0, 2) };
      return [inputs[0]!, inputs[1]!, inputs[2]!, ...(inputs.length > 10 ? [ofWeights] : [])];
    },
    // The scores again, the products with dy, and three products for the gradients: 5 products, compared with
    // attention's 2.
    cost: (inputs, attrs, results) => ({
      flops: multiplySizes(GRADIENT_WORK, attentionFlops(inputs, attrs)),
      bytes: addSizes(bytesOf(inputs), bytesOf(results)),
    }),
    evaluate: (inputs, attrs) => attendBackward(inputs, attrs),
    starts: (node) => [
      [rowsAlong(node, 0, 1), 3],
      [rowsAlong(node, 1, 1), 4],
    ],
    rows: null,
    tokens: "all",
    columns: null,
    work: "attention",
    grad: null,
    lower: { kind: "kernel", readsViews: [0, 1, 2, 9], writesViews: [0, 1, 2] },
  },
};

/**
 * With equal head widths in q and v, the backward pass has five products and attention has two: a factor of 2.5.
 * Rounded up to an integer, since the two kernels (for dq, and for dk and dv) repeat some of the work.
 */
const GRADIENT_WORK = 3;

function attendBackward(inputs: readonly Tensor[], attrs: OpAttrs["attention_grad"]): readonly Tensor[] {
  const [q, k, v, dy] = [at(inputs, 0), at(inputs, 1), at(inputs, 2), at(inputs, 9)];
  const [qStarts, kStarts, qPositions, kPositions] = rowsAt(inputs, 3);
  const [lse, delta] = [at(inputs, 7).data, at(inputs, 8).data];
  const [heads, n, width] = exactly(3, q.shape);
  const [groups, m] = exactly(3, k.shape);
  const outWidth = v.shape[2]!;
  const zeros = (t: Tensor): Float64Array => new Float64Array(t.data.length);
  const [dq, dk, dv] = [zeros(q), zeros(k), zeros(v)];
  const keyWeights = inputs[10]?.data ?? null;
  const ofWeights = new Float64Array(keyWeights ? groups * m : 0);
  const sees = attends(attrs);
  for (let h = 0; h < heads; h++) {
    const group = Math.floor((h * groups) / heads);
    for (let b = 0; b + 1 < qStarts.length; b++)
      for (let i = qStarts[b]!; i < qStarts[b + 1]!; i++)
        for (let j = kStarts[b]!; j < kStarts[b + 1]!; j++)
          if (sees(qPositions[i]!, kPositions[j]!) && (keyWeights?.[j] ?? 1) >= 0)
            addPair(h * n + i, group * m + j, keyWeights?.[j] ?? 1);
  }
  const gradients = [q, k, v].map((t, r) => roundStored(tensor(t.dtype, t.shape, [dq, dk, dv][r])));
  return [...gradients, ...(keyWeights ? [tensor("f32", [groups, m], ofWeights)] : [])];

  /**
   * Adds the contribution of a query and a key that it attends to, or would attend to if the key's weight were not 0.
   */
  function addPair(query: number, key: number, keyWeight: number): void {
    const [x, y, z, e] = [query * width, key * width, key * outWidth, query * outWidth];
    let [score, dWeight] = [0, 0];
    for (let c = 0; c < width; c++) score += q.data[x + c]! * k.data[y + c]!;
    for (let c = 0; c < outWidth; c++) dWeight += dy.data[e + c]! * v.data[z + c]!;
    const share = Math.exp(score * attrs.scale - lse[query]!);
    if (keyWeights) ofWeights[key] = ofWeights[key]! + share * (dWeight - delta[query]!);
    const weight = keyWeight * share;
    const dScore = weight * (dWeight - delta[query]!) * attrs.scale;
    for (let c = 0; c < outWidth; c++) dv[z + c] = dv[z + c]! + weight * dy.data[e + c]!;
    for (let c = 0; c < width; c++) {
      dq[x + c] = dq[x + c]! + dScore * k.data[y + c]!;
      dk[y + c] = dk[y + c]! + dScore * q.data[x + c]!;
    }
  }
}
