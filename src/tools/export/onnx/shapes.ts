// Data movement, matmuls and lookups in ONNX.
import type { Value } from "../../../language/check/model/model.js";
import { ropeFrequencies } from "../../../ground/numerics/rope.js";
import { axisSize, equalSizes, multiplySizes, type Size } from "../../../ground/size/size.js";
import type { Name } from "./graph.js";
import { broadcast, isGiven, kept, scalar, type Scope } from "./scope.js";

function reshape(cx: Scope, value: Value<"reshape">): Name {
  const { at, axes } = cx;
  const [x] = value.inputs;
  const from = x!.type.shape;
  const to = value.type.shape;
  const same = (dim: number): boolean => dim < from.length && equalSizes(from[dim]!, to[dim]!);
  const open = to.flatMap((size, dim) => (typeof size === "number" || same(dim) ? [] : [dim]));
  // A dimension cannot be inferred (-1) if a kept dimension may be 0.
  const keeps = to.some((size, dim) => typeof size !== "number" && same(dim));
  if (open.length > 1 || (open.length === 1 && keeps)) return at.reshapeTo(cx.get(x!), axes.dims(to));
  return at.reshape(cx.get(x!), ...to.map((size, dim) => (typeof size === "number" ? size : same(dim) ? 0 : -1)));
}

function slice({ at, graph, get }: Scope, value: Value<"slice">): Name {
  const { axis, start, stop } = value.attrs;
  return at.slice(get(value.inputs[0]!), graph.ints(start), graph.ints(stop), axis);
}

/** Only the concatenated dimension may differ between the parts. */
function concat(cx: Scope, value: Value<"concat">): Name {
  const { axis } = value.attrs;
  const parts = value.inputs.map((part) => {
    const { shape } = part.type;
    return broadcast(cx, cx.get(part), shape, value.type.shape.with(axis, shape[axis]!));
  });
  return cx.at.concat(parts, axis);
}

/** Computed indices beyond the table are clamped to the last row. Negative indices count from the end. */
function gather(cx: Scope, value: Value<"gather">): Name {
  const [table, indices] = value.inputs;
  if (isGiven(cx, indices)) return cx.graph.node("Gather", [cx.get(table!), cx.get(indices!)], { axis: 0 });
  const signed = indices!.type.dtype === "i32";
  return gatherAt(cx, cx.get(table!), cx.get(indices!), table!.type.shape[0]!, signed);
}

/** The rows of a table at computed indices; `signed`: they may be negative. */
export function gatherAt({ at, graph, axes }: Scope, table: Name, indices: Name, rows: Size, signed: boolean): Name {
  const last = typeof rows === "number" ? graph.int(rows - 1) : at.sub(at.squeeze(axes.size(rows), 0), graph.int(1));
  const low = at.min(indices, last);
  const index = signed ? at.max(low, at.sub(graph.int(-1), last)) : low;
  return graph.node("Gather", [table, index], { axis: 0 });
}

/** x with zeros for non-existing tokens along a dimension that a matmul sums over. */
function summable(cx: Scope, x: Value, dim: number): Name {
  const axis = cx.axes.sequenceOf(x.type.shape.at(dim));
  const exists = axis === null ? null : cx.axes.exists(axis);
  if (exists === null) return cx.get(x);
  const rank = x.type.shape.length;
  return kept(cx, cx.at.unsqueezedTo(exists, rank + dim, rank), cx.get(x), x.type.dtype);
}

const matmul = (cx: Scope, value: Value<"matmul">): Name =>
  cx.at.matmul(summable(cx, value.inputs[0]!, -1), summable(cx, value.inputs[1]!, -2));

/** Moves the dimension `dim` of x[B, …] to position 1; also returns the inverse. */
export function forward(cx: Scope, x: Name, rank: number, dim: number): readonly [Name, (y: Name) => Name] {
  if (dim === 1) return [x, (y) => y];
  const order = [0, dim, ...Array.from({ length: rank }, (_, i) => i).filter((i) => i !== 0 && i !== dim)];
  return [
    cx.at.transpose(x, order),
    (y) =>
      cx.at.transpose(
        y,
        order.map((_, i) => order.indexOf(i)),
      ),
  ];
}

function span(cx: Scope, value: Value<"span">): Name {
  const { at, axes, graph } = cx;
  const { dim, axis } = value.attrs;
  const [x] = value.inputs;
  const rule = axes.sequence(axis).count;
  if (rule.kind === "stride") {
    const all = [graph.ints(0), graph.ints(Number.MAX_SAFE_INTEGER), graph.ints(dim), axes.size(rule.step)];
    const some = graph.node("Slice", [cx.get(x!), ...all]);
    const { counts: own, length: longest } = axes.rows(axis);
    return own === null ? some : at.slice(some, graph.ints(0), longest, dim);
  }
  const [from, to] = axes.span(axis);
  const { counts, length } = axes.rows(axis);
  if (counts === null) return at.slice(cx.get(x!), from, to, dim);
  const [rows, back] = forward(cx, cx.get(x!), x!.type.shape.length, dim);
  const positions = at.add(at.unsqueeze(at.range(length), 0), at.unsqueeze(from, 1));
  const last = at.sub(at.dim(rows, 1), graph.ints(1));
  // [B, K], even if all sequences begin at the same token
  const index = graph.node("Expand", [at.min(positions, last), at.concat([at.dim(counts, 0), length], 0)]);
  return back(at.rows(rows, index));
}

/** A row of zeros is appended for sequences without rows. */
function rows(cx: Scope, value: Value<"rows">): Name {
  const { at, axes, graph } = cx;
  const [x, index] = value.inputs;
  const { dtype, shape } = x!.type;
  const axis = axes.sequenceOf(shape[1])!; // rows belong to a sequence
  const zero = graph.node("Expand", [scalar(cx, 0, dtype), axes.dims(shape.with(1, 1))]);
  const counts = at.unsqueeze(axes.counts(axis), 1);
  const [batch, ...places] = index!.type.shape;
  const known = at.reshapeTo(cx.get(index!), axes.dims([batch!, places.reduce<Size>(multiplySizes, 1)]));
  const fromEnd = at.max(at.add(known, counts), graph.int(0));
  const signed = index!.type.dtype === "i32" ? at.where(at.less(known, graph.int(0)), fromEnd, known) : known;
  const last = at.max(at.sub(counts, graph.int(1)), graph.int(0));
  const within = at.where(at.less(graph.int(0), counts), at.min(signed, last), axes.rows(axis).length);
  return at.reshapeTo(at.rows(at.concat([cx.get(x!), zero], 1), within), axes.dims(value.type.shape));
}

/** A row of zeros is appended for sequences that do not have this token. */
function token(cx: Scope, value: Value<"token">): Name {
  const { at, axes, graph } = cx;
  const { dim, index } = value.attrs;
  const [x] = value.inputs;
  const { dtype, shape } = x!.type;
  const axis = axes.sequenceOf(shape[dim])!; // tokens belong to a sequence
  const zero = graph.node("Expand", [scalar(cx, 0, dtype), axes.dims(shape.with(dim, 1))]);
  const [rows] = forward(cx, at.concat([cx.get(x!), zero], dim), shape.length, dim);
  const counts = axes.counts(axis);
  const tokenIndex = index < 0 ? at.add(counts, graph.ints(index)) : graph.ints(index);
  const exists = at.and(at.less(tokenIndex, counts), graph.node("GreaterOrEqual", [tokenIndex, graph.ints(0)]));
  const clamped = at.where(exists, tokenIndex, axes.rows(axis).length); // i64[1] or i64[B]
  if (axes.rows(axis).counts === null) return at.squeeze(graph.node("Gather", [rows, clamped], { axis: 1 }), 1);
  return at.squeeze(at.rows(rows, at.unsqueeze(clamped, 1)), 1);
}

/** Concatenates the rows of all parts. If sequences differ in length, existing rows move to the front. */
function join(cx: Scope, value: Value<"join">): Name {
  const { at, axes } = cx;
  const { dim, axis } = value.attrs;
  const masks = value.inputs.map((part) => {
    const { shape } = part.type;
    return broadcast(cx, cx.get(part), shape, value.type.shape.with(dim, shape[dim]!));
  });
  const joined = at.concat(masks, dim);
  const { counts, length } = axes.rows(axis);
  if (counts === null) return joined;
  const exist = value.inputs.map((part) => {
    const sequence = axes.sequenceOf(part.type.shape[dim])!; // joined values have sequence axes
    const yes = axes.exists(sequence) ?? cx.graph.constant("bool", [1, 1], [1]);
    return cx.graph.node("Expand", [yes, at.concat([at.dim(counts, 0), axes.rows(sequence).length], 0)]);
  });
  const shape = [value.type.shape[0]!, axisSize(axis)];
  const order = topIndices(cx, at.cast(at.concat(exist, 1), "i64"), { shape, dim: 1, k: length });
  const [rows, back] = forward(cx, joined, value.type.shape.length, dim);
  return back(at.rows(rows, order));
}

/** Positions as a value, for every sequence. */
function position(cx: Scope, value: Value<"position">): Name {
  return cx.graph.node("Expand", [cx.axes.positions(value.attrs.axis), cx.axes.dims(value.type.shape)]);
}

/** Large angles lose precision, so they are computed in 64 bits and reduced modulo 2π before rounding. */
function rope(cx: Scope, value: Value<"rope">): Name {
  const { at, axes, graph } = cx;
  const { dim, theta, frequencies, scale } = value.attrs;
  const [x] = value.inputs;
  const rank = x!.type.shape.length;
  const width = Number(x!.type.shape.at(-1));
  const positions = at.cast(axes.positions(axes.sequenceOf(x!.type.shape[dim])!), "f64");
  const offset = at.unsqueeze(
    positions,
    ...Array.from({ length: rank }, (_, i) => i).filter((i) => i !== 0 && i !== dim),
  );
  const steps = graph.constant("f64", [width / 2], ropeFrequencies({ width, theta, frequencies }));
  const turn = graph.constant("f64", [], [2 * Math.PI]);
  const angle = at.cast(graph.node("Mod", [at.mul(offset, steps), turn], { fmod: 1 }), "f32");
  const scaled = (y: Name): Name => (scale === 1 ? y : at.mul(y, graph.float(scale)));
  const [cos, sin] = [scaled(graph.node("Cos", [angle])), scaled(graph.node("Sin", [angle]))];
  const halves = graph.results("Split", [cx.get(x!)], { axis: -1, num_outputs: 2 }, 2);
  const [a, b] = [halves[0]!, halves[1]!];
  return at.concat([at.sub(at.mul(a, cos), at.mul(b, sin)), at.add(at.mul(b, cos), at.mul(a, sin))], -1);
}

export const shapeEmitters = {
  reshape,
  permute: (cx: Scope, value: Value<"permute">): Name => cx.at.transpose(cx.get(value.inputs[0]!), value.attrs.order),
  slice,
  concat,
  gather,
  matmul,
  sequence: (cx: Scope, value: Value<"sequence">): Name => cx.get(value.inputs[0]!),
  rows,
  span,
  token,
  join,
  position,
  rope,
};

export interface Ranking {
  /** The shape of the ranked tensor. */
  readonly shape: readonly Size[];
  /** The ranked dimension. */
  readonly dim: number;
  /** i64[1]: the k of top-k. */
  readonly k: Name;
  /** Whether the indices ascend. By default the index of the largest element comes first. */
  readonly ascend?: boolean;
}

/**
 * Indices of the k largest elements along a dimension, which then has the extent k.
 * ONNX Runtime divides by the number of ranked rows and crashes if there are no rows. Therefore k is set to 0 in this
 * case, for which ONNX Runtime returns early.
 */
export function topIndices({ at, axes, graph }: Scope, x: Name, { shape, dim, k, ascend }: Ranking): Name {
  const open = shape.filter((size, i) => i !== dim && typeof size !== "number").map((size) => axes.size(size));
  const rows = open.length === 0 ? null : open.reduce((a, b) => at.mul(a, b));
  const count = rows === null ? k : at.mul(k, at.min(rows, graph.ints(1)));
  const largest = graph.results("TopK", [x, count], { axis: dim, largest: 1, sorted: 1 }, 2)[1]!;
  const index = ascend ? graph.results("TopK", [largest, count], { axis: dim, largest: 0, sorted: 1 }, 2)[0]! : largest;
  if (rows === null) return index;
  const sizes = shape.map((size, i) => (i === dim ? k : axes.size(size)));
  return at.reshapeTo(index, at.concat(sizes, 0));
}
