// Routing: chooses rows of an axis, gathers and scatters them. Scores are ordered as numbers, with −0 equal to 0 and
// NaN last; equal scores are ordered by position, earlier first. The order is total, so every machine makes the same
// choice.
import { invariant } from "../../ground/base/invariant.js";
import { equalShapes, packedAxis, printShape, printType, type StartsRead } from "../ir/typing.js";
import type { TensorType } from "../ir/types.js";
import { countingAxis, type Axis } from "../../ground/size/axes.js";
import { spanOf } from "../../ground/size/counting.js";
import type { CountRule, RuleKind } from "../../ground/size/count-rules.js";
import { startsOf } from "../../ground/size/counts.js";
import { addSizes, multiplySizes, rowsSize } from "../../ground/size/size.js";
import type { Node } from "../ir/graph.js";
import type { OpAttrs } from "../ir/vocabulary.js";
import type { Cost, EmitGrad, EvaluateContext, InferContext, OpDef, OpTable, Tensor } from "./define.js";
import { filledLike } from "./algebra.js";
import { lastDim, rowsAlong } from "./rows.js";
import {
  arity,
  bytesOf,
  elements,
  expectDtype,
  expectRows,
  expectType,
  FLOATS,
  mismatch,
  replaceDim,
  rowsType,
  sameDtype,
  startsShape,
  startsType,
} from "./shapes.js";
import { around, at, roundStored, tensor } from "./tensors.js";

type Routing = "top" | "above" | "span" | "join" | "take" | "put" | "set" | "route_mask";

type RuleOf<K extends RuleKind> = Extract<CountRule, { kind: K }>;

const isRule = <K extends RuleKind>(rule: CountRule, kind: K): rule is RuleOf<K> => rule.kind === kind;

/** The count rule of an axis; null if the rule is of another kind. */
const ruleOfAxis = <K extends RuleKind>(axis: Axis | undefined, kind: K): RuleOf<K> | null =>
  axis?.role === "sequence" && isRule(axis.count, kind) ? axis.count : null;

export const ruleIn = <K extends RuleKind>(axes: readonly Axis[], name: string, kind: K): RuleOf<K> | null =>
  ruleOfAxis(
    axes.find((a) => a.name === name),
    kind,
  );

/** The kinds of rules of axes whose rows `above` finds. */
const BY_THRESHOLD = ["above", "those", "entry", "rest", "top", "stride"] as const;

/** The count rule of the axis that an operator defines. The rule must be of the operator's kind. */
export const ruleOf = <K extends RuleKind>(context: InferContext, name: string, ...kinds: readonly K[]): RuleOf<K> =>
  kinds.map((kind) => ruleOfAxis(context.axis(name), kind)).find((rule) => rule !== null) ??
  mismatch(`${name} must be an axis made by ${kinds.join(" or ")}`);

/** The types of the index and starts of an operator's chosen rows. */
const routeTypes = (axis: string, context: InferContext): readonly TensorType[] => [
  rowsType(axis),
  startsType(context),
];

function expectScore(inputs: readonly TensorType[], parent: string): TensorType {
  const score = expectDtype(inputs, 0, ...FLOATS);
  return equalShapes(score.shape, [rowsSize(parent)])
    ? score
    : mismatch(`scores must be [rows(${parent})], found ${printType(score)}`);
}

/** Reads all scores; `perScore` operations for each. */
export const readAll =
  (perScore: number) =>
  (inputs: readonly TensorType[], _attrs: unknown, results: readonly TensorType[]): Cost => ({
    flops: perScore === 0 ? 0 : multiplySizes(perScore, elements(inputs[0]!)),
    bytes: addSizes(bytesOf(inputs), bytesOf(results)),
  });

/**
 * Evaluates `top`, `above` and `span`. The choice is the forced choice or the rows that `choose` returns for each
 * sequence, ascending.
 */
function route(
  axis: string,
  starts: Tensor,
  context: EvaluateContext,
  choose: (first: number, end: number, sequence: number) => readonly number[],
): readonly Tensor[] {
  const forced = context.forced(axis);
  if (forced) return [forced.index, forced.starts];
  const rows: number[] = [];
  const out = tensor("u32", [starts.data.length]);
  for (let b = 0; b + 1 < starts.data.length; b++) {
    for (const row of choose(starts.data[b]!, starts.data[b + 1]!, b)) rows.push(row);
    out.data[b + 1] = rows.length;
  }
  return [tensor("u32", [rows.length], Float64Array.from(rows)), out];
}

/** The index of each chosen row within its sequence of the parent. */
function positionsInParent(index: Tensor, starts: Tensor, parent: Tensor): Tensor {
  const out = tensor("u32", [index.data.length]);
  for (let b = 0; b + 1 < starts.data.length; b++)
    for (let i = starts.data[b]!; i < starts.data[b + 1]!; i++) out.data[i] = index.data[i]! - parent.data[b]!;
  return out;
}

/** Negative if row a ranks before row b. */
export function compareScores(score: ArrayLike<number>, a: number, b: number): number {
  const [x, y] = [score[a]!, score[b]!];
  if (x > y) return -1;
  if (x < y) return 1;
  if (x !== y && Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
  return a - b;
}

/** Rows first … end − 1, sorted by rank, best first. */
export const ranked = (score: ArrayLike<number>, first: number, end: number): number[] =>
  Array.from({ length: end - first }, (_, i) => first + i).sort((a, b) => compareScores(score, a, b));

/** Records of the routing family. */
export const routing: Pick<OpTable, Routing> = {
  top: {
    doc: "the k best rows of each sequence, in order of position",
    infer(inputs, { axis }, context) {
      expectScore(inputs, ruleOf(context, axis, "top").parent);
      expectType(inputs, 1, "u32", startsShape(context));
      expectType(inputs, 2, "u32", startsShape(context));
      return [...routeTypes(axis, context), rowsType(axis)];
    },
    // Nominal: one comparison for each score.
    cost: readAll(1),
    evaluate(inputs, { axis }, context) {
      const score = at(inputs, 0).data;
      const counts = context.sizes.sequence(axis);
      const chosen = route(axis, at(inputs, 1), context, (first, end, b) =>
        ranked(score, first, end)
          .slice(0, counts.at(b))
          .sort((x, y) => x - y),
      );
      return [...chosen, positionsInParent(at(chosen, 0), at(chosen, 1), at(inputs, 1))];
    },
    starts: startsOfTop,
    chooses: [0],
    rows: null,
    tokens: "all",
    columns: null,
    grad: null,
    lower: { kind: "kernel", computes: 0 },
  },
  above: {
    doc: "the rows whose score exceeds the threshold; NaN exceeds nothing and is exceeded by nothing",
    infer(inputs, { axis }, context) {
      const score = expectScore(inputs, ruleOf(context, axis, ...BY_THRESHOLD).parent);
      const threshold = expectDtype(inputs, 1, ...FLOATS);
      sameDtype(score, threshold);
      if (threshold.shape.length > 0 && !equalShapes(threshold.shape, score.shape))
        mismatch(`the threshold must be one number or one for each score, found ${printType(threshold)}`);
      expectType(inputs, 2, "u32", startsShape(context));
      return routeTypes(axis, context);
    },
    cost: readAll(1),
    evaluate(inputs, { axis }, context) {
      const [score, threshold] = [at(inputs, 0).data, at(inputs, 1).data];
      const limit = (row: number): number => threshold[at(inputs, 1).shape.length === 0 ? 0 : row]!;
      return route(axis, at(inputs, 2), context, (first, end) =>
        range(first, end).filter((row) => score[row]! > limit(row)),
      );
    },
    starts: (node) => [[rowsAlong(node, 0, 0), 2]],
    chooses: [0, 1],
    rows: null,
    tokens: "own",
    columns: null,
    grad: null,
    lower: { kind: "kernel", computes: 0 },
  },
  span: {
    doc: "the rows of a slice of each sequence",
    infer(inputs, { axis }, context) {
      ruleOf(context, axis, "span");
      expectType(inputs, 0, "u32", startsShape(context));
      return routeTypes(axis, context);
    },
    cost: readAll(0),
    evaluate(inputs, { axis }, context) {
      const rule = ruleIn(context.axes, axis, "span");
      invariant(rule, `${axis} is made by span`);
      return route(axis, at(inputs, 0), context, (first, end) => {
        const [from, to] = spanOf(rule, end - first);
        return range(first + from, first + to);
      });
    },
    starts({ attrs }, axes) {
      const rule = ruleIn(axes, attrs.axis, "span");
      return rule ? [[rule.parent, 0]] : [];
    },
    rows: null,
    tokens: "all",
    columns: null,
    grad: null,
    lower: { kind: "kernel" },
  },
  join: {
    doc: "the tokens of several axes, one after the other in each sequence: where each row of each part goes",
    infer(inputs, { axis }, context) {
      const { parts } = ruleOf(context, axis, "join");
      arity(inputs, parts.length);
      parts.forEach((_, i) => expectType(inputs, i, "u32", startsShape(context)));
      return [startsType(context), ...parts.map(rowsType)];
    },
    cost: readAll(0),
    evaluate: (inputs) => join(inputs.map((t) => t.data)),
    starts: ({ attrs }, axes) => ruleIn(axes, attrs.axis, "join")?.parts.map((part, i) => [part, i]) ?? [],
    rows: null,
    tokens: "all",
    columns: null,
    grad: null,
    lower: { kind: "kernel" },
  },
  take: {
    doc: "the rows of an index along a packed dimension",
    infer(inputs, { dim }) {
      const x = expectDtype(inputs, 0, "f32", "f16", "u32", "i32", "bool");
      expectRows(x.shape, dim);
      return [{ dtype: x.dtype, shape: replaceDim(x.shape, dim, rowsSize(indexAxis(inputs, 1))) }];
    },
    // Reads the taken rows only.
    cost: (inputs, _attrs, results) => ({
      flops: 0,
      bytes: addSizes(bytesOf([inputs[1]!]), multiplySizes(2, bytesOf(results))),
    }),
    evaluate(inputs, { dim }) {
      const [x, index] = [at(inputs, 0), at(inputs, 1).data];
      const out = tensor(
        x.dtype,
        x.shape.map((s, d) => (d === dim ? index.length : s)),
      );
      eachRun(x.shape, dim, index, (there, here, width) => out.data.set(x.data.subarray(there, there + width), here));
      return [out];
    },
    touches: ({ types }) => ({ read: bytesOf(types), written: null }),
    rows: null,
    tokens: "own",
    columns: (node) => (node.attrs.dim === lastDim(node) ? null : "kept"),
    // The cotangent of x in take(x, index): scatters the rows of dy to `index`.
    grad: (emit, { inputs: [x, index], attrs }, [dy]) => [
      emit("put", [filledLike(emit, x, 0), index, dy!], attrs),
      null,
    ],
    lower: { kind: "moved" },
  },
  put: write(
    "x with y added to the rows of an index; every other row as it was",
    1,
    (x, y) => x + y,
    // The cotangent of x is dy.
    (_emit, _index, dy) => dy,
  ),
  set: write(
    "x with y in the rows of an index; every other row as it was",
    0,
    (_x, y) => y,
    // The replaced rows of x have no cotangent.
    (emit, index, dy, rows, attrs) => emit("set", [dy, index, filledLike(emit, rows, 0)], attrs),
  ),
  route_mask: {
    doc: "true at the rows of an index",
    infer(inputs, { axis }, context) {
      indexAxis(inputs, 0);
      const parent = context.axis(axis);
      if (parent.role !== "sequence") mismatch(`${axis} must be a sequence axis`);
      expectType(inputs, 1, "u32", startsShape(context));
      return [{ dtype: "bool", shape: [rowsSize(axis)] }];
    },
    cost: readAll(0),
    evaluate(inputs) {
      const out = tensor("bool", [at(inputs, 1).data.at(-1)!]);
      for (const row of at(inputs, 0).data) out.data[row] = 1;
      return [out];
    },
    starts: ({ attrs }) => [[attrs.axis, 1]],
    rows: null,
    tokens: "own",
    columns: null,
    grad: null,
    lower: { kind: "kernel" },
  },
};

/** The starts that `top` and `top_rows` read. */
export function startsOfTop({ attrs }: Node<"top" | "top_rows">, axes: readonly Axis[]): StartsRead {
  const rule = ruleIn(axes, attrs.axis, "top");
  return rule ? [[rule.parent, 1] as const, [countingAxis(axes, rule), 2] as const] : [];
}

/** The axis of the index at an input. */
function indexAxis(inputs: readonly TensorType[], input: number): string {
  const index = expectDtype(inputs, input, "u32");
  return (
    (index.shape.length === 1 ? packedAxis(index.shape[0]!) : null) ??
    mismatch(`input ${input} must be u32[rows of an axis], found ${printType(index)}`)
  );
}

/** Builds the records of `put` and `set`. */
function write(
  doc: string,
  perValue: number,
  combine: (x: number, y: number) => number,
  ofStream: (emit: EmitGrad, index: Node, dy: Node, rows: Node, attrs: OpAttrs["put" | "set"]) => Node,
): OpDef<"put" | "set"> {
  return {
    doc,
    infer(inputs, { dim }) {
      const x = expectDtype(inputs, 0, "f32", "f16", "u32", "i32", ...(perValue === 0 ? (["bool"] as const) : []));
      expectRows(x.shape, dim);
      const y = inputs[2]!;
      sameDtype(x, y);
      const expectedShape = replaceDim(x.shape, dim, rowsSize(indexAxis(inputs, 1)));
      if (!equalShapes(y.shape, expectedShape))
        mismatch(`the rows must be ${printShape(expectedShape)}, found ${printType(y)}`);
      return [x];
    },
    // In place: accesses the rows of the index only.
    cost: (inputs) => ({
      flops: perValue === 0 ? 0 : elements(inputs[2]!),
      bytes: addSizes(bytesOf([inputs[1]!]), multiplySizes(perValue === 0 ? 2 : 3, bytesOf([inputs[2]!]))),
    }),
    evaluate(inputs, { dim }) {
      const [x, index, y] = [at(inputs, 0), at(inputs, 1).data, at(inputs, 2)];
      const out = tensor(x.dtype, x.shape, x.data.slice());
      eachRun(x.shape, dim, index, (there, here, width) => {
        for (let i = 0; i < width; i++) out.data[there + i] = combine(x.data[there + i]!, y.data[here + i]!);
      });
      return [roundStored(out)];
    },
    touches({ inputs: [, , rows] }) {
      const written = bytesOf(rows.types);
      return { read: perValue === 0 ? 0 : written, written };
    },
    rows: null,
    tokens: "own",
    columns: null,
    grad(emit, { inputs, attrs }, [dy]) {
      const [, index, rows] = inputs;
      return [ofStream(emit, index, dy!, rows, attrs), null, emit("take", [dy!, index], attrs)];
    },
    lower: { kind: "kernel", computes: 2, inPlace: [0], readsEncoded: [2] },
  };
}

/** Visits the contiguous elements of each row of the index, with their offset in x and among the chosen rows. */
function eachRun(
  shape: readonly number[],
  dim: number,
  index: Float64Array,
  visit: (there: number, here: number, width: number) => void,
): void {
  const { outer, n, inner } = around(shape, dim);
  for (let o = 0; o < outer; o++)
    for (let i = 0; i < index.length; i++) visit((o * n + index[i]!) * inner, (o * index.length + i) * inner, inner);
}

const range = (from: number, to: number): number[] =>
  Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);

/** The starts of the joined axis, then for each part the destinations of its rows. */
function join(parts: readonly Float64Array[]): readonly Tensor[] {
  const sequences = parts[0]!.length - 1;
  const counts = new Uint32Array(sequences).map((_, b) => parts.reduce((n, s) => n + s[b + 1]! - s[b]!, 0));
  const starts = Float64Array.from(startsOf(counts));
  const next = starts.slice(0, -1);
  const rows = parts.map((s) => tensor("u32", [s.at(-1)!]));
  for (let b = 0; b < sequences; b++)
    parts.forEach((s, p) => {
      for (let row = s[b]!; row < s[b + 1]!; row++) rows[p]!.data[row] = next[b]!++;
    });
  return [tensor("u32", [starts.length], starts), ...rows];
}
