// Attention that reads values of pairs of tokens, and its gradient.
import { exactly } from "../../ground/base/collections.js";
import { isOp, type Node } from "../ir/graph.js";
import type { Pair, PairSide } from "../ir/pair.js";
import { inputsFor, packedAxis, printType } from "../ir/typing.js";
import type { TensorType } from "../ir/types.js";
import type { OpAttrs } from "../ir/vocabulary.js";
import { addSizes, axisSize, equalSizes, multiplySizes, type Size } from "../../ground/size/size.js";
import { attends, attentionFlops, attentionType, NO_WEIGHT, pairsOf, rowsAt } from "./attention.js";
import type { EmitGrad, EvaluateContext, OpTable, Tensor } from "./define.js";
import { checkSteps, slopesOf, smoothOperands, stepValues } from "./pair-steps.js";
import { rowsAlong } from "./rows.js";
import { bytesOf, expectType, mismatch } from "./shapes.js";
import { at, roundStored, tensor } from "./tensors.js";

type Attrs = OpAttrs["pair_attention"];

/** The number of an attention's first operand among its inputs: behind q, k, v, starts and positions. */
export const FIRST_OPERAND = 7;

/** Records of attention that reads pairs. */
export const pairAttentions: Pick<OpTable, "pair_attention" | "pair_attention_grad"> = {
  pair_attention: {
    doc:
      "attention whose scores are capped, raised by a bias and seen through a mask of pairs of tokens; and for each " +
      "query the logarithm of the sum of its weighted exponentials, or the largest number for one that sees no key",
    infer(inputs, { pair }, context) {
      const y = attentionType(inputs, Infinity, context);
      expectOperands(inputs, pair);
      return [y, { dtype: "f32", shape: y.shape.slice(0, 2) }];
    },
    cost: (inputs, attrs, results) => ({
      flops: addSizes(attentionFlops(inputs, attrs), stepFlops(inputs, attrs, attrs.pair.steps.length)),
      bytes: addSizes(bytesOf(inputs), bytesOf(results)),
    }),
    evaluate: (inputs, attrs, context) => attend(inputs, attrs, context),
    starts: startsOf,
    rows: null,
    tokens: ({ attrs }) => (attrs.causal ? "earlier" : "all"),
    columns: null,
    work: "attention",
    grad: cotangents,
    lower: { kind: "kernel", readsViews: [0, 1, 2], writesViews: [0], readsEncoded: [0, 1, 2], writesEncoded: true },
  },
  pair_attention_grad: {
    doc: "gradients of attention that reads pairs, with respect to q, k, v and the operands of its bias and weights",
    infer(inputs, { pair }, context) {
      const last = inputs.length - 3;
      const forward = inputs.slice(0, last);
      const y = attentionType(forward, Infinity, context);
      expectOperands(forward, pair);
      const each: readonly Size[] = y.shape.slice(0, 2);
      expectType(inputs, last, "f32", each);
      expectType(inputs, last + 1, "f32", each);
      expectType(inputs, last + 2, y.dtype, y.shape);
      return [...inputs.slice(0, 3), ...gradientTypes(forward, pair)];
    },
    cost: (inputs, attrs, results) => ({
      flops: multiplySizes(
        3,
        addSizes(attentionFlops(inputs, attrs), stepFlops(inputs, attrs, slopesOf(attrs.pair).steps.length)),
      ),
      bytes: addSizes(bytesOf(inputs), bytesOf(results)),
    }),
    evaluate: attendBackward,
    starts: startsOf,
    rows: null,
    tokens: "all",
    columns: null,
    work: "attention",
    grad: null,
    lower: { kind: "kernel", readsViews: [0, 1, 2], writesViews: [0, 1, 2] },
  },
};

function startsOf(node: Node): readonly (readonly [string | null, number])[] {
  return [
    [rowsAlong(node, 0, 1), 3],
    [rowsAlong(node, 1, 1), 4],
  ];
}

/** One operation for each step, pair and head. */
const stepFlops = (inputs: readonly TensorType[], attrs: Attrs, steps: number): Size =>
  multiplySizes(
    multiplySizes(steps, inputs[0]!.shape[0]!),
    pairsOf(packedAxis(inputs[0]!.shape[1]!)!, packedAxis(inputs[1]!.shape[1]!)!, attrs),
  );

function expectOperands(inputs: readonly TensorType[], pair: Pair): void {
  const operands = inputs.slice(FIRST_OPERAND);
  if (operands.length !== pair.operands.length)
    mismatch(`the pair has ${pair.operands.length} operands, found ${operands.length}`);
  const [heads, queries] = inputs[0]!.shape;
  const keys = inputs[1]!.shape[1]!;
  operands.forEach(({ shape }, i) => {
    const side = pair.operands[i]!;
    const along = behindHeads(side, shape);
    const expected: Readonly<Record<PairSide, readonly Size[]>> = {
      query: [queries!],
      key: [keys],
      table: shape.slice(0, 1),
      pair: [queries!, axisSize(packedAxis(keys)!)],
    };
    const fits =
      along.length === expected[side].length && along.every((size, d) => equalSizes(size, expected[side][d]!));
    const perHead = shape.length > along.length;
    const head = side === "table" ? shape.at(-1)! : shape[0]!;
    if (!fits || shape.length > along.length + 1 || (perHead && !equalSizes(head, heads!)))
      mismatch(`operand ${i} of the pair does not lie along its ${side}, found ${printType(operands[i]!)}`);
  });
  checkSteps(
    pair,
    operands.map((t) => t.dtype),
  );
}

/** The rank of an operand that is the same for all heads. */
const RANKS: Readonly<Record<PairSide, number>> = { query: 1, key: 1, table: 1, pair: 2 };

/** Whether an operand has an element for each head. */
export const isPerHead = (side: PairSide, { shape }: { readonly shape: readonly unknown[] }): boolean =>
  shape.length > RANKS[side];

/** The dimensions of an operand without that of heads. */
const behindHeads = (side: PairSide, shape: readonly Size[]): readonly Size[] =>
  isPerHead(side, { shape }) ? (side === "table" ? shape.slice(0, -1) : shape.slice(1)) : shape;

/** Operands with gradients in the order of the results: all of queries, all of keys, tables, pairs. */
export function gradientOrder(pair: Pair): Readonly<Record<PairSide, readonly number[]>> {
  const smooth = smoothOperands(pair);
  const of = (side: PairSide): readonly number[] =>
    pair.operands.flatMap((s, i) => (s === side && smooth.has(i) ? [i] : []));
  return { query: of("query"), key: of("key"), table: of("table"), pair: of("pair") };
}

function gradientTypes(inputs: readonly TensorType[], pair: Pair): readonly TensorType[] {
  const [heads, queries] = inputs[0]!.shape;
  const [groups, keys] = inputs[1]!.shape;
  const order = gradientOrder(pair);
  const type = (...shape: readonly Size[]): TensorType => ({ dtype: "f32", shape });
  return [
    ...(order.query.length > 0 ? [type(order.query.length, heads!, queries!)] : []),
    ...(order.key.length > 0 ? [type(order.key.length, groups!, keys!)] : []),
    ...order.table.map((i) => type(heads!, inputs[FIRST_OPERAND + i]!.shape[0]!)),
    ...order.pair.map(() => type(heads!, queries!, axisSize(packedAxis(keys!)!))),
  ];
}

/** The cotangents of the inputs: of q, k, v and of operands that are floats. */
function cotangents(
  emit: EmitGrad,
  node: Node<"pair_attention">,
  [dy, dlse]: readonly (Node | null)[],
): readonly (Node | null)[] {
  const { pair } = node.attrs;
  const [yType] = node.types;
  const dyOf = dy ?? emit("constant", [], { value: 0, ...yType! });
  const [y, lse] = [emit("pick", [node], { result: 0 }), emit("pick", [node], { result: 1 })];
  const rowSums = emit("sum", [emit("cast", [emit("mul", [dyOf, y], {})], { dtype: "f32" })], {
    axes: [2],
    keep: false,
  });
  const delta = dlse ? emit("sub", [rowSums, dlse], {}) : rowSums;
  const order = gradientOrder(pair);
  const [q, k, v] = exactly(3, node.inputs.slice(0, 3));
  const [heads, groups] = [q, k].map((x) => Number(x.types[0]!.shape[0]));
  // Sums over keys are made for each head of keys: for operands with an element for each head, every head has its own.
  const perHead = order.key.some((i) => isPerHead("key", node.inputs[FIRST_OPERAND + i]!.types[0]!));
  const apart = perHead && heads !== groups;
  const own = (x: Node): Node => (apart ? repeated(emit, x, heads! / groups!) : x);
  const inputs = [q, own(k), own(v), ...node.inputs.slice(3), lse, delta, dyOf];
  const gradient = emit("pair_attention_grad", inputsFor("pair_attention_grad", inputs), node.attrs);
  const result = (i: number): Node => emit("pick", [gradient], { result: i });
  const shared = (x: Node): Node => (apart ? summedHeads(emit, x, groups!) : x);
  const ofOperands = new Map<number, Node>();
  let next = 3;
  for (const side of ["query", "key"] as const) {
    if (order[side].length === 0) continue;
    const all = result(next++);
    order[side].forEach((operand, i) => {
      const { shape } = all.types[0]!;
      const one = emit("reshape", [emit("slice", [all], { axis: 0, start: i, stop: i + 1 })], {
        shape: shape.slice(1),
      });
      ofOperands.set(operand, one);
    });
  }
  for (const side of ["table", "pair"] as const)
    for (const operand of order[side]) ofOperands.set(operand, result(next++));
  const operands = pair.operands.map((side, i): Node | null => {
    const found = ofOperands.get(i);
    const type = node.inputs[FIRST_OPERAND + i]!.types[0]!;
    if (!found) return null;
    const whole = isPerHead(side, type)
      ? side === "table"
        ? emit("permute", [found], { order: [1, 0] })
        : found
      : emit("sum", [found], { axes: [0], keep: false });
    return type.dtype === "f32" ? whole : emit("cast", [whole], { dtype: type.dtype });
  });
  return [result(0), shared(result(1)), shared(result(2)), null, null, null, null, ...operands];
}

/** [G, M, d] → [G · each, M, d]: each head `each` times. */
function repeated(emit: EmitGrad, x: Node, each: number): Node {
  const [groups, rows, width] = exactly(3, x.types[0]!.shape);
  const apart = emit("reshape", [x], { shape: [groups, 1, rows, width] });
  const all = emit("broadcast", [apart], { shape: [groups, each, rows, width] });
  return emit("reshape", [all], { shape: [multiplySizes(groups, each), rows, width] });
}

/** The sums over the heads of each group. */
function summedHeads(emit: EmitGrad, x: Node, groups: number): Node {
  const [heads, rows, width] = exactly(3, x.types[0]!.shape);
  const apart = emit("reshape", [x], { shape: [groups, Number(heads) / groups, rows, width] });
  return emit("sum", [apart], { axes: [1], keep: false });
}

/** What the pairs of one query and head are: for each key of its sequence, and whether it is seen. */
interface QueryPairs {
  readonly sees: readonly boolean[];
  /** The scores, capped and with their bias. */
  readonly scores: Float64Array;
  /** d score / d (scaled product). */
  readonly slopes: Float64Array;
  readonly steps: readonly Tensor[];
}

/** The loops over heads, sequences and queries; `visit` gets the rows of the query and of its sequence's first key. */
function ofEachQuery(
  inputs: readonly Tensor[],
  attrs: Attrs,
  steps: Pair["steps"],
  context: EvaluateContext,
  visit: (head: number, group: number, query: number, firstKey: number, pairs: QueryPairs) => void,
): void {
  const { pair } = attrs;
  const [q, k] = [at(inputs, 0), at(inputs, 1)];
  const [qStarts, kStarts, qPositions, kPositions] = rowsAt(inputs, 3);
  const [heads, n, width] = exactly(3, q.shape);
  const [groups, m] = exactly(3, k.shape);
  const sees = attends(attrs);
  for (let h = 0; h < heads; h++) {
    const group = Math.floor((h * groups) / heads);
    for (let b = 0; b + 1 < qStarts.length; b++)
      for (let i = qStarts[b]!; i < qStarts[b + 1]!; i++) {
        const [first, end] = [kStarts[b]!, kStarts[b + 1]!];
        const count = end - first;
        const values = stepValues(steps, context, (step, args) => leafOf(step, args, h, i, first, count));
        const read = (number: number | null, j: number): number | null =>
          number === null ? null : values[number]!.data[values[number]!.data.length === 1 ? 0 : j]!;
        const [scores, slopes] = [new Float64Array(count), new Float64Array(count).fill(1)];
        const seen = Array.from({ length: count }, (_, j) => {
          if (!sees(qPositions[i]!, kPositions[first + j]!) || read(pair.mask, j) === 0) return false;
          let dot = 0;
          for (let c = 0, x = (h * n + i) * width, y = (group * m + first + j) * width; c < width; c++)
            dot += q.data[x++]! * k.data[y++]!;
          let score = dot * attrs.scale;
          if (pair.cap !== null) {
            const t = Math.tanh(score / pair.cap);
            score = pair.cap * t;
            slopes[j] = 1 - t * t;
          }
          scores[j] = score + (read(pair.bias, j) ?? 0);
          return true;
        });
        visit(h, group, i, first, { sees: seen, scores, slopes, steps: values });
      }
  }

  /** The element of an operand for this head and query, for each key of the sequence if it depends on the key. */
  function leafOf(
    step: Pair["steps"][number],
    args: readonly Tensor[],
    h: number,
    i: number,
    first: number,
    count: number,
  ): Tensor {
    const one = (x: number): Tensor => tensor(step.dtype, [], Float64Array.of(x));
    const each = (of: (j: number) => number): Tensor =>
      tensor(
        step.dtype,
        [count],
        Float64Array.from({ length: count }, (_, j) => of(j)),
      );
    if (step.op === "number") return roundStored(one(step.value!));
    if (step.op === "position_q") return one(qPositions[i]!);
    if (step.op === "position_k") return each((j) => kPositions[first + j]!);
    if (step.op === "stop_gradient") return args[0]!;
    const operand = at(inputs, FIRST_OPERAND + step.of!);
    const side = pair.operands[step.of!]!;
    const head = isPerHead(side, operand) ? h : 0;
    const { shape, data } = operand;
    if (side === "query") return one(data[head * n + i]!);
    if (side === "key") return each((j) => data[head * m + first + j]!);
    if (side === "pair") return each((j) => data[(head * n + i) * shape.at(-1)! + j]!);
    const [rows, each1] = [shape[0]!, shape[1] ?? 1];
    const index = args[0]!;
    const found = (x: number): number => data[Math.min(x, rows - 1) * each1 + head]!;
    return tensor(step.dtype, index.shape, Float64Array.from(index.data, found));
  }
}

function attend(inputs: readonly Tensor[], attrs: Attrs, context: EvaluateContext): readonly Tensor[] {
  const [q, v] = [at(inputs, 0), at(inputs, 2)];
  const [heads, n] = exactly(3, q.shape);
  const [, m, width] = exactly(3, v.shape);
  const [out, lse] = [new Float64Array(heads * n * width), new Float64Array(heads * n).fill(NO_WEIGHT)];
  const { weight } = attrs.pair;
  const weightAt = weight === null ? () => 1 : weightsOf(at(inputs, FIRST_OPERAND + weight), m);
  ofEachQuery(inputs, attrs, attrs.pair.steps, context, (h, group, i, first, { sees, scores }) => {
    const seen = [...sees.keys()].filter((j) => sees[j]! && weightAt(h, first + j) > 0);
    if (seen.length === 0) return;
    const max = seen.reduce((a, j) => Math.max(a, scores[j]!), -Infinity);
    const shares = seen.map((j) => weightAt(h, first + j) * Math.exp(scores[j]! - max));
    const sum = shares.reduce((a, s) => a + s, 0);
    seen.forEach((j, s) => {
      for (let c = 0; c < width; c++)
        out[(h * n + i) * width + c] =
          out[(h * n + i) * width + c]! + (shares[s]! / sum) * v.data[(group * m + first + j) * width + c]!;
    });
    lse[h * n + i] = max + Math.log(sum);
  });
  return [roundStored(tensor(q.dtype, [heads, n, width], out)), tensor("f32", [heads, n], lse)];
}

const weightsOf =
  (weights: Tensor, keys: number) =>
  (head: number, key: number): number =>
    weights.data[weights.shape.length > 1 ? head * keys + key : key]!;

function attendBackward(inputs: readonly Tensor[], attrs: Attrs, context: EvaluateContext): readonly Tensor[] {
  const { pair } = attrs;
  const last = inputs.length - 3;
  const [q, k, v, dy] = [at(inputs, 0), at(inputs, 1), at(inputs, 2), at(inputs, last + 2)];
  const [lse, delta] = [at(inputs, last).data, at(inputs, last + 1).data];
  const [heads, n, width] = exactly(3, q.shape);
  const [groups, m, outWidth] = exactly(3, v.shape);
  const smooth = slopesOf(pair);
  const order = gradientOrder(pair);
  const [dq, dk, dv] = [q, k, v].map((t) => tensor(t.dtype, t.shape));
  const spread = order.pair.length > 0 ? at(inputs, FIRST_OPERAND + order.pair[0]!).shape.at(-1)! : 0;
  const [ofQueries, ofKeys] = [
    tensor("f32", [order.query.length, heads, n]),
    tensor("f32", [order.key.length, groups, m]),
  ];
  const ofTables = order.table.map((i) => tensor("f32", [heads, at(inputs, FIRST_OPERAND + i).shape[0]!]));
  const ofPairs = order.pair.map(() => tensor("f32", [heads, n, spread]));
  const weightAt = pair.weight === null ? () => 1 : weightsOf(at(inputs, FIRST_OPERAND + pair.weight), m);
  const add = (t: Tensor, index: number, x: number): void => void (t.data[index] = t.data[index]! + x);
  ofEachQuery(inputs, attrs, smooth.steps, context, (h, group, i, first, { sees, scores, slopes, steps }) => {
    const query = h * n + i;
    sees.forEach((seen, j) => {
      const weight = weightAt(h, first + j);
      if (!seen || weight < 0) return;
      const key = group * m + first + j;
      let dShare = 0;
      for (let c = 0; c < outWidth; c++) dShare += dy.data[query * outWidth + c]! * v.data[key * outWidth + c]!;
      const share = Math.exp(scores[j]! - lse[query]!);
      const dScore = weight * share * (dShare - delta[query]!);
      for (let c = 0; c < outWidth; c++) add(dv!, key * outWidth + c, weight * share * dy.data[query * outWidth + c]!);
      for (let c = 0; c < width; c++) {
        add(dq!, query * width + c, dScore * slopes[j]! * attrs.scale * k.data[key * width + c]!);
        add(dk!, key * width + c, dScore * slopes[j]! * attrs.scale * q.data[query * width + c]!);
      }
      if (pair.weight !== null)
        add(ofKeys, order.key.indexOf(pair.weight) * groups * m + key, share * (dShare - delta[query]!));
      const number = (step: number): number => steps[step]!.data[steps[step]!.data.length === 1 ? 0 : j]!;
      for (const { operand, slope, index } of smooth.slopes) {
        const d = dScore * number(slope);
        const side = pair.operands[operand]!;
        const place = order[side].indexOf(operand);
        if (side === "query") add(ofQueries, place * heads * n + query, d);
        else if (side === "key") add(ofKeys, place * groups * m + key, d);
        else if (side === "pair") add(ofPairs[place]!, query * spread + j, d);
        else {
          const rows = ofTables[place]!.shape[1]!;
          add(ofTables[place]!, h * rows + Math.min(number(index!), rows - 1), d);
        }
      }
    });
  });
  const results = [ofQueries, ofKeys].filter((t) => t.shape[0]! > 0);
  return [...[dq!, dk!, dv!].map(roundStored), ...results, ...ofTables, ...ofPairs];
}

/** Attention of either form: the first seven inputs are the same. */
export type AttentionNode = Node<"attention"> | Node<"pair_attention">;

export const isAttention = (node: Node): node is AttentionNode =>
  isOp(node, "attention") || isOp(node, "pair_attention");

/** What an attention reads of each key beside keys and values: weights, and the operands of pairs on keys. */
export const keyOperands = (node: AttentionNode): readonly Node[] =>
  isOp(node, "pair_attention")
    ? node.inputs.filter((_, i) => i >= FIRST_OPERAND && node.attrs.pair.operands[i - FIRST_OPERAND] === "key")
    : node.inputs.slice(FIRST_OPERAND);
