// Attention over packed rows, and rotary embedding.
import { countOf, exactly } from "../../ground/base/collections.js";
import { isOp, typeOf, type Node } from "../ir/graph.js";
import { inputsFor, packedAxis, printType } from "../ir/typing.js";
import {
  addSizes,
  applySize,
  axisSize,
  divideSizes,
  equalSizes,
  multiplySizes,
  printSize,
  rowsSize,
  subtractSizes,
  type Size,
} from "../../ground/size/size.js";
import type { OpAttrs } from "../ir/vocabulary.js";
import type { TensorType } from "../ir/types.js";
import { ropeFrequencies } from "../../ground/numerics/rope.js";
import type { EmitGrad, InferContext, OpTable, Tensor } from "./define.js";
import { lastDim, rowsAlong } from "./rows.js";
import {
  bytesOf,
  costPerResult,
  expectDtype,
  expectPacked,
  expectType,
  FLOATS,
  mismatch,
  rowsType,
  sameDtype,
  startsShape,
} from "./shapes.js";
import { at, roundStored, tensor } from "./tensors.js";

/** Records of attention and rotary embedding. */
export const attentions: Pick<OpTable, "rope" | "attention"> = {
  rope: {
    doc:
      "pairs (i, i + d/2) of the last dimension turned by the angles of a row's position; positions are held at " +
      "the table's last",
    infer(inputs) {
      const x = expectDtype(inputs, 0, ...FLOATS);
      if (x.shape.length < 2) mismatch(`input 0 must have rows and a last dimension, found ${printType(x)}`);
      const axis = expectPacked(x.shape, x.shape.length - 2);
      expectType(inputs, 1, "u32", rowsType(axis).shape);
      const table = expectDtype(inputs, 2, "f32");
      const width = x.shape.at(-1)!;
      if (
        table.shape.length !== 2 ||
        typeof width !== "number" ||
        width % 2 !== 0 ||
        !equalSizes(table.shape[1]!, width)
      )
        mismatch(
          `the table must be [positions, ${printSize(width)}] with an even width, found ${printType(table)} for ` +
            printType(x),
        );
      return [x];
    },
    cost: costPerResult(3),
    evaluate: (inputs) => [rotate(at(inputs, 0), at(inputs, 1), at(inputs, 2))],
    linear: (input) => input === 0,
    rows: (node, dim) => (dim === lastDim(node) - 1 ? [dim, 0, null] : null),
    tokens: "own",
    columns: null,
    // The transpose of a rotation is the inverse rotation of dy.
    grad: (emit, { inputs: [, positions, table] }, [dy]) => [
      emit("rope", [dy!, positions, inverseTable(emit, table)], {}),
      null,
      null,
    ],
    lower: { kind: "kernel", computes: 0, writesViews: [0], readsEncoded: [0], writesEncoded: true },
  },
  attention: {
    doc: "softmax(q · kᵀ · scale) · v within each sequence, by position; zeros for a query that sees no key",
    infer: (inputs, _attrs, context) => [attentionType(inputs, 7, context)],
    cost(inputs, attrs, results) {
      return { flops: attentionFlops(inputs, attrs), bytes: addSizes(bytesOf(inputs), bytesOf(results)) };
    },
    evaluate: (inputs, attrs) => [attend(inputs, attrs).y],
    // Chosen rows are rows of the queries: the starts of the chosen rows replace the starts of q.
    starts: (node) => [
      [rowsAlong(node, 0, 1), 3],
      [rowsAlong(node, 1, 1), 4],
    ],
    rows: ({ inputs }, dim) => (dim === 1 ? inputs.map((_, i) => (i === 0 ? 1 : i === 5 ? 0 : null)) : null),
    tokens: ({ attrs }) => (attrs.causal ? "earlier" : "all"),
    columns: null,
    work: "attention",
    grad(emit, node, [dy]) {
      const withStatistics = emit("attention_kept", node.inputs, node.attrs);
      return attentionCotangents(emit, withStatistics, dy!, null);
    },
    lower: { kind: "kernel", readsViews: [0, 1, 2], writesViews: [0], readsEncoded: [0, 1, 2], writesEncoded: true },
  },
};

/**
 * The cotangents of the inputs of `attention_kept`, from the cotangents of y and of the log-sum-exp lse: dlogit = p·(dp
 * − (Σ dy·y − dlse)).
 */
export function attentionCotangents(
  emit: EmitGrad,
  kept: Node<"attention_kept">,
  dy: Node,
  dlse: Node | null,
): readonly (Node | null)[] {
  const [y, lse] = [emit("pick", [kept], { result: 0 }), emit("pick", [kept], { result: 1 })];
  const rowSums = emit("sum", [emit("cast", [emit("mul", [dy, y], {})], { dtype: "f32" })], { axes: [2], keep: false });
  const delta = dlse ? emit("sub", [rowSums, dlse], {}) : rowSums;
  const [rows, weights] = [kept.inputs.slice(0, 7), kept.inputs.slice(7)];
  const inputs = inputsFor("attention_grad", [...rows, lse, delta, dy, ...weights]);
  const gradient = emit("attention_grad", inputs, kept.attrs);
  // All heads share the weights.
  const ofWeights = weights.map(() =>
    emit("sum", [emit("pick", [gradient], { result: 3 })], { axes: [0], keep: false }),
  );
  return [...rows.map((_, i) => (i < 3 ? emit("pick", [gradient], { result: i }) : null)), ...ofWeights];
}

/** Infers the type of y. The first seven inputs are attention's; `weights` is the index of the optional key weights. */
export function attentionType(inputs: readonly TensorType[], weights: number, context: InferContext): TensorType {
  const [q, k, v] = expectHeads(inputs, 3);
  const keys = expectPacked(k.shape, 1);
  if (packedAxis(v.shape[1]!) !== keys)
    mismatch(`v must have the rows of k, found ${printType(v)} and ${printType(k)}`);
  expectPlaces(inputs, 3, q, k, context);
  if (inputs.length > weights) expectType(inputs, weights, "f32", rowsType(keys).shape);
  return { dtype: q.dtype, shape: [q.shape[0]!, q.shape[1]!, v.shape[2]!] };
}

/** The types of the first `count` inputs, q, k and possibly v: [heads, rows, width] with heads that fit. */
export function expectHeads(
  inputs: readonly TensorType[],
  count: 2 | 3,
): readonly [q: TensorType, k: TensorType, v: TensorType] {
  const all = Array.from({ length: count }, (_, i) => expectDtype(inputs, i, ...FLOATS));
  const [q, k, v] = [all[0]!, all[1]!, all.at(-1)!];
  for (const t of all) {
    sameDtype(q, t);
    if (t.shape.length !== 3) mismatch(`takes [heads, rows, width], found ${printType(t)}`);
  }
  const [heads, groups] = [q.shape[0]!, k.shape[0]!];
  if (typeof heads !== "number" || typeof groups !== "number" || heads % groups !== 0)
    mismatch(`the heads of k must divide those of q, found ${printType(k)} and ${printType(q)}`);
  if (!equalSizes(q.shape[2]!, k.shape[2]!))
    mismatch(`q and k must be of one width, found ${printType(q)} and ${printType(k)}`);
  if (!equalSizes(v.shape[0]!, groups))
    mismatch(`v must have the heads of k, found ${printType(v)} and ${printType(k)}`);
  return [q, k, v];
}

/** Expects the starts of queries and of keys, and the positions of both, from input `first` on. */
export function expectPlaces(
  inputs: readonly TensorType[],
  first: number,
  q: TensorType,
  k: TensorType,
  context: InferContext,
): void {
  expectType(inputs, first, "u32", startsShape(context));
  expectType(inputs, first + 1, "u32", startsShape(context));
  expectType(inputs, first + 2, "u32", rowsType(expectPacked(q.shape, 1)).shape);
  expectType(inputs, first + 3, "u32", rowsType(expectPacked(k.shape, 1)).shape);
}

/** The two products: 2 (d + e) for each pair of rows and for each head. */
export function attentionFlops(inputs: readonly TensorType[], attrs: OpAttrs["attention"]): Size {
  const [q, k, v] = [inputs[0]!, inputs[1]!, inputs[2]!];
  const perPair = multiplySizes(multiplySizes(2, q.shape[0]!), addSizes(q.shape[2]!, v.shape[2]!));
  return multiplySizes(perPair, pairsOf(packedAxis(q.shape[1]!)!, packedAxis(k.shape[1]!)!, attrs));
}

/**
 * The number of (query, key) pairs that attend. On one axis with n rows in every sequence the number is exact: n(n +
 * 1)/2 if causal, n² if not; with a window w and m = min(w, n): m·n − m(m − 1)/2 if causal, (2m − 1)·n − m(m − 1) if
 * not. Sequences of different lengths count as if all their rows were in sequences of the longest length, rows of a
 * routed axis as if they were adjacent; for different axes every pair counts.
 */
export function pairsOf(queries: string, keys: string, { causal, window }: OpAttrs["attention"]): Size {
  const rows = rowsSize(queries);
  const n = axisSize(keys);
  if (queries !== keys || (!causal && window === 0)) return multiplySizes(rows, n);
  const half = (s: Size): Size => divideSizes(s, 2)!;
  if (window === 0) return half(multiplySizes(rows, addSizes(n, 1)));
  const m = applySize("min", [window, n]);
  const missing = multiplySizes(m, subtractSizes(m, 1));
  const perRow = causal
    ? subtractSizes(m, divideSizes(half(missing), n)!)
    : subtractSizes(subtractSizes(multiplySizes(2, m), 1), divideSizes(missing, n)!);
  return multiplySizes(rows, perRow);
}

/** (x1·cos − x2·sin, x2·cos + x1·sin) for the halves x1, x2 of each row. */
function rotate(x: Tensor, positions: Tensor, table: Tensor): Tensor {
  const width = x.shape.at(-1)!;
  const half = width / 2;
  const rows = x.shape.at(-2)!;
  const last = table.shape[0]! - 1;
  const out = new Float64Array(x.data.length);
  for (let r = 0; r < countOf(x.shape.slice(0, -1)); r++) {
    const angles = Math.min(positions.data[r % rows]!, last) * width;
    for (let i = 0, at1 = r * width, at2 = at1 + half; i < half; i++, at1++, at2++) {
      const [cos, sin] = [table.data[angles + i]!, table.data[angles + half + i]!];
      out[at1] = x.data[at1]! * cos - x.data[at2]! * sin;
      out[at2] = x.data[at2]! * cos + x.data[at1]! * sin;
    }
  }
  return roundStored(tensor(x.dtype, x.shape, out));
}

/** The rotary table with negated angles. */
function inverseTable(emit: EmitGrad, table: Node): Node {
  if (isOp(table, "rope_table"))
    return emit("rope_table", [], { ...table.attrs, frequencies: ropeFrequencies(table.attrs).map((f) => -f) });
  const width = Number(typeOf(table).shape[1]);
  const cosines = emit("slice", [table], { axis: 1, start: 0, stop: width / 2 });
  const sines = emit("slice", [table], { axis: 1, start: width / 2, stop: width });
  return emit("concat", [cosines, emit("neg", [sines], {})], { axis: 1 });
}

/** The starts of queries and of keys, and the positions of both. */
export const rowsAt = (inputs: readonly Tensor[], first: number): readonly [Data, Data, Data, Data] => [
  at(inputs, first).data,
  at(inputs, first + 1).data,
  at(inputs, first + 2).data,
  at(inputs, first + 3).data,
];
type Data = Tensor["data"];

/** Whether a query at position i attends to a key at position j of its sequence. */
export const attends =
  ({ causal, window }: OpAttrs["attention"]) =>
  (i: number, j: number): boolean =>
    (!causal || j <= i) && (window === 0 || Math.abs(i - j) < window);

/** The log-sum-exp of a query whose keys all have weight 0: exponentials of scores relative to it are 0. */
export const NO_WEIGHT = 3.4028234663852886e38;

/**
 * y, and the log-sum-exp of the scores over the keys that a query attends to; for a query without keys see
 * `attention_kept`.
 */
export function attend(
  inputs: readonly Tensor[],
  attrs: OpAttrs["attention"],
): { readonly y: Tensor; readonly lse: Tensor } {
  const { scale } = attrs;
  const [q, k, v] = [at(inputs, 0), at(inputs, 1), at(inputs, 2)];
  const [qStarts, kStarts, qPositions, kPositions] = rowsAt(inputs, 3);
  const [heads, n, width] = exactly(3, q.shape);
  const [groups, m] = exactly(3, k.shape);
  const outWidth = v.shape[2]!;
  const out = new Float64Array(heads * n * outWidth);
  const keyWeights = inputs[7]?.data ?? null;
  const scores = new Float64Array(m);
  const lse = new Float64Array(heads * n).fill(keyWeights ? NO_WEIGHT : 0);
  const seesAt = attends(attrs);
  const weightOf = (j: number): number => keyWeights?.[j] ?? 1;
  const sees = (i: number, j: number): boolean => seesAt(qPositions[i]!, kPositions[j]!) && weightOf(j) > 0;
  for (let h = 0; h < heads; h++) {
    const group = Math.floor((h * groups) / heads);
    for (let b = 0; b + 1 < qStarts.length; b++)
      for (let i = qStarts[b]!; i < qStarts[b + 1]!; i++) {
        let max = -Infinity;
        let seen = 0;
        for (let j = kStarts[b]!; j < kStarts[b + 1]!; j++) {
          if (!sees(i, j)) continue;
          let dot = 0;
          for (let c = 0, x = (h * n + i) * width, y = (group * m + j) * width; c < width; c++)
            dot += q.data[x++]! * k.data[y++]!;
          scores[j] = dot * scale;
          max = Math.max(max, scores[j]!);
          seen++;
        }
        if (seen > 0) weightedValues(i, b, group, h, max);
      }
  }
  return { y: roundStored(tensor(q.dtype, [heads, n, outWidth], out)), lse: tensor("f32", [heads, n], lse) };

  /**
   * Adds the values of the keys that query i attends to, weighted by the softmax of their scores and by the key
   * weights.
   */
  function weightedValues(i: number, b: number, group: number, h: number, max: number): void {
    const into = (h * n + i) * outWidth;
    let sum = 0;
    for (let j = kStarts[b]!; j < kStarts[b + 1]!; j++) {
      if (!sees(i, j)) continue;
      const w = weightOf(j) * Math.exp(scores[j]! - max);
      sum += w;
      for (let c = 0, y = (group * m + j) * outWidth; c < outWidth; c++)
        out[into + c] = out[into + c]! + w * v.data[y++]!;
    }
    for (let c = 0; c < outWidth; c++) out[into + c] = out[into + c]! / sum;
    lse[h * n + i] = max + Math.log(sum);
  }
}
