// Functions of rows in the order of a sequence: `earlier`, `later` and `scan`. On a route these are the chosen rows
// alone.
import { equalSizes, type Size } from "../../../ground/size/size.js";
import { broadcastShapes, reportMismatch, reportSizes } from "../tensors/broadcast.js";
import { numberValue } from "../tensors/convert.js";
import { plainEverywhere } from "../tensors/entries.js";
import { ERROR, type Builtin, type BuiltinParam, type Emitter } from "../model/context.js";
import type { Value } from "../model/model.js";
import { equalShapes, typeOf } from "../model/types.js";
import { printType } from "../model/values.js";
import { boolArg, integerArg, requiredArg, requireDtype, tensorArg, type Args } from "./arguments.js";
import { sequenceDim } from "./attention.js";
import type { Span } from "../../diagnostics/span.js";

const SHIFTED: readonly BuiltinParam[] = [{ name: "x" }, { name: "n" }];

const shifted = (name: "earlier" | "later", doc: string): Builtin => ({
  params: SHIFTED,
  doc,
  apply(emitter, args, span) {
    const at = requiredArg(args, "x").span;
    const given = tensorArg(emitter, args, name, "x");
    const x = given && plainEverywhere(emitter, given, "shifted along", at);
    const along = x && sequenceDim(emitter, name, x, at);
    const n = integerArg(emitter, args, name, "n", 1, 1);
    if (!x || !along || n === null) return ERROR;
    const by = name === "earlier" ? n : -n;
    return { kind: "tensor", value: emitter.emit("shift", [x], { dim: along.dim, by }, x.type, span) };
  },
});

const earlier = shifted(
  "earlier",
  "earlier(x: any[B, T, ...], n) -> the type of x\n" +
    "For each row the row n before it on the sequence axis of x, n at least 1; zeros before the first row. On a route " +
    "it is the chosen row n before. `for j in 1..w { c = c + earlier(x, j) * weight[:, w - 1 - j] }` is a short " +
    "convolution.",
);

const later = shifted(
  "later",
  "later(x: any[B, T, ...], n) -> the type of x\n" +
    "For each row the row n behind it on the sequence axis of x, n at least 1; zeros behind the sequence's end. It " +
    "reads later tokens, so a model that generates cannot use it.",
);

/** The logarithm of a decay that leaves nothing: its exponential is 0. */
const NOTHING_LEFT = -1e30;

/** A number as a value of shape []. */
const scalar = (emitter: Emitter, value: number, span: Span): Value =>
  emitter.emit("number", [], { value }, typeOf("f32", []), span);

/** An f32 tensor without entries of a choice, or null after a report. */
export function stateArg(emitter: Emitter, args: Args, fn: string, name: string): Value | null {
  const { span } = requiredArg(args, name);
  const given = tensorArg(emitter, args, fn, name);
  if (!given || !requireDtype(emitter, given, ["f32"], fn, span)) return null;
  return plainEverywhere(emitter, given, "continued along", span);
}

/** `log_decay`, a tensor or a number; undefined without one, null after a report. */
export function decayArg(emitter: Emitter, args: Args, fn: string): Value | null | undefined {
  const given = args.get("log_decay");
  if (!given) return undefined;
  return given.value.kind === "number"
    ? numberValue(emitter, given.value.value, "f32", given.span)
    : stateArg(emitter, args, fn, "log_decay");
}

/** `fresh`, bool[B, T] for the tokens of a sequence axis; undefined without one, null after a report. */
export function freshArg(emitter: Emitter, args: Args, fn: string, axes: readonly Size[]): Value | null | undefined {
  if (!args.has("fresh")) return undefined;
  const { span } = requiredArg(args, "fresh");
  const fresh = tensorArg(emitter, args, fn, "fresh");
  if (!fresh || !requireDtype(emitter, fresh, ["bool"], fn, span)) return null;
  const expected = typeOf("bool", axes);
  if (equalShapes(fresh.type.shape, axes)) return fresh;
  const what = `\`fresh\` of \`${fn}\``;
  const dim = fresh.type.shape.findIndex((size, i) => !equalSizes(size, axes[i] ?? -1));
  if (fresh.type.shape.length === axes.length)
    reportSizes(emitter, what, fresh.type, fresh.type.shape[dim] ?? 1, expected, axes[dim] ?? 1, span);
  else
    emitter.report(
      "wrong-rank",
      { what, needs: "one truth value a token, bool[B, T]", found: printType(fresh.type) },
      span,
    );
  return null;
}

/** The log decays with nothing left where a token is fresh; `spread` is the shape of `fresh` beside the decays. */
export function decaysAnew(
  emitter: Emitter,
  decay: Value | undefined,
  fresh: Value,
  spread: readonly Size[],
  span: Span,
): Value {
  const given = decay ?? scalar(emitter, 0, span);
  const begins = emitter.emit("reshape", [fresh], {}, typeOf("bool", spread), span);
  const shape = broadcastShapes(emitter, spread, given.type.shape) ?? spread; // both broadcast to one shape
  const operands = [begins, scalar(emitter, NOTHING_LEFT, span), given];
  return emitter.emit("pointwise", operands, { fn: "where" }, typeOf("f32", shape), span);
}

const scan: Builtin = {
  params: [
    { name: "x" },
    { name: "log_decay", optional: true, named: true },
    { name: "fresh", optional: true, named: true },
    { name: "reverse", optional: true, named: true },
  ],
  doc:
    "scan(x: f32[B, T, ...], log_decay:, fresh: bool[B, T], reverse: false) -> the type of x\n" +
    "y_t = exp(log_decay_t)·y_(t−1) + x_t along the sequence axis of x; y_t = x_t where `fresh`. `log_decay` " +
    "broadcasts to x and should be at most 0; without it, y is the sum of the rows so far. On a route only the chosen " +
    "tokens move y. `scan(put(zeros(like: x), r, y), fresh: r.mask)` holds for every token the latest row of a route. " +
    "`reverse` begins at the sequence's end: y_t = exp(log_decay_t)·y_(t+1) + x_t.",
  apply(emitter, args, span) {
    const at = requiredArg(args, "x").span;
    const x = stateArg(emitter, args, "scan", "x");
    const along = x && sequenceDim(emitter, "scan", x, at);
    const decay = decayArg(emitter, args, "scan");
    const reverse = boolArg(emitter, args, "scan", "reverse", false);
    if (!x || !along || decay === null || reverse === null) return ERROR;
    const { shape } = x.type;
    const [batch, tokens] = [shape[0]!, shape[along.dim]!];
    const fresh = freshArg(emitter, args, "scan", [batch, tokens]);
    if (fresh === null) return ERROR;
    const spread = decay && broadcastShapes(emitter, shape, decay.type.shape);
    if (decay && (!spread || !equalShapes(spread, shape))) {
      reportMismatch(emitter, "`log_decay` of `scan`", decay.type, x.type, requiredArg(args, "log_decay").span);
      return ERROR;
    }
    const beside = shape.map((size, dim) => (dim === 0 || dim === along.dim ? size : 1));
    const decays = fresh ? decaysAnew(emitter, decay, fresh, beside, span) : decay;
    const attrs = { dim: along.dim, reverse };
    return { kind: "tensor", value: emitter.emit("scan", decays ? [x, decays] : [x], attrs, x.type, span) };
  },
};

export const recurrences: ReadonlyMap<string, Builtin> = new Map([
  ["earlier", earlier],
  ["later", later],
  ["scan", scan],
]);
