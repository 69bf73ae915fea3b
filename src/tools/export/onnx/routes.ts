// Token selections in ONNX, and computations on chosen tokens. Ties choose the earlier token; NaN ranks last.
import type { Value } from "../../../language/check/model/model.js";
import { isChoice } from "../../../language/check/model/types.js";
import { invariant } from "../../../ground/base/invariant.js";
import type { Rule } from "../../../ground/size/count-rules.js";
import { along } from "./axes.js";
import type { Name } from "./graph.js";
import { topIndices, forward } from "./shapes.js";
import { cachesOn, refuse, broadcast, kept, type Scope } from "./scope.js";

/** The axis that a selection defines. */
export function routeAxis(value: Value | undefined): string {
  invariant(value && isChoice(value), "a route is the value of a choice");
  return value.attrs.axis;
}

/** The axis that a route chooses from. */
export const parentOf = ({ axes }: Scope, axis: string): string => {
  const { count } = axes.sequence(axis);
  invariant("parent" in count, `axis ${axis} is no route`);
  return count.parent;
};

/**
 * The indices of tokens selected by a mask bool[B, T]. All sequences get as many rows as the longest selection; surplus
 * rows come last.
 */
function byMask(cx: Scope, axis: string, mask: Name, { type: { shape } }: Value): Name {
  const { at } = cx;
  const numbers = at.cast(mask, "i64");
  const counts = at.reduce("Sum", numbers, [1], false);
  const length = at.reduce("Max", counts, [0], true);
  const index = topIndices(cx, numbers, { shape, dim: 1, k: length });
  cx.axes.define(axis, { length, counts, index, mask });
  return index;
}

/** Restricts a mask to existing tokens. */
function among(cx: Scope, parent: string, mask: Name): Name {
  const exists = cx.axes.exists(parent);
  return exists === null ? mask : cx.at.and(mask, exists);
}

function top(cx: Scope, value: Value<"top">): Name {
  const { at, axes } = cx;
  const { axis } = value.attrs;
  const { count } = axes.sequence(axis);
  invariant(count.kind === "top", `axis ${axis} is not made by top`);
  const [score] = value.inputs;
  if (!axes.countsDiffer(count)) {
    const k = axes.countOfTop(count);
    const { shape } = score!.type;
    const index = topIndices(cx, at.ranked(cx.get(score!)), { shape, dim: 1, k, ascend: true });
    axes.define(axis, { length: k, counts: null, index });
    return index;
  }
  return byMask(cx, axis, bestTokens(cx, score!, count), score!);
}

/**
 * bool[B, T] or bool[B, T, E]: the best tokens of each sequence (and each entry). Only existing tokens are ranked, and
 * each sequence has its own k.
 */
export function bestTokens(cx: Scope, scores: Value, rule: Rule<"top">): Name {
  const { at, axes, graph } = cx;
  const { length } = axes.rows(rule.parent);
  const score = cx.get(scores);
  const ranking = { shape: scores.type.shape, dim: 1, k: length };
  const shape = graph.node("Shape", [score]);
  const aligned = (x: Name): Name => (ranking.shape.length === 3 ? at.unsqueeze(x, 2) : x);
  let order = topIndices(cx, at.ranked(score), ranking);
  const exists = axes.exists(rule.parent);
  if (exists !== null) {
    const all = graph.node("Expand", [aligned(at.cast(exists, "i64")), shape]);
    const sorted = graph.node("GatherElements", [all, order], { axis: 1 });
    order = graph.node("GatherElements", [order, topIndices(cx, sorted, ranking)], { axis: 1 });
  }
  const k = axes.countOfTop(rule);
  const ahead = at.less(at.unsqueeze(at.range(length), 0), at.unsqueeze(k, 1)); // [1 or B, T]
  const chosen = graph.node("Expand", [aligned(at.cast(ahead, "i64")), shape]);
  const none = graph.node("Expand", [graph.int(0), shape]);
  return at.cast(graph.node("ScatterElements", [none, order, chosen], { axis: 1 }), "bool");
}

function above(cx: Scope, value: Value<"above">): Name {
  const { axis } = value.attrs;
  const [score, bar] = value.inputs;
  const over = cx.graph.node("Greater", [cx.get(score!), cx.get(bar!)]);
  return byMask(cx, axis, among(cx, parentOf(cx, axis), over), score!);
}

function those(cx: Scope, value: Value<"those">): Name {
  const { axis } = value.attrs;
  const [mask] = value.inputs;
  return byMask(cx, axis, among(cx, parentOf(cx, axis), cx.get(mask!)), mask!);
}

/** The rows of x that a route chose along a dimension. */
export function rowsAlong(cx: Scope, x: Value, dim: number, route: Value): Name {
  const [rows, back] = forward(cx, cx.get(x), x.type.shape.length, dim);
  return back(cx.at.rows(rows, cx.get(route)));
}

const take = (cx: Scope, { inputs: [x, route], attrs: { dim } }: Value<"take">): Name => rowsAlong(cx, x!, dim, route!);

function put(cx: Scope, value: Value<"put">): Name {
  const { at } = cx;
  const { dim } = value.attrs;
  const [x, route, y] = value.inputs;
  const axis = routeAxis(route);
  const { shape } = x!.type;
  const update = broadcast(cx, cx.get(y!), y!.type.shape, along(shape, dim, axis));
  const exists = cx.axes.exists(axis);
  const own = exists === null ? update : kept(cx, at.unsqueezedTo(exists, dim, shape.length), update, x!.type.dtype);
  const [rows, back] = forward(cx, cx.get(x!), shape.length, dim);
  const [added] = forward(cx, own, shape.length, dim);
  return back(at.addRows(rows, cx.get(route!), added));
}

function mask(cx: Scope, value: Value<"mask">): Name {
  const { at, axes, graph } = cx;
  const axis = routeAxis(value.inputs[0]);
  const { mask: known, index } = axes.rows(axis);
  if (known !== undefined) return known;
  const none = graph.node("Expand", [graph.int(0), axes.dims(value.type.shape)]);
  const ones = graph.node("Expand", [graph.int(1), graph.node("Shape", [index!])]);
  return at.cast(graph.node("ScatterElements", [none, index!, ones], { axis: 1 }), "bool");
}

/** The indices of the chosen tokens in the parent's sequence. */
export function routeIndex(cx: Scope, route: Value): Name {
  const axis = routeAxis(route);
  const index = cx.get(route);
  if (cachesOn(cx, axis) === null) return index;
  const { start } = cx.axes.rows(parentOf(cx, axis));
  if (start === undefined) refuse("the index of a route chosen within another, while generating,", route.path);
  return cx.at.add(index, start);
}

/** i64[B]: the number of chosen tokens in each sequence. */
export function routeCount({ axes }: Scope, route: Value): Name {
  return axes.ofBatch(axes.counts(routeAxis(route)));
}

export const routeEmitters = {
  top,
  above,
  those,
  take,
  put,
  mask,
  index: (cx: Scope, value: Value<"index">): Name => routeIndex(cx, value.inputs[0]!),
  count: (cx: Scope, value: Value<"count">): Name => routeCount(cx, value.inputs[0]!),
};
