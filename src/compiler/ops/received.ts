// The attention that each key receives: the sum of its attention shares over queries.
import { exactly } from "../../ground/base/collections.js";
import { addSizes, multiplySizes, type Size } from "../../ground/size/size.js";
import { packedAxis } from "../ir/typing.js";
import type { TensorType } from "../ir/types.js";
import type { OpAttrs } from "../ir/vocabulary.js";
import { attends, expectHeads, expectPlaces, pairsOf, rowsAt } from "./attention.js";
import type { InferContext, OpTable, Tensor } from "./define.js";
import { rowsAlong } from "./rows.js";
import { bytesOf } from "./shapes.js";
import { at, tensor } from "./tensors.js";

export const receiving: Pick<OpTable, "received"> = {
  received: {
    doc: "for each key the sum over the queries that see it of its share of their attention",
    infer: (inputs, _attrs, context) => [receivedType(inputs, context)],
    // The scores once for the queries' sums, and once for the keys' sums.
    cost: (inputs, attrs, results) => ({
      flops: multiplySizes(SCORES, scoreFlops(inputs, attrs)),
      bytes: addSizes(bytesOf(inputs), bytesOf(results)),
    }),
    evaluate: (inputs, attrs) => [receivedBy(inputs, attrs)],
    starts: (node) => [
      [rowsAlong(node, 0, 1), 2],
      [rowsAlong(node, 1, 1), 3],
    ],
    rows: null,
    tokens: "all",
    columns: null,
    work: "attention",
    grad: null,
    lower: { kind: "kernel", readsViews: [0, 1] },
  },
};

const SCORES = 2;

/** 2 d for each pair of rows and for each head. */
function scoreFlops(inputs: readonly TensorType[], attrs: OpAttrs["received"]): Size {
  const [q, k] = [inputs[0]!, inputs[1]!];
  const perPair = multiplySizes(multiplySizes(2, q.shape[0]!), q.shape[2]!);
  return multiplySizes(perPair, pairsOf(packedAxis(q.shape[1]!)!, packedAxis(k.shape[1]!)!, attrs));
}

function receivedType(inputs: readonly TensorType[], context: InferContext): TensorType {
  const [q, k] = expectHeads(inputs, 2);
  expectPlaces(inputs, 2, q, k, context);
  return { dtype: "f32", shape: [q.shape[0]!, k.shape[1]!] };
}

function receivedBy(inputs: readonly Tensor[], attrs: OpAttrs["received"]): Tensor {
  const [q, k] = [at(inputs, 0), at(inputs, 1)];
  const [qStarts, kStarts, qPositions, kPositions] = rowsAt(inputs, 2);
  const [heads, n, width] = exactly(3, q.shape);
  const [groups, m] = exactly(3, k.shape);
  const out = tensor("f32", [heads, m]);
  const sees = attends(attrs);
  for (let h = 0; h < heads; h++) {
    const group = Math.floor((h * groups) / heads);
    for (let b = 0; b + 1 < qStarts.length; b++)
      for (let i = qStarts[b]!; i < qStarts[b + 1]!; i++) addShares(h, group, b, i);
  }
  return out;

  /** Adds the shares of one query's attention. */
  function addShares(h: number, group: number, b: number, i: number): void {
    const seen: number[] = [];
    for (let j = kStarts[b]!; j < kStarts[b + 1]!; j++) if (sees(qPositions[i]!, kPositions[j]!)) seen.push(j);
    const scores = seen.map((j) => {
      let dot = 0;
      for (let c = 0, x = (h * n + i) * width, y = (group * m + j) * width; c < width; c++)
        dot += q.data[x++]! * k.data[y++]!;
      return dot * attrs.scale;
    });
    const most = scores.reduce((a, s) => Math.max(a, s), -Infinity);
    const shares = scores.map((s) => Math.exp(s - most));
    const sum = shares.reduce((a, s) => a + s, 0);
    seen.forEach((j, at) => (out.data[h * m + j] = out.data[h * m + j]! + shares[at]! / sum));
  }
}
