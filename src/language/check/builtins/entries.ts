// `top`, `above`, `those`, `take` and `put` along an axis with fixed size: choices of entries.
import type { Span } from "../../diagnostics/span.js";
import { axisSize, printSize } from "../../../ground/size/size.js";
import { ONE, type Rational } from "../../../ground/numerics/rational.js";
import { broadcastTypes, reportMismatch } from "../tensors/broadcast.js";
import { boundOfRoute, checkCapacity } from "../tensors/capacity.js";
import { ERROR, type ConstValue, type Emitter } from "../model/context.js";
import { scoreOf, type Choice } from "../tensors/entries.js";
import { recordDefinition } from "../tensors/makers.js";
import type { Value } from "../model/model.js";
import {
  axisOf,
  equalShapes,
  isBatch,
  plainSize,
  sameExtent,
  sequenceDims,
  sequenceOf,
  typeOf,
} from "../model/types.js";
import { printType } from "../model/values.js";
import { kArg, integerArg, numberArg, requiredArg, requireDtype, tensorArg, type Args } from "./arguments.js";

/** The name that users see for an axis of chosen entries. */
const CHOSEN = "K";

/** The choice among the arguments of `take` and `put`, or null for a route. */
export function choiceOf(args: Args): Choice | null {
  const { value } = requiredArg(args, "route");
  return value.kind === "choice" ? value.value : null;
}

/** `top(score: f32[B, …, E], k, axis: -1)`. */
export function topEntries(emitter: Emitter, args: Args, span: Span): ConstValue {
  const score = tensorArg(emitter, args, "top", "score");
  const at = requiredArg(args, "score").span;
  if (!score || !requireDtype(emitter, score, ["f32"], "top", "score", at)) return ERROR;
  const { shape } = score.type;
  const axis = numberArg(emitter, args, "top", "axis", -1);
  if (axis === null) return ERROR;
  const last = shape.length - 1;
  const [first] = shape;
  if (last < 1 || first === undefined || !isBatch(emitter, first)) {
    const needs = "scores of entries, f32[B, ..., E]";
    emitter.report("wrong-rank", { what: "`score` of `top` with `axis`", needs, found: printType(score.type) }, at);
    return ERROR;
  }
  if (axis === 1 && last === 2) return topTokens(emitter, args, score, span);
  if (axis === 1 && last > 2) {
    const [what, needs] = ["`score` of `top` with `axis: 1`", "scores of entries for tokens, f32[B, T, E]"];
    const hint = "choose tokens by one score for each entry, or among the entries of the last axis with `axis: -1`";
    emitter.report("wrong-rank", { what, needs, found: printType(score.type), hint }, at);
    return ERROR;
  }
  if (axis !== -1 && axis !== last) {
    const needs =
      last === 2
        ? "-1, the last axis, or 1, the tokens of f32[B, T, E]"
        : `-1, the last axis of ${printType(score.type)}`;
    const at = requiredArg(args, "axis").span;
    emitter.report("argument-out-of-range", { what: "`axis` of `top`", needs, found: String(axis) }, at);
    return ERROR;
  }
  const among = entriesAmong(emitter, score, at);
  const k = among === null ? null : integerArg(emitter, args, "top", "k", 1, Number.MIN_SAFE_INTEGER);
  if (among === null || k === null) return ERROR;
  if (k < 1 || k > among) {
    emitter.report("choice-too-large", { k, among }, requiredArg(args, "k").span);
    return ERROR;
  }
  const entries = k === 1 ? 1 : axisSize(emitter.makeEntryAxis(CHOSEN, k, false));
  const type = typeOf("u32", [...shape.slice(0, -1), entries]);
  return { kind: "choice", value: emitter.emit("top_entries", [score], { k, choice: "" }, type, span) };
}

/** The extent of the last axis of a score; null after a report if it is not fixed. */
function entriesAmong(
  emitter: Emitter,
  score: Value,
  at: Span,
  what = "`score` of `top` with `axis: -1`",
): number | null {
  const size = score.type.shape.at(-1) ?? 1;
  const extent = plainSize(emitter, size);
  if (typeof extent === "number") return extent;
  const axis = axisOf(emitter, size);
  if (axis?.role === "entries") {
    emitter.report("ragged-axis", { axis: axis.name, how: "chosen from", entries: true }, at);
    return null;
  }
  const hint = axis?.role === "sequence" ? "a score of two axes chooses tokens without `axis`: `top(score, k)`" : null;
  emitter.report(
    "wrong-rank",
    {
      what,
      needs: `a last axis of fixed size, not ${printSize(size)}`,
      found: printType(score.type),
      ...(hint === null ? {} : { hint }),
    },
    at,
  );
  return null;
}

/** `top(score: f32[B, T, E], k, axis: 1)`: each entry chooses among the tokens, with a separate route. */
function topTokens(emitter: Emitter, args: Args, score: Value, span: Span): ConstValue {
  const at = requiredArg(args, "score").span;
  const [batch, tokens] = score.type.shape;
  const among = entriesAmong(emitter, score, at);
  const parent = sequenceOf(emitter, tokens ?? 1);
  if (batch === undefined || tokens === undefined || among === null) return ERROR;
  if (!parent) {
    emitter.report("not-a-sequence", { what: "`top` with `axis: 1`", found: printType(score.type) }, at);
    return ERROR;
  }
  const k = kArg(emitter, requiredArg(args, "k"));
  if (k === null || !checkCapacity(emitter, k, parent, requiredArg(args, "k"))) return ERROR;
  const plain = typeOf("f32", [batch, tokens, among]);
  const scores = equalShapes(score.type.shape, plain.shape) ? score : emitter.emit("reshape", [score], {}, plain, span);
  const axis = emitter.makeAxis(CHOSEN, boundOfRoute(emitter, k, parent), { kind: "top", parent: parent.name, k });
  const mask = emitter.emit("top_tokens", [scores], { axis }, typeOf("bool", plain.shape), span);
  recordDefinition(emitter, axis, mask);
  return { kind: "choice", value: entriesThat(emitter, mask, { expected: ONE, choice: "" }, span) };
}

/** The choice of all entries at which a mask is true, from none to all. */
function entriesThat(emitter: Emitter, mask: Value, attrs: Value<"those_entries">["attrs"], span: Span): Choice {
  const { shape } = mask.type;
  const entries = emitter.makeEntryAxis(CHOSEN, Number(plainSize(emitter, shape.at(-1) ?? 1)), true);
  const type = typeOf("u32", [...shape.slice(0, -1), axisSize(entries)]);
  const choice = emitter.emit("those_entries", [mask], attrs, type, span);
  recordDefinition(emitter, entries, choice);
  return choice;
}

/** `those(mask: bool[B, T, …, E])`, for a mask known to have more than two axes. */
export function thoseEntries(emitter: Emitter, mask: Value, expected: Rational, at: Span, span: Span): ConstValue {
  return liesOnTokens(emitter, "those", "mask", mask, at) &&
    entriesAmong(emitter, mask, at, "`mask` of `those`") !== null
    ? { kind: "choice", value: entriesThat(emitter, mask, { expected, choice: "" }, span) }
    : ERROR;
}

/** `above(score: f32[B, T, …, E], threshold)`: chooses the entries with score > threshold. */
export function aboveEntries(
  emitter: Emitter,
  score: Value,
  threshold: Value,
  expected: Rational,
  spans: { readonly score: Span; readonly threshold: Span; readonly call: Span },
): ConstValue {
  if (!liesOnTokens(emitter, "above", "score", score, spans.score)) return ERROR;
  if (entriesAmong(emitter, score, spans.score, "`score` of `above`") === null) return ERROR;
  const shape = broadcastTypes(emitter, "`above`", [score, threshold], spans.threshold);
  if (!shape) return ERROR;
  if (!equalShapes(shape, score.type.shape)) {
    const reason = "a threshold broadcasts to the score";
    const [left, right] = [printType(score.type), printType(threshold.type)];
    emitter.report("shape-mismatch", { what: "`above`", left, right, reason }, spans.threshold);
    return ERROR;
  }
  const mask = emitter.emit("pointwise", [score, threshold], { fn: "gt" }, typeOf("bool", shape), spans.call);
  return { kind: "choice", value: entriesThat(emitter, mask, { expected, choice: "" }, spans.call) };
}

/** Checks that a value is [B, T, …, E], with tokens as its second axis. */
function liesOnTokens(emitter: Emitter, fn: string, name: string, { type }: Value, at: Span): boolean {
  const [batch, tokens] = type.shape;
  if (batch !== undefined && isBatch(emitter, batch) && sequenceOf(emitter, tokens ?? 1)) return true;
  const needs = `one value a token, ${type.dtype}[B, T], or several, ${type.dtype}[B, T, ..., E]`;
  emitter.report("wrong-rank", { what: `\`${name}\` of \`${fn}\``, needs, found: printType(type) }, at);
  return false;
}

export function takeEntries(emitter: Emitter, args: Args, choice: Choice, span: Span): ConstValue {
  const x = tensorArg(emitter, args, "take", "x");
  if (!x || !liesLikeScore(emitter, "take", x, choice, requiredArg(args, "x").span)) return ERROR;
  const type = typeOf(x.type.dtype, choice.type.shape);
  return { kind: "tensor", value: emitter.emit("take_entries", [x, choice], {}, type, span) };
}

export function putEntries(emitter: Emitter, args: Args, choice: Choice, span: Span): ConstValue {
  const x = tensorArg(emitter, args, "put", "x");
  const y = tensorArg(emitter, args, "put", "y");
  const at = { x: requiredArg(args, "x").span, y: requiredArg(args, "y").span };
  if (!x || !y || !requireDtype(emitter, x, ["f32", "f16", "u32", "i32"], "put", "x", at.x)) return ERROR;
  if (!liesLikeScore(emitter, "put", x, choice, at.x)) return ERROR;
  if (x.type.dtype !== y.type.dtype) {
    const [left, right] = [printType(x.type), printType(y.type)];
    emitter.report("dtype-mismatch", { what: "`put`", left, right, cast: x.type.dtype }, at.y);
    return ERROR;
  }
  const rows = typeOf(x.type.dtype, choice.type.shape);
  const fits =
    rows.shape.length === y.type.shape.length &&
    rows.shape.every((size, i) => sameExtent(emitter, size, y.type.shape[i] ?? -1));
  if (!fits) {
    reportMismatch(emitter, "`put`", rows, y.type, at.y);
    return ERROR;
  }
  return { kind: "tensor", value: emitter.emit("put_entries", [x, choice, y], {}, x.type, span) };
}

/** Checks that x has the axes of the choice's score. */
function liesLikeScore(emitter: Emitter, fn: string, x: Value, choice: Choice, at: Span): boolean {
  const score = scoreOf(choice).type;
  if (equalShapes(x.type.shape, score.shape)) return true;
  const [ofTensor, ofScore] = [x.type.shape, score.shape].map((shape) => {
    const [dim] = sequenceDims(emitter, shape);
    return dim === undefined ? null : printSize(shape[dim] ?? 1);
  });
  if (ofTensor && ofScore && ofTensor !== ofScore) {
    const reason = `the choice was made on ${ofScore}, not on ${ofTensor}`;
    const right = `a choice among ${printType(score)}`;
    emitter.report("unordered-route", { what: `\`${fn}\``, left: printType(x.type), right, reason, of: "scores" }, at);
  } else {
    const reason = "a tensor indexed by a choice needs the score's axes";
    const [left, right] = [printType(x.type), printType(score)];
    const hint =
      score.shape.at(-1) === 1
        ? "a route chooses tokens by one score each, [B, T]: drop the last dimension of the score, `score[..., 0]`"
        : "the tokens that chose entry e are those of `choice[e]`, a route; each token goes through the blocks that " +
          "it chose by `blocks[choice](x)`";
    emitter.report("shape-mismatch", { what: `\`${fn}\` by this choice`, left, right, reason, hint }, at);
  }
  return false;
}
