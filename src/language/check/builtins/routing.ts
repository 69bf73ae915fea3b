// `top`, `above`, `those`, `take`, `put`: choose tokens, gather them, and scatter the results.
import type { Span } from "../../diagnostics/span.js";
import { compare, ONE, ZERO, type Rational } from "../../../ground/numerics/rational.js";
import type { SequenceAxis } from "../../../ground/size/axes.js";
import { axisSize, equalSizes, printSize, type Size } from "../../../ground/size/size.js";
import { reportSizes } from "../tensors/broadcast.js";
import { atDefaults, boundOfRoute, checkCapacity, percent } from "../tensors/capacity.js";
import { ERROR, type Emitter, type Argument, type Builtin, type ConstValue } from "../model/context.js";
import { toValue } from "../tensors/convert.js";
import { recordDefinition, sharedAxis } from "../tensors/makers.js";
import type { Route, Value } from "../model/model.js";
import { equalShapes, sequenceDims, sequenceOf, typeOf, isChoice, isOp } from "../model/types.js";
import { printType } from "../model/values.js";
import { aboveEntries, choiceOf, putEntries, takeEntries, thoseEntries, topEntries } from "./entries.js";
import { kArg, requiredArg, requireDtype, routeArg, tensorArg, wrong, type Args } from "./arguments.js";
import { countedOnDevice, type CountRule } from "../../../ground/size/count-rules.js";

/** The name that users see for an axis of chosen tokens. */
const CHOSEN = "K";

export const top: Builtin = {
  params: [{ name: "score" }, { name: "k" }, { name: "axis", optional: true, named: true }],
  doc:
    "top(score: f32[B, T], k) -> route\ntop(score: f32[B, ..., E], k, axis: -1) -> choice\n" +
    "top(score: f32[B, T, E], k, axis: 1) -> choice\n" +
    "Of a score of two axes the k best tokens of each sequence: a number, or a size such as " +
    "ceil(12.5% * T), in which each sequence's own length counts. " +
    "k may be 0 and is capped at the length. Ties go to the earlier token; NaN ranks last. With `axis: -1` the k " +
    "best entries of the last axis, which is of fixed size, for each position of the others; k is a number from 1 " +
    "to E, and ties go to the lower index. With `axis: 1` each entry chooses its k best tokens, as a route does.",
  apply(emitter, args, span) {
    if (args.has("axis")) return topEntries(emitter, args, span);
    const score = scoreArg(emitter, args, "top");
    const k = score && kArg(emitter, requiredArg(args, "k"));
    if (!score || k === null || !checkCapacity(emitter, k, score.axis, requiredArg(args, "k"))) return ERROR;
    if (emitter.dense) return allTokens(emitter, score, span);
    const axis = emitter.makeAxis(CHOSEN, boundOfRoute(emitter, k, score.axis), {
      kind: "top",
      parent: score.axis.name,
      k,
    });
    const value = emitter.emit("top", [score.value], { axis }, typeOf("u32", [score.batch, axisSize(axis)]), span);
    recordDefinition(emitter, axis, value);
    return { kind: "route", value };
  },
};

export const above: Builtin = {
  params: [{ name: "score" }, { name: "threshold" }, { name: "expected", optional: true, named: true }],
  doc:
    "above(score: f32[B, T], threshold, expected: 100%) -> route\n" +
    "above(score: f32[B, T, ..., E], threshold, expected: 100%) -> choice\n" +
    "Every token, or entry, whose score is above the threshold, any number from none to all: it looks at one token " +
    "at a time. The threshold is a number or a tensor, one for all or one a token; of entries, what broadcasts to " +
    "the score. `expected`, the share of tokens or entries, sizes caches and costs and never changes a result.",
  apply(emitter, args, span) {
    const several = severalEach(args, "score");
    const score = several ? null : scoreArg(emitter, args, "above");
    const scores = several ?? score?.value;
    if (!scores || !requireDtype(emitter, scores, ["f32"], "above", "score", requiredArg(args, "score").span))
      return ERROR;
    const limit = requiredArg(args, "threshold");
    const threshold = toValue(emitter, limit.value, "f32", scores.type.shape, "`threshold` of `above`", limit.span);
    const expected = expectedShare(emitter, "above", args.get("expected"));
    if (!threshold || !expected || !requireDtype(emitter, threshold, ["f32"], "above", "threshold", limit.span))
      return ERROR;
    if (!score) {
      const spans = { score: requiredArg(args, "score").span, threshold: limit.span, call: span };
      return aboveEntries(emitter, scores, threshold, expected, spans);
    }
    if (threshold.type.shape.length > 0 && !equalShapes(threshold.type.shape, score.value.type.shape)) {
      reportThreshold(emitter, score.value, threshold, limit.span);
      return ERROR;
    }
    if (emitter.dense) return allTokens(emitter, score, span);
    const axis = emitter.makeAxis(CHOSEN, score.axis.bound, { kind: "above", parent: score.axis.name, expected });
    const value = emitter.emit(
      "above",
      [score.value, threshold],
      { axis },
      typeOf("u32", [score.batch, axisSize(axis)]),
      span,
    );
    recordDefinition(emitter, axis, value);
    return { kind: "route", value };
  },
};

export const those: Builtin = {
  params: [{ name: "mask" }, { name: "expected", optional: true, named: true }],
  doc:
    "those(mask: bool[B, T], expected: 100%) -> route\nthose(mask: bool[B, T, ..., E], expected: 100%) -> choice\n" +
    "Every token, or entry, for which the mask holds, any number from none " +
    "to all: `above(s, t)` is `those(s > t)`. Routes on one axis combine by their masks: " +
    "`those(a.mask and not b.mask)`. `expected` is as for `above`.",
  apply(emitter, args, span) {
    const several = severalEach(args, "mask");
    const mask = several ? null : oneEach(emitter, args, "those", "mask", "bool");
    const expected = expectedShare(emitter, "those", args.get("expected"));
    const at = requiredArg(args, "mask").span;
    if (several && expected && requireDtype(emitter, several, ["bool"], "those", "mask", at))
      return thoseEntries(emitter, several, expected, at, span);
    if (!mask || !expected) return ERROR;
    if (emitter.dense && !isOfRoutes(mask.value)) return allTokens(emitter, mask, span);
    const rule = ruleOfMask(emitter, mask.value, mask.axis, expected);
    const axis = emitter.makeAxis(CHOSEN, boundOfMask(emitter, mask.axis, rule), rule);
    const value = emitter.emit("those", [mask.value], { axis }, typeOf("u32", [mask.batch, axisSize(axis)]), span);
    recordDefinition(emitter, axis, value);
    return { kind: "route", value };
  },
};

/** The route of all tokens, whatever their scores or masks are: NaN too. */
function allTokens(emitter: Emitter, { value, batch, axis: parent }: OneEach, span: Span): ConstValue {
  const type = typeOf("bool", value.type.shape);
  const pointwise = (fn: "gt" | "not" | "or", ...inputs: readonly Value[]): Value =>
    emitter.emit("pointwise", inputs, { fn }, type, span);
  const mask =
    value.type.dtype === "bool"
      ? pointwise("or", value, pointwise("not", value))
      : pointwise("not", pointwise("gt", value, value));
  const axis = emitter.makeAxis(CHOSEN, parent.bound, { kind: "above", parent: parent.name, expected: ONE });
  const route = emitter.emit("those", [mask], { axis }, typeOf("u32", [batch, axisSize(axis)]), span);
  recordDefinition(emitter, axis, route);
  return { kind: "route", value: route };
}

/** Whether a mask is made of masks of routes alone: with nothing skipped it has the tokens that they have. */
function isOfRoutes(mask: Value): boolean {
  const seen = new Set([mask]);
  // The set grows during the loop.
  for (const value of seen) {
    if (isOp(value, "mask")) continue;
    if (!isOp(value, "pointwise") || !["and", "or", "not"].includes(value.attrs.fn)) return false;
    for (const input of value.inputs) seen.add(input);
  }
  return true;
}

function reportThreshold(emitter: Emitter, score: Value, threshold: Value, at: Span): void {
  const reason = "a threshold is one number, or one for each score";
  emitter.report(
    "shape-mismatch",
    { what: "`above`", left: printType(score.type), right: printType(threshold.type), reason },
    at,
  );
}

/** A tensor with one element for each token. */
interface OneEach {
  readonly value: Value;
  readonly batch: Size;
  readonly axis: SequenceAxis;
}

/** An argument with more than two dimensions, for a choice along its last dimension; else null. */
function severalEach(args: Args, name: string): Value | null {
  const { value } = requiredArg(args, name);
  return value.kind === "tensor" && value.value.type.shape.length > 2 ? value.value : null;
}

const BOTH_AXES =
  "give the axis: with `axis: -1` each token chooses among the entries of the last axis, with `axis: 1` each " +
  "entry among the tokens";

/** Reads a score: f32[B, T] along a sequence axis. */
const scoreArg = (emitter: Emitter, args: Args, fn: string): OneEach | null =>
  oneEach(emitter, args, fn, "score", "f32");

/** Reads an argument of shape [B, T] along a sequence axis. */
function oneEach(emitter: Emitter, args: Args, fn: string, name: string, dtype: "f32" | "bool"): OneEach | null {
  const value = tensorArg(emitter, args, fn, name);
  const { span } = requiredArg(args, name);
  if (!value || !requireDtype(emitter, value, [dtype], fn, name, span)) return null;
  const [batch, tokens, ...more] = value.type.shape;
  const what = `\`${name}\` of \`${fn}\``;
  if (batch === undefined || tokens === undefined || more.length > 0) {
    const hint =
      more.length === 1 && more[0] === 1
        ? { hint: `drop the last dimension: \`${name}[..., 0]\`` }
        : fn === "top" && more.length > 0
          ? { hint: BOTH_AXES }
          : {};
    const needs = `one ${dtype === "bool" ? "truth value" : "number"} a token, ${dtype}[B, T]`;
    emitter.report("wrong-rank", { what, needs, found: printType(value.type), ...hint }, span);
    return null;
  }
  const axis = sequenceOf(emitter, tokens);
  if (!axis) emitter.report("not-a-sequence", { what: `\`${fn}\``, found: printType(value.type) }, span);
  return axis && { value, batch, axis };
}

function expectedShare(emitter: Emitter, fn: string, argument: Argument | undefined): Rational | null {
  if (!argument) return ONE;
  const { value, span } = argument;
  const share = value.kind === "number" ? value.value : value.kind === "size" ? atDefaults(emitter, value.size) : null;
  if (!share) wrong(emitter, fn, "expected", "a ratio", value, span);
  else if (compare(share, ZERO) < 0 || compare(share, ONE) > 0)
    emitter.report("capacity-out-of-range", { found: percent(share) }, span);
  else return share;
  return null;
}

export const take: Builtin = {
  params: [{ name: "x" }, { name: "route" }],
  doc:
    "take(x: any[B, T, ...], route) -> any[B, K, ...]\ntake(x: any[B, ..., E], choice) -> any[B, ..., K]\n" +
    "The chosen rows of x in order of position, on the axis of the route, which remembers where its tokens came " +
    "from. By a choice the chosen entries in order of their index; x has the axes of the score.",
  apply(emitter, args, span) {
    const choice = choiceOf(args);
    if (choice) return takeEntries(emitter, args, choice, span);
    const x = tensorArg(emitter, args, "take", "x");
    const route = x && routeArg(emitter, args, "take", "route");
    const dim = route ? dimOf(emitter, "take", x, route, requiredArg(args, "x").span) : null;
    if (!x || !route || dim === null) return ERROR;
    const shape = x.type.shape.with(dim, axisSize(route.attrs.axis));
    return { kind: "tensor", value: emitter.emit("take", [x, route], { dim }, typeOf(x.type.dtype, shape), span) };
  },
};

export const put: Builtin = {
  params: [{ name: "x" }, { name: "route" }, { name: "y" }],
  doc:
    "put(x: number[B, T, ...], route, y: number[B, K, ...]) -> the type of x\n" +
    "put(x: number[B, ..., E], choice, y: number[B, ..., K]) -> the type of x\n" +
    "x with y added to the chosen rows, or entries; all others are unchanged, bit for bit. x is on the axis " +
    "the route or choice was made on, y on the axis it made.",
  apply(emitter, args, span) {
    const choice = choiceOf(args);
    if (choice) return putEntries(emitter, args, choice, span);
    const x = tensorArg(emitter, args, "put", "x");
    const route = routeArg(emitter, args, "put", "route");
    const y = tensorArg(emitter, args, "put", "y");
    if (
      !x ||
      !route ||
      !y ||
      !requireDtype(emitter, x, ["f32", "f16", "u32", "i32"], "put", "x", requiredArg(args, "x").span)
    )
      return ERROR;
    const dim = dimOf(emitter, "put", x, route, requiredArg(args, "x").span);
    if (dim === null || !rowsFit(emitter, x, y, route, dim, requiredArg(args, "y").span)) return ERROR;
    return { kind: "tensor", value: emitter.emit("put", [x, route, y], { dim }, x.type, span) };
  },
};

/** The first dimension of x along the axis on which the route was chosen; null after a report. */
function dimOf(emitter: Emitter, fn: string, x: Value, route: Route, at: Span): number | null {
  const parent = route.inputs[0]?.type.shape[1] ?? 1;
  const dim = x.type.shape.findIndex((size) => equalSizes(size, parent));
  if (dim >= 0) return dim;
  const [other] = sequenceDims(emitter, x.type.shape);
  if (other === undefined)
    emitter.report("not-a-sequence", { what: `\`${fn}\` with this route`, found: printType(x.type) }, at);
  else {
    const reason = `the route was chosen on ${printSize(parent)}, not on ${printSize(x.type.shape[other] ?? 1)}`;
    emitter.report(
      "unordered-route",
      { what: `\`${fn}\``, left: printType(x.type), right: `a route on ${printSize(parent)}`, reason, of: "rows" },
      at,
    );
  }
  return null;
}

/** Checks that y has the dtype of x, and its shape with the route's axis instead of the parent. */
function rowsFit(emitter: Emitter, x: Value, y: Value, route: Route, dim: number, at: Span): boolean {
  if (x.type.dtype !== y.type.dtype) {
    emitter.report(
      "dtype-mismatch",
      { what: "`put`", left: printType(x.type), right: printType(y.type), cast: x.type.dtype },
      at,
    );
    return false;
  }
  const rows = typeOf(x.type.dtype, x.type.shape.with(dim, axisSize(route.attrs.axis)));
  if (equalShapes(rows.shape, y.type.shape)) return true;
  const misfit = rows.shape.findIndex((size, i) => !equalSizes(size, y.type.shape[i] ?? -1));
  if (y.type.shape.length === rows.shape.length)
    reportSizes(emitter, "`put`", rows, rows.shape[misfit] ?? 1, y.type, y.type.shape[misfit] ?? 1, at);
  else
    emitter.report(
      "shape-mismatch",
      { what: "`put`", left: printType(rows), right: printType(y.type), reason: "their ranks differ" },
      at,
    );
  return false;
}

/** Routes that chose every token of the mask, and routes that chose no token of the mask. */
interface MaskParts {
  readonly within: readonly string[];
  readonly without: readonly string[];
  /** The route whose mask is negated, if the mask is nothing but this negation. */
  readonly negated: string | null;
}

/**
 * The count rule for the tokens of `parent` at which a mask is true. A part of a conjunction bounds the count if the
 * host knows the part's count. The complement of such a route has a known count itself.
 */
function ruleOfMask(emitter: Emitter, mask: Value, parent: SequenceAxis, expected: Rational): CountRule {
  const { within, without, negated } = partsOf(mask);
  const isKnown = (axis: string): boolean => !isCountedOnDevice(emitter, axis);
  const rest = (taken: string): CountRule => ({ kind: "rest", parent: parent.name, taken });
  if (negated !== null && isKnown(negated)) return rest(negated);
  const left = without
    .filter(isKnown)
    .map((taken) => sharedAxis(emitter, parent.name, `rest of ${taken}`, parent.bound, rest(taken)));
  const parts = [...within.filter(isKnown), ...left];
  return parts.length === 0
    ? { kind: "above", parent: parent.name, expected }
    : { kind: "those", parent: parent.name, within: parts, expected };
}

/** The greatest number of tokens in a sequence that the rule can choose; null if unknown. */
function boundOfMask(emitter: Emitter, parent: SequenceAxis, rule: CountRule): number | null {
  const axes = rule.kind === "those" ? rule.within.map((name) => emitter.axis(name)) : [];
  return [parent, ...axes].reduce(
    (least: number | null, { bound }) => (bound === null ? least : Math.min(least ?? bound, bound)),
    null,
  );
}

/** Follows `and`, `or` and `not`. Masks that do not come from a route are ignored. */
function partsOf(mask: Value): MaskParts {
  const [within, without] = [new Set<string>(), new Set<string>()];
  const seen = { holds: new Set<Value>(), fails: new Set<Value>() };
  const pending = [{ value: mask, holds: true }];
  let negated: string | null = null;
  let isPlain = true;
  for (let at = pending.pop(); at; at = pending.pop()) {
    const { value, holds } = at;
    const known = holds ? seen.holds : seen.fails;
    if (known.has(value)) continue;
    known.add(value);
    const [first, second] = value.inputs;
    if (isOp(value, "mask") && first && isChoice(first)) {
      (holds ? within : without).add(first.attrs.axis);
      negated = isPlain && !holds ? first.attrs.axis : null;
    } else if (isOp(value, "pointwise") && value.attrs.fn === "not" && first)
      pending.push({ value: first, holds: !holds });
    else if (isOp(value, "pointwise") && value.attrs.fn === (holds ? "and" : "or") && first && second) {
      isPlain = false;
      pending.push({ value: second, holds }, { value: first, holds });
    }
  }
  return { within: [...within], without: [...without], negated };
}

/** Whether only the device knows the counts of an axis. */
function isCountedOnDevice(emitter: Emitter, name: string): boolean {
  const axis = emitter.axis(name);
  return axis.role === "sequence" && countedOnDevice(axis.count, (other) => isCountedOnDevice(emitter, other));
}
