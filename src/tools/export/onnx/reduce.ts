// Reductions, softmax and losses in ONNX. Along sequences only existing tokens count.
import { isFloat, LARGEST, type DType } from "../../../ground/base/dtype.js";
import type { Value } from "../../../language/check/model/model.js";
import type { Name } from "./graph.js";
import { refuse, broadcast, elementOf, isGiven, scalar, type Scope } from "./scope.js";
import { converted, wrapped } from "./elementwise.js";
import { LOWEST } from "./shorthand.js";

const lowest = (cx: Scope, dtype: DType): Name =>
  isFloat(dtype) ? cx.graph.float(LOWEST) : cx.graph.int(dtype === "i32" ? -(2n ** 31n) : 0n);
const highest = (cx: Scope, dtype: DType): Name =>
  isFloat(dtype) ? cx.graph.float(-LOWEST) : cx.graph.int(LARGEST[dtype === "bool" ? "u32" : dtype]);

/**
 * A boolean mask, broadcastable to x, of the elements that exist along these dimensions; null if all exist. `others`
 * are further masks with the same rank.
 */
function existing(cx: Scope, x: Value, dims: readonly number[], others: readonly Value[] = []): Name | null {
  const { at, axes } = cx;
  const { shape } = x.type;
  const masks = dims.flatMap((dim) => {
    const axis = axes.sequenceOf(shape[dim]);
    const exists = axis === null ? null : axes.exists(axis);
    return exists === null ? [] : [at.unsqueezedTo(exists, dim, shape.length)];
  });
  return [...masks, ...others.map(cx.get)].reduce<Name | null>((a, b) => (a === null ? b : at.and(a, b)), null);
}

const masked = ({ at }: Scope, x: Name, exists: Name | null, fill: Name): Name =>
  exists === null ? x : at.where(exists, x, fill);

/** The number of elements reduced into each result, f32, with kept dimensions. */
function count(cx: Scope, x: Value, dims: readonly number[], exists: Name | null): Name {
  const { at, axes, graph } = cx;
  if (exists === null)
    return at.cast(
      dims.map((dim) => axes.size(x.type.shape[dim]!)).reduce((a, b) => at.mul(a, b), graph.ints(1)),
      "f32",
    );
  const mask = graph.node("Expand", [at.cast(exists, "f32"), axes.dims(x.type.shape)]);
  return at.reduce("Sum", mask, dims, true);
}

function reduce(cx: Scope, value: Value<"reduce">): Name {
  const { at, axes, graph } = cx;
  const { fn, axes: dims, keep } = value.attrs;
  const [x, ...others] = value.inputs;
  const from = x!.type.dtype;
  if (dims.length === 0 && fn !== "argmax") {
    const same = converted(cx, cx.get(x!), from, value.type.dtype);
    return fn === "var" ? at.sub(same, same) : same;
  }
  const exists = existing(cx, x!, dims, others);
  const along = dims.some((dim) => axes.sequenceOf(x!.type.shape[dim]) !== null);
  const mayBeEmpty = exists !== null || along;
  const total = (y: Name): Name => at.reduce("Sum", masked(cx, y, exists, scalar(cx, 0, value.type.dtype)), dims, true);
  const mean = (y: Name): Name => {
    if (!mayBeEmpty) return at.reduce("Mean", y, dims, true);
    return at.div(total(y), at.max(count(cx, x!, dims, exists), graph.float(1)));
  };
  const extreme = (which: "Max" | "Min"): Name => {
    const fill = which === "Max" ? lowest(cx, from) : highest(cx, from);
    const y = at.reduce(which, masked(cx, cx.get(x!), exists, fill), dims, true);
    if (!mayBeEmpty) return y;
    const some = graph.node("Greater", [count(cx, x!, dims, exists), graph.float(0)]);
    return at.where(some, y, scalar(cx, 0, from));
  };
  const reduced = ((): Name => {
    switch (fn) {
      case "sum":
        return wrapped(cx, total(converted(cx, cx.get(x!), from, value.type.dtype)), value.type.dtype);
      case "mean":
        return mean(converted(cx, cx.get(x!), from, "f32"));
      case "var": {
        const y = converted(cx, cx.get(x!), from, "f32");
        const difference = at.sub(y, mean(y));
        return mean(at.mul(difference, difference));
      }
      case "max":
        return extreme("Max");
      case "min":
        return extreme("Min");
      case "argmax": {
        const dim = dims[0]!; // argmax has one dimension
        const filled = masked(cx, cx.get(x!), exists, lowest(cx, from));
        // Appends a row of lowest values, because a sequence may have no tokens.
        const { shape } = x!.type;
        const row = graph.node("Expand", [lowest(cx, from), axes.dims(shape.with(dim, 1))]);
        const extended = along ? at.concat([filled, row], dim) : filled;
        return graph.node("ArgMax", [extended], { axis: dim, keepdims: 1, select_last_index: 0 });
      }
      default:
        return fn satisfies never;
    }
  })();
  return keep ? reduced : at.squeeze(reduced, ...dims);
}

function softmax(cx: Scope, value: Value<"softmax">): Name {
  const { graph } = cx;
  const [x, ...others] = value.inputs;
  const dim = value.attrs.axis < 0 ? value.attrs.axis + x!.type.shape.length : value.attrs.axis;
  const exists = existing(cx, x!, [dim], others);
  const soft = graph.node("Softmax", [masked(cx, cx.get(x!), exists, graph.float(LOWEST))], { axis: dim });
  return masked(cx, soft, exists, graph.float(0));
}

/** The mean over existing tokens (and over `counted` tokens, if given): f32[]. The mean over no token is 0. */
function meanOf(cx: Scope, each: Name, like: Value, counted: Name | null): Name {
  const { at, graph, axes } = cx;
  const dims = like.type.shape.map((_, dim) => dim);
  if (dims.length === 0 && counted === null) return each;
  const exists = existing(cx, like, dims);
  const both = exists === null ? counted : counted === null ? exists : at.and(exists, counted);
  const total = at.reduce("Sum", masked(cx, each, both, graph.float(0)), dims, false);
  const all = both === null ? graph.float(1) : at.cast(both, "f32");
  const expanded = graph.node("Expand", [all, axes.dims(like.type.shape)]);
  return at.div(total, at.max(at.reduce("Sum", expanded, dims, false), graph.float(1)));
}

/**
 * log softmax(logits)[target] of each row, and the targets in its shape. A computed target beyond the classes is
 * clamped to the last class. The number of a row with a negative target does not count.
 */
function logsOf(cx: Scope, value: Value): { readonly logs: Name; readonly label: Name; readonly like: Value } {
  const { at, graph } = cx;
  const [logits, targets] = value.inputs;
  const { shape } = logits!.type;
  const classes = shape.at(-1)!;
  if (typeof classes !== "number") return refuse("a loss over classes along an axis", value.path);
  const label = broadcast(cx, cx.get(targets!), targets!.type.shape, shape.slice(0, -1));
  const clamped = at.max(label, graph.int(0));
  const inRange = isGiven(cx, targets) ? clamped : at.min(clamped, graph.int(classes - 1));
  const all = graph.node("LogSoftmax", [cx.get(logits!)], { axis: -1 });
  const chosen = graph.node("GatherElements", [all, at.unsqueeze(inRange, shape.length - 1)], { axis: -1 });
  const like = { ...logits!, type: { dtype: "f32" as const, shape: shape.slice(0, -1) } };
  return { logs: at.squeeze(chosen, shape.length - 1), label, like };
}

/** Which rows have a target; null if all have. */
const counted = ({ graph }: Scope, { inputs }: Value, label: Name): Name | null =>
  inputs[1]!.type.dtype === "i32" ? graph.node("GreaterOrEqual", [label, graph.int(0)]) : null;

function crossEntropy(cx: Scope, value: Value<"cross_entropy">): Name {
  const { logs, label, like } = logsOf(cx, value);
  return meanOf(cx, cx.graph.node("Neg", [logs]), like, counted(cx, value, label));
}

function logProbability(cx: Scope, value: Value<"log_probability">): Name {
  const { logs, label } = logsOf(cx, value);
  const has = counted(cx, value, label);
  return has === null ? logs : cx.at.where(has, logs, cx.graph.float(0));
}

/** (1 - t) · softplus(z) + t · softplus(-z). */
function bce(cx: Scope, value: Value<"bce">): Name {
  const { at, graph } = cx;
  const [logit, target] = value.inputs;
  const wider = target!.type.shape.length > logit!.type.shape.length ? target! : logit!;
  const z = cx.get(logit!);
  const minus = graph.node("Neg", [z]);
  const soft = (x: Name): Name => graph.node("Softplus", [x]);
  const t = cx.get(target!);
  const each =
    elementOf(target!.type.dtype) === "bool"
      ? soft(at.where(t, minus, z))
      : at.add(at.mul(at.sub(graph.float(1), t), soft(z)), at.mul(t, soft(minus)));
  const expanded = graph.node("Expand", [each, cx.axes.dims(wider.type.shape)]);
  return meanOf(cx, expanded, wider, null);
}

/** The mean over rows i of -log softmax(scale · aᵢ · bⱼ over j)[i]. */
function contrast(cx: Scope, { attrs: { scale }, inputs }: Value<"contrast">): Name {
  const { at, axes, graph } = cx;
  const [a, b] = inputs;
  const logits = at.mul(at.matmul(cx.get(a!), at.transpose(cx.get(b!), [1, 0])), graph.float(scale)); // [B, B]
  const all = graph.node("LogSoftmax", [logits], { axis: -1 });
  const own = at.unsqueeze(at.range(axes.size(a!.type.shape[0]!)), 1); // [B, 1]
  const each = at.squeeze(graph.node("GatherElements", [all, own], { axis: 1 }), 1);
  const like = { ...a!, type: { dtype: "f32" as const, shape: a!.type.shape.slice(0, 1) } };
  return meanOf(cx, graph.node("Neg", [each]), like, null);
}

export const reduceEmitters = {
  reduce,
  softmax,
  cross_entropy: crossEntropy,
  log_probability: logProbability,
  contrast,
  bce,
};
