// Lowers operations along a sequence axis: routes, their rows, slices and concatenations, positions, rotary embedding.
import type { LogicalType, Value } from "../../language/check/model/model.js";
import { isChoice, isOp as isOperation } from "../../language/check/model/types.js";
import { invariant } from "../../ground/base/invariant.js";
import { isOp, typeOf, type Node } from "../ir/graph.js";
import type { Axis } from "../../ground/size/axes.js";
import { chosenFrom, isCut } from "../../ground/size/count-rules.js";
import { axisSize, type Size } from "../../ground/size/size.js";
import type { Lowering, Placed } from "./context.js";
import { fromPackedAlong, fromPadded, packedAlong, broadcastToType } from "./convert.js";
import { ModelAxes, packedShape } from "./layout.js";

// --- routes

function lowerTop(cx: Lowering, value: Value<"top">): Placed {
  const { axis } = value.attrs;
  const rule = cx.sequence(axis).count;
  invariant(rule.kind === "top", `axis ${axis} is not made by top`);
  const score = packedAlong(cx, cx.get(value.inputs[0]), 1).node;
  const node = cx.emit("top", [score, cx.starts(rule.parent), cx.starts(cx.countingAxis(rule))], { axis });
  return defineRoute(cx, axis, node, value.type);
}

function lowerAbove(cx: Lowering, value: Value<"above">): Placed {
  const { axis } = value.attrs;
  const rule = cx.sequence(axis).count;
  invariant(rule.kind === "above", `axis ${axis} is not made by above`);
  const score = cx.get(value.inputs[0]);
  const bar = cx.get(value.inputs[1]);
  const threshold =
    bar.type.shape.length === 0
      ? bar.node
      : broadcastToType(cx, bar, { dtype: bar.type.dtype, shape: score.type.shape });
  const node = cx.emit("above", [packedAlong(cx, score, 1).node, cx.cast(threshold, "f32"), cx.starts(rule.parent)], {
    axis,
  });
  return defineRoute(cx, axis, node, value.type);
}

/** The tokens of a mask: a token is chosen if the mask, as a number, exceeds one half. */
function lowerThose(cx: Lowering, value: Value<"those">): Placed {
  const { axis } = value.attrs;
  const mask = cx.cast(packedAlong(cx, cx.get(value.inputs[0]), 1).node, "f32");
  const node = cx.emit("above", [mask, cx.constant(0.5, "f32"), cx.starts(parentOf(cx, axis))], { axis });
  return defineRoute(cx, axis, node, value.type);
}

/** Registers a routing node, whose results 0 and 1 are the index and the starts. The value of a route is its index. */
function defineRoute(cx: Lowering, axis: string, node: Node, type: LogicalType): Placed {
  const index = cx.emit("pick", [node], { result: 0 });
  cx.defineAxis(axis, { index, starts: cx.emit("pick", [node], { result: 1 }) });
  return cx.placed(index, type);
}

function routeAxis(value: Value | undefined): string {
  invariant(value && isChoice(value), "a route is the value of a choice");
  return value.attrs.axis;
}

/** u32[M]: the packed rows of the parent that a route chose. */
export const routeRows = (cx: Lowering, route: Value): Node => cx.index(routeAxis(route));

const parentOf = (cx: Lowering, axis: string): string => {
  const rule = cx.sequence(axis).count;
  const parent = isCut(rule) ? rule.parent : chosenFrom(rule);
  invariant(parent !== null, `axis ${axis} has no parent`);
  return parent;
};

function lowerMask(cx: Lowering, value: Value<"mask">): Placed {
  const axis = routeAxis(value.inputs[0]);
  const parent = parentOf(cx, axis);
  return cx.placed(cx.emit("route_mask", [cx.index(axis), cx.starts(parent)], { axis: parent }), value.type);
}

/** u32[M] along the route's axis: the index of each row within its sequence of the parent. */
export function routeIndex(cx: Lowering, route: Value): Node {
  const axis = routeAxis(route);
  return cx.emit("take", [cx.within(parentOf(cx, axis)), cx.index(axis)], { dim: 0 });
}
export function routeCount(cx: Lowering, route: Value): Node {
  return cx.counts(routeAxis(route));
}
const lowerIndex = (cx: Lowering, value: Value<"index">): Placed =>
  cx.placed(routeIndex(cx, value.inputs[0]!), value.type);
const lowerCount = (cx: Lowering, value: Value<"count">): Placed =>
  cx.placed(routeCount(cx, value.inputs[0]!), value.type);

function lowerTake(cx: Lowering, value: Value<"take">): Placed {
  return rowsOf(cx, cx.get(value.inputs[0]), value.attrs.dim, routeAxis(value.inputs[1]), value.type);
}

/** The rows of x that belong to an axis derived from the axis of x. */
function rowsOf(cx: Lowering, x: Placed, dim: number, axis: string, type: LogicalType): Placed {
  const { node, row } = packedAlong(cx, x, dim);
  return fromPackedAlong(cx, cx.emit("take", [node, cx.index(axis)], { dim: row }), type, dim);
}

function lowerPut(cx: Lowering, value: Value<"put">): Placed {
  const { dim } = value.attrs;
  const axis = routeAxis(value.inputs[1]);
  const x = cx.get(value.inputs[0]);
  const y = cx.get(value.inputs[2]);
  const { node, row } = packedAlong(cx, x, dim);
  // The update may have size 1 in dimensions that broadcast over channels.
  const rows = { dtype: y.type.dtype, shape: x.type.shape.with(dim, axisSize(axis)) };
  const update = packedAlong(cx, cx.placed(broadcastToType(cx, y, rows), rows), dim).node;
  return fromPackedAlong(cx, cx.emit("put", [node, cx.index(axis), update], { dim: row }), value.type, dim);
}

// --- slices and concatenations

function defineSpan(cx: Lowering, axis: string): void {
  if (cx.isDefined(axis)) return;
  const parent = parentOf(cx, axis);
  const rule = cx.sequence(axis).count;
  const node =
    rule.kind === "stride" ? everyToken(cx, axis, parent, rule.step) : cx.emit("span", [cx.starts(parent)], { axis });
  cx.defineAxis(axis, {
    index: cx.emit("pick", [node], { result: 0 }),
    starts: cx.emit("pick", [node], { result: 1 }),
  });
}

/** Every token of the parent whose place in its sequence is a multiple of the step. */
function everyToken(cx: Lowering, axis: string, parent: string, step: Size): Node {
  const m = cx.algebra(cx.within(parent));
  const place = cx.within(parent);
  const times = cx.constant(Number(step), "u32");
  const isKept = m.eq(place, m.mul(m.div(place, times), times));
  return cx.emit("above", [cx.cast(isKept, "f32"), cx.constant(0.5, "f32"), cx.starts(parent)], { axis });
}

function lowerSpan(cx: Lowering, value: Value<"span">): Placed {
  const { dim, axis } = value.attrs;
  defineSpan(cx, axis);
  return rowsOf(cx, cx.get(value.inputs[0]), dim, axis, value.type);
}

/** One token of each sequence: the sum over a span of at most one token; zeros if the sequence is too short. */
function lowerToken(cx: Lowering, value: Value<"token">): Placed {
  const { dim, index } = value.attrs;
  const x = cx.get(value.inputs[0]);
  const { node, row, axis: parent } = packedAlong(cx, x, dim);
  const axis = tokenAxis(parent, index);
  defineSpan(cx, axis);
  const taken = cx.emit("take", [node, cx.index(axis)], { dim: row });
  const { dtype } = x.type;
  // [B, …, 0 or 1, …], to be summed over the token dimension
  const numbers = cx.emit("unpack", [cx.cast(taken, dtype === "bool" ? "u32" : dtype), cx.starts(axis)], {
    dim: row,
    axis,
  });
  const one = cx.cast(cx.emit("sum", [numbers], { axes: [row + 1], keep: false }), dtype);
  return fromPadded(cx, one, value.type);
}

const tokenAxis = (parent: string, index: number): string =>
  `${parent}.${index < 0 ? `last${-index}` : `token${index}`}`;

/** Axes for reading single tokens: one for each axis and index, with at most one token per sequence. */
export function tokenAxes(axes: readonly Axis[], values: readonly Value[]): readonly Axis[] {
  const table = new ModelAxes(axes);
  const axesByName = new Map<string, Axis>();
  for (const value of values) {
    if (!isOperation(value, "token")) continue;
    const { dim, index } = value.attrs;
    const parent = table.sequenceOf(value.inputs[0]?.type.shape[dim]);
    invariant(parent !== null, "a token of no sequence");
    const name = tokenAxis(parent, index);
    // Both ends are clamped: if the sequence is too short they are equal, and the span is empty.
    axesByName.set(name, {
      role: "sequence",
      name,
      bound: 1,
      count: { kind: "span", parent, start: index, stop: index === -1 ? null : index + 1 },
    });
  }
  return [...axesByName.values()];
}

/** Writes each part's rows to their place on the joined axis. */
function lowerJoin(cx: Lowering, value: Value<"join">): Placed {
  const { dim, axis } = value.attrs;
  const rule = cx.sequence(axis).count;
  invariant(rule.kind === "join", `axis ${axis} is not made by concatenation`);
  if (!cx.isDefined(axis)) {
    const joined = cx.emit(
      "join",
      rule.parts.map((p) => cx.starts(p)),
      { axis },
    );
    cx.defineAxis(axis, { starts: cx.emit("pick", [joined], { result: 0 }), index: null });
  }
  const join = cx.starts(axis).inputs[0];
  invariant(isOp(join, "join"), "the starts of a joined axis come from join");
  let node = cx.constant(0, value.type.dtype, packedShape(value.type.shape, dim, axis));
  value.inputs.forEach((part, i) => {
    node = cx.emit("set", [node, cx.emit("pick", [join], { result: i + 1 }), packedAlong(cx, cx.get(part), dim).node], {
      dim: dim - 1,
    });
  });
  return fromPackedAlong(cx, node, value.type, dim);
}

// --- positions

function lowerPosition(cx: Lowering, value: Value<"position">): Placed {
  return cx.placed(cx.positions(value.attrs.axis), value.type);
}

/** Lowers rotary embedding: x is permuted to […, N, d], rows next to channels. */
function lowerRope(cx: Lowering, value: Value<"rope">): Placed {
  const { dim, theta, frequencies, scale } = value.attrs;
  const x = cx.get(value.inputs[0]);
  const { node, row, axis } = packedAlong(cx, x, dim);
  const width = x.type.shape[x.type.shape.length - 1];
  invariant(typeof width === "number", "rope needs a static last dimension");
  const table = cx.emit("rope_table", [], { positions: cx.positionExtent(axis), width, theta, frequencies, scale });
  const last = typeOf(node).shape.length - 1;
  const others = typeOf(node).shape.flatMap((_, i) => (i === row || i === last ? [] : [i]));
  const order = [...others, row, last];
  const turned = cx.emit("rope", [cx.permute(node, order), cx.positions(axis), table], {});
  return fromPackedAlong(
    cx,
    cx.permute(
      turned,
      order.map((_, i) => order.indexOf(i)),
    ),
    value.type,
    dim,
  );
}

export const sequenceLowerings = {
  top: lowerTop,
  above: lowerAbove,
  those: lowerThose,
  mask: lowerMask,
  index: lowerIndex,
  count: lowerCount,
  take: lowerTake,
  put: lowerPut,
  span: lowerSpan,
  token: lowerToken,
  join: lowerJoin,
  position: lowerPosition,
  rope: lowerRope,
};
