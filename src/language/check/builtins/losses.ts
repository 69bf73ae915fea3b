// Losses and functions for training: `cross_entropy`, `bce`, `stop_gradient`, `dropout`, random values.
import { printSize, equalSizes, type Size } from "../../../ground/size/size.js";
import { reportMismatch, reportSizes } from "../tensors/broadcast.js";
import { ERROR, type Emitter, type Builtin } from "../model/context.js";
import { plainEverywhere } from "../tensors/entries.js";
import type { LogicalOp, Value } from "../model/model.js";
import { equalShapes, isBatch, typeOf } from "../model/types.js";
import { printType } from "../model/values.js";
import { floatArg, requiredArg, numberArg, requireDtype, tensorArg, type Args } from "./arguments.js";

const straight: Builtin = {
  params: [{ name: "hard" }, { name: "soft" }],
  doc:
    "straight(hard: bool[...] or f32[...], soft: f32[...]) -> f32[...]\nThe value of `hard` bit for bit, where true " +
    "is 1, with the gradient of `soft`: the whole gradient goes to `soft`, none to `hard` (the straight-through " +
    "estimator). Both have one shape.",
  apply(emitter, args, span) {
    const hard = tensorArg(emitter, args, "straight", "hard");
    const soft = tensorArg(emitter, args, "straight", "soft");
    if (!hard || !soft) return ERROR;
    const at = requiredArg(args, "soft").span;
    if (!requireDtype(emitter, hard, ["f32", "bool"], "straight", "hard", requiredArg(args, "hard").span)) return ERROR;
    if (!requireDtype(emitter, soft, ["f32"], "straight", "soft", at)) return ERROR;
    const { shape } = soft.type;
    if (!equalShapes(hard.type.shape, shape)) {
      const dim = hard.type.shape.findIndex((size, i) => !equalSizes(size, shape[i] ?? -1));
      const [x, y] = [hard.type.shape[dim] ?? 1, shape[dim] ?? 1];
      if (hard.type.shape.length === shape.length) reportSizes(emitter, "`straight`", hard.type, x, soft.type, y, at);
      else reportMismatch(emitter, "`straight`", hard.type, soft.type, at);
      return ERROR;
    }
    return { kind: "tensor", value: emitter.emit("straight", [hard, soft], {}, typeOf("f32", shape), span) };
  },
};

/** The logits and targets of a call, whose logits have one more axis, of classes; null if a fault was reported. */
function classified(
  emitter: Emitter,
  args: Args,
  name: "cross_entropy" | "log_probability",
  how: string,
): readonly [logits: Value, targets: Value] | null {
  const at = requiredArg(args, "logits").span;
  const targetsAt = requiredArg(args, "targets").span;
  const raggedLogits = tensorArg(emitter, args, name, "logits");
  const logits = raggedLogits && plainEverywhere(emitter, raggedLogits, how, at);
  const raggedTargets = tensorArg(emitter, args, name, "targets");
  const targets = raggedTargets && plainEverywhere(emitter, raggedTargets, how, targetsAt);
  if (!logits || !targets || !requireDtype(emitter, logits, ["f32"], name, "logits", at)) return null;
  if (!requireDtype(emitter, targets, ["u32", "i32"], name, "targets", targetsAt)) return null;
  const classes = logits.type.shape.at(-1);
  const what = `\`${name}\``;
  if (typeof classes === "number")
    return sameShape(emitter, what, logits, logits.type.shape.slice(0, -1), targets, targetsAt)
      ? [logits, targets]
      : null;
  if (classes !== undefined) emitter.report("unknown-extent", { what, size: printSize(classes) }, at);
  else {
    const needs = "logits with a last axis of classes";
    emitter.report("wrong-rank", { what, needs, found: printType(logits.type) }, at);
  }
  return null;
}

const crossEntropy: Builtin = {
  params: [{ name: "logits" }, { name: "targets" }],
  doc:
    "cross_entropy(logits: f32[..., V], targets: u32[...] or i32[...]) -> f32[]\n" +
    "The mean over all existing tokens of −log softmax(logits)[target]. With i32 targets −1 is ignored, in the " +
    "sum and in the number; the mean of none is 0.",
  apply(emitter, args, span) {
    const read = classified(emitter, args, "cross_entropy", "averaged by a loss");
    if (!read) return ERROR;
    return { kind: "tensor", value: emitter.emit("cross_entropy", read, {}, typeOf("f32", []), span) };
  },
};

const logProbability: Builtin = {
  params: [{ name: "logits" }, { name: "targets" }],
  doc:
    "log_probability(logits: f32[..., V], targets: u32[...] or i32[...]) -> f32[...]\n" +
    "log softmax(logits)[target] of each token. With i32 targets it is 0 where the target is −1, so the sum along " +
    "the sequence is the log-probability of a text.",
  apply(emitter, args, span) {
    const read = classified(emitter, args, "log_probability", "compared with targets");
    if (!read) return ERROR;
    const type = typeOf("f32", read[0].type.shape.slice(0, -1));
    return { kind: "tensor", value: emitter.emit("log_probability", read, {}, type, span) };
  },
};

const contrast: Builtin = {
  params: [{ name: "a" }, { name: "b" }, { name: "scale", optional: true, named: true }],
  doc:
    "contrast(a: f32[B, d], b: f32[B, d], scale: 1) -> f32[]\n" +
    "The mean over i of −log softmax(scale·aᵢ·bⱼ over j)[i]: row i of `a` shall find its pair, row i of `b`, among " +
    "all rows of `b` in the step (in-batch negatives: InfoNCE, arXiv 1807.03748; CLIP, arXiv 2103.00020). It reads " +
    "other sequences, so it stands only in a loss. Factors of `a` act as a learned scale.",
  apply(emitter, args, span) {
    const [a, b] = [pairedArg(emitter, args, "a"), pairedArg(emitter, args, "b")];
    const scale = numberArg(emitter, args, "contrast", "scale", 1);
    if (!a || !b || scale === null) return ERROR;
    if (!equalShapes(a.type.shape, b.type.shape)) {
      reportMismatch(emitter, "`contrast`", a.type, b.type, requiredArg(args, "b").span);
      return ERROR;
    }
    if (scale <= 0) {
      emitter.report(
        "argument-out-of-range",
        { what: "`scale` of `contrast`", needs: "above 0", found: String(scale) },
        requiredArg(args, "scale").span,
      );
      return ERROR;
    }
    return { kind: "tensor", value: emitter.emit("contrast", [a, b], { scale }, typeOf("f32", []), span) };
  },
};

/** An argument of `contrast`: a row of numbers for each sequence; null after a report. */
function pairedArg(emitter: Emitter, args: Args, name: "a" | "b"): Value | null {
  const at = requiredArg(args, name).span;
  const ragged = tensorArg(emitter, args, "contrast", name);
  const value = ragged && plainEverywhere(emitter, ragged, "compared with other sequences", at);
  if (!value || !requireDtype(emitter, value, ["f32"], "contrast", name, at)) return null;
  const { shape } = value.type;
  const [rows, width] = shape;
  if (shape.length !== 2 || !isBatch(emitter, rows!)) {
    const needs = "one row of numbers for each sequence, f32[B, d]";
    emitter.report("wrong-rank", { what: "`contrast`", needs, found: printType(value.type) }, at);
    return null;
  }
  if (typeof width === "number") return value;
  emitter.report("unknown-extent", { what: "`contrast`", size: printSize(width!) }, at);
  return null;
}

const bce: Builtin = {
  params: [{ name: "logit" }, { name: "target" }],
  doc:
    "bce(logit: f32[...], target: bool[...] or f32[...]) -> f32[]\n" +
    "Binary cross-entropy of sigmoid(logit) with the target, as a mean over all existing tokens, computed from " +
    "the logit without overflow.",
  apply(emitter, args, span) {
    const ragged = tensorArg(emitter, args, "bce", "logit");
    const logit = ragged && plainEverywhere(emitter, ragged, "averaged by a loss", requiredArg(args, "logit").span);
    const wholeTarget = tensorArg(emitter, args, "bce", "target");
    const target =
      wholeTarget && plainEverywhere(emitter, wholeTarget, "averaged by a loss", requiredArg(args, "target").span);
    if (!logit || !target || !requireDtype(emitter, logit, ["f32"], "bce", "logit", requiredArg(args, "logit").span))
      return ERROR;
    const at = requiredArg(args, "target").span;
    if (
      !requireDtype(emitter, target, ["f32", "bool"], "bce", "target", at) ||
      !sameShape(emitter, "`bce`", logit, logit.type.shape, target, at)
    )
      return ERROR;
    return { kind: "tensor", value: emitter.emit("bce", [logit, target], {}, typeOf("f32", []), span) };
  },
};

function sameShape(
  emitter: Emitter,
  what: string,
  left: Value,
  shape: readonly Size[],
  right: Value,
  at: Value["span"],
): boolean {
  if (equalShapes(shape, right.type.shape)) return true;
  const sameRank =
    shape.length === right.type.shape.length && shape.every((s) => s !== 1) && right.type.shape.every((s) => s !== 1);
  if (sameRank) reportMismatch(emitter, what, { dtype: left.type.dtype, shape }, right.type, at);
  else
    emitter.report(
      "shape-mismatch",
      {
        what,
        left: printType(left.type),
        right: printType(right.type),
        reason: `the targets must be [${shape.map(printSize).join(", ")}]`,
      },
      at,
    );
  return false;
}

const stopGradient: Builtin = {
  params: [{ name: "x" }],
  doc: "stop_gradient(x: any[...]) -> the type of x\nx itself; training passes no gradient through it.",
  apply(emitter, args, span) {
    const x = tensorArg(emitter, args, "stop_gradient", "x");
    return x ? { kind: "tensor", value: emitter.emit("stop_gradient", [x], {}, x.type, span) } : ERROR;
  },
};

const dropout: Builtin = {
  params: [{ name: "x" }, { name: "p" }],
  doc:
    "dropout(x: float[...], p) -> the type of x\nIn train each element is 0 with probability p, the others are " +
    "divided by 1 − p; elsewhere x itself. 0 ≤ p < 1.",
  apply(emitter, args, span) {
    const x = floatArg(emitter, args, "dropout", "x");
    const p = numberArg(emitter, args, "dropout", "p", 0);
    if (!x || p === null) return ERROR;
    if (p < 0 || p >= 1) {
      emitter.report(
        "argument-out-of-range",
        { what: "`p` of `dropout`", needs: "at least 0 and below 1", found: String(p) },
        requiredArg(args, "p").span,
      );
      return ERROR;
    }
    if (emitter.phase !== "train" || p === 0) return { kind: "tensor", value: x };
    return { kind: "tensor", value: emitter.emit("dropout", [x], { p, stream: emitter.stream() }, x.type, span) };
  },
};

const random = (op: Extract<LogicalOp, "random_normal" | "random_uniform">, meaning: string): Builtin => ({
  params: [{ name: "like", named: true }],
  doc:
    `${op}(like: float[...]) -> the type of like\n${meaning} They depend on the seed, the call, the position and ` +
    "the channel, not on the batch.",
  apply(emitter, args, span) {
    const like = floatArg(emitter, args, op, "like");
    return like
      ? { kind: "tensor", value: emitter.emit(op, [like], { stream: emitter.stream() }, like.type, span) }
      : ERROR;
  },
});

export const losses: ReadonlyMap<string, Builtin> = new Map<string, Builtin>([
  ["cross_entropy", crossEntropy],
  ["log_probability", logProbability],
  ["contrast", contrast],
  ["bce", bce],
  ["stop_gradient", stopGradient],
  ["straight", straight],
  ["dropout", dropout],
  ["random_normal", random("random_normal", "Random values of the standard normal distribution.")],
  ["random_uniform", random("random_uniform", "Random values, uniform from 0 to 1.")],
]);
