// Losses, and what only matters when training: `cross_entropy`, `bce`, `stop_gradient`, `dropout`, random values.
import { printSize, type Size } from "../../size/size.js";
import { reportMismatch } from "../broadcast.js";
import { ERROR, type Emitter, type Builtin } from "../context.js";
import type { LogicalOp, Value } from "../model.js";
import { equalShapes, typeOf } from "../types.js";
import { printType } from "../values.js";
import { floatArg, given, numberArg, requireDtype, tensorArg } from "./arguments.js";

const crossEntropy: Builtin = {
  params: [{ name: "logits" }, { name: "targets" }],
  doc:
    "cross_entropy(logits: f32[..., V], targets: u32[...] or i32[...]) -> f32[]\n" +
    "The mean over all existing tokens of −log softmax(logits)[target]. With i32 targets −1 is ignored, in the " +
    "sum and in the number; the mean of none is 0.",
  apply(body, args, span) {
    const logits = tensorArg(body, args, "cross_entropy", "logits");
    const targets = tensorArg(body, args, "cross_entropy", "targets");
    const at = given(args, "logits").span;
    if (!logits || !targets || !requireDtype(body, logits, ["f32"], "cross_entropy", at)) return ERROR;
    if (!requireDtype(body, targets, ["u32", "i32"], "cross_entropy", given(args, "targets").span)) return ERROR;
    const classes = logits.type.shape.at(-1);
    if (typeof classes !== "number") {
      if (classes === undefined)
        body.report(
          "wrong-rank",
          { what: "`cross_entropy`", needs: "logits with a last axis of classes", found: printType(logits.type) },
          at,
        );
      else body.report("unknown-extent", { what: "`cross_entropy`", size: printSize(classes) }, at);
      return ERROR;
    }
    if (
      !sameShape(body, "`cross_entropy`", logits, logits.type.shape.slice(0, -1), targets, given(args, "targets").span)
    )
      return ERROR;
    return { kind: "tensor", value: body.emit("cross_entropy", [logits, targets], {}, typeOf("f32", []), span) };
  },
};

const bce: Builtin = {
  params: [{ name: "logit" }, { name: "target" }],
  doc:
    "bce(logit: f32[...], target: bool[...] or f32[...]) -> f32[]\n" +
    "Binary cross-entropy of sigmoid(logit) with the target, as a mean over all existing tokens, computed from " +
    "the logit without overflow.",
  apply(body, args, span) {
    const logit = tensorArg(body, args, "bce", "logit");
    const target = tensorArg(body, args, "bce", "target");
    if (!logit || !target || !requireDtype(body, logit, ["f32"], "bce", given(args, "logit").span)) return ERROR;
    const at = given(args, "target").span;
    if (
      !requireDtype(body, target, ["f32", "bool"], "bce", at) ||
      !sameShape(body, "`bce`", logit, logit.type.shape, target, at)
    )
      return ERROR;
    return { kind: "tensor", value: body.emit("bce", [logit, target], {}, typeOf("f32", []), span) };
  },
};

function sameShape(
  body: Emitter,
  what: string,
  left: Value,
  shape: readonly Size[],
  right: Value,
  at: Value["span"],
): boolean {
  if (equalShapes(shape, right.type.shape)) return true;
  const sameRank =
    shape.length === right.type.shape.length && shape.every((s) => s !== 1) && right.type.shape.every((s) => s !== 1);
  if (sameRank) reportMismatch(body, what, { dtype: left.type.dtype, shape }, right.type, at);
  else
    body.report(
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
  apply(body, args, span) {
    const x = tensorArg(body, args, "stop_gradient", "x");
    return x ? { kind: "tensor", value: body.emit("stop_gradient", [x], {}, x.type, span) } : ERROR;
  },
};

const dropout: Builtin = {
  params: [{ name: "x" }, { name: "p" }],
  doc:
    "dropout(x: float[...], p) -> the type of x\nIn train each element is 0 with probability p, the others are " +
    "divided by 1 − p; elsewhere x itself. 0 ≤ p < 1.",
  apply(body, args, span) {
    const x = floatArg(body, args, "dropout", "x");
    const p = numberArg(body, args, "dropout", "p", 0);
    if (!x || p === null) return ERROR;
    if (p < 0 || p >= 1) {
      body.report(
        "argument-out-of-range",
        { what: "`p` of `dropout`", needs: "at least 0 and below 1", found: String(p) },
        given(args, "p").span,
      );
      return ERROR;
    }
    if (body.phase !== "train" || p === 0) return { kind: "tensor", value: x };
    return { kind: "tensor", value: body.emit("dropout", [x], { p, stream: body.stream() }, x.type, span) };
  },
};

const random = (op: Extract<LogicalOp, "random_normal" | "random_uniform">, meaning: string): Builtin => ({
  params: [{ name: "like", named: true }],
  doc:
    `${op}(like: float[...]) -> the type of like\n${meaning} They depend on the seed, the call, the position and ` +
    "the channel, not on the batch.",
  apply(body, args, span) {
    const like = floatArg(body, args, op, "like");
    return like ? { kind: "tensor", value: body.emit(op, [like], { stream: body.stream() }, like.type, span) } : ERROR;
  },
});

export const losses: ReadonlyMap<string, Builtin> = new Map<string, Builtin>([
  ["cross_entropy", crossEntropy],
  ["bce", bce],
  ["stop_gradient", stopGradient],
  ["dropout", dropout],
  ["random_normal", random("random_normal", "Random values of the standard normal distribution.")],
  ["random_uniform", random("random_uniform", "Random values, uniform from 0 to 1.")],
]);
