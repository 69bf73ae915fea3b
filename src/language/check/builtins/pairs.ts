// The arguments of `attention` and `mass` that weigh keys or read pairs of tokens.
import type { Span } from "../../diagnostics/span.js";
import { equalSizes, printSize, type Size } from "../../../ground/size/size.js";
import type { BuiltinParam, Emitter } from "../model/context.js";
import type { LogicalAttrs, Value } from "../model/model.js";
import { reportSizes } from "../tensors/broadcast.js";
import { equalShapes, isRouted, axisOf, typeOf } from "../model/types.js";
import { printType } from "../model/values.js";
import { numberArg, requiredArg, requireDtype, tensorArg, type Args } from "./arguments.js";

const named = (name: string): BuiltinParam => ({ name, optional: true, named: true });

export const PAIR_PARAMS: readonly BuiltinParam[] = ["weight", "mask", "bias", "cap"].map(named);

export const PAIR_DOC =
  "`mask` says which query sees which key, beside causal and window. Scores become cap · tanh(score / cap), then " +
  "`bias` is added. Heads of mask and bias may be missing or 1. A mask or bias that is made element by element from " +
  "values of queries, values of keys, `position`, and tables is never stored.";

/** Whether an argument reads pairs of tokens. */
export const readsPairs = (args: Args): boolean => ["mask", "bias", "cap"].some((name) => args.has(name));

/** The further inputs of a `pair_attention` or `mass`, and the attributes that say what they are. */
export interface PairArgs {
  readonly inputs: readonly Value[];
  readonly attrs: Pick<LogicalAttrs["mass"], "cap" | "weight" | "mask" | "bias">;
}

/** Null after a report. */
export function pairArgs(emitter: Emitter, fn: string, args: Args, q: Value, k: Value): PairArgs | null {
  const weight = args.has("weight") ? weightArg(emitter, fn, args, k) : [];
  const mask = args.has("mask") ? pairArg(emitter, fn, args, "mask", q, k) : [];
  const bias = args.has("bias") ? pairArg(emitter, fn, args, "bias", q, k) : [];
  const cap = args.has("cap") ? capArg(emitter, fn, args) : null;
  if (!weight || !mask || !bias || (cap === null && args.has("cap"))) return null;
  const given = { weight: weight.length > 0, mask: mask.length > 0, bias: bias.length > 0 };
  return { inputs: [...weight, ...mask, ...bias], attrs: { cap, ...given } };
}

function capArg(emitter: Emitter, fn: string, args: Args): number | null {
  const cap = numberArg(emitter, args, fn, "cap", 1);
  if (cap === null || cap > 0) return cap;
  const { span } = requiredArg(args, "cap");
  const hint = cap === 0 ? { hint: "leave `cap` out: scores are then as they are" } : {};
  emitter.report(
    "argument-out-of-range",
    { what: `\`cap\` of \`${fn}\``, needs: "above 0", found: String(cap), ...hint },
    span,
  );
  return null;
}

/** The remedy for a mask or bias of keys, or of queries, alone. */
const ONE_SIDE = "`x[:, None, :]` is a value for each key, whatever the query, and `x[:, :, None]` for each query";

/** A mask or a bias, with a dimension for queries and one for keys; null after a report. */
function pairArg(
  emitter: Emitter,
  fn: string,
  args: Args,
  name: "mask" | "bias",
  q: Value,
  k: Value,
): readonly Value[] | null {
  const value = tensorArg(emitter, args, fn, name);
  const { span } = requiredArg(args, name);
  if (!value || !requireDtype(emitter, value, [name === "mask" ? "bool" : "f32"], fn, name, span)) return null;
  const heads = q.type.shape.slice(1, -2).reduce<number>((n, size) => n * (typeof size === "number" ? size : 1), 1);
  const { shape } = value.type;
  const tokens: readonly Size[] = [q.type.shape.at(-2) ?? 1, k.type.shape.at(-2) ?? 1];
  const expected = [q.type.shape[0] ?? 1, ...(shape.length === 3 ? [] : [heads]), ...tokens];
  const what = `\`${name}\` of \`${fn}\``;
  if (shape.length !== 3 && shape.length !== 4) {
    const needs = "a value for each pair of tokens, [B, T, S], or with heads [B, H, T, S]";
    const hint = shape.length === 2 ? { hint: ONE_SIDE } : {};
    emitter.report("wrong-rank", { what, needs, found: printType(value.type), ...hint }, span);
    return null;
  }
  const dim = shape.findIndex((size, d) => size !== 1 && !equalSizes(size, expected[d] ?? -1));
  if (dim < 0) return [value];
  reportPair(emitter, what, value, typeOf(value.type.dtype, expected), dim, span);
  return null;
}

function reportPair(
  emitter: Emitter,
  what: string,
  value: Value,
  expected: Value["type"],
  dim: number,
  span: Span,
): void {
  const [found, needed] = [value.type.shape[dim] ?? 1, expected.shape[dim] ?? 1];
  const routed = [found, needed].some((size) => isRouted(axisOf(emitter, size)));
  const side = dim === expected.shape.length - 1 ? "keys" : dim === expected.shape.length - 2 ? "queries" : null;
  emitter.report(
    "shape-mismatch",
    {
      what,
      left: printType(value.type),
      right: printType(expected),
      reason: `${printSize(found)} and ${printSize(needed)} differ`,
      ...(side !== null &&
        routed && { hint: `make it from values on the axis of the ${side}: \`take\` them by the route` }),
    },
    span,
  );
}

/** The key weights, one for each token of k; null after a report. */
export function weightArg(emitter: Emitter, fn: string, args: Args, k: Value): readonly Value[] | null {
  const weight = tensorArg(emitter, args, fn, "weight");
  const at = requiredArg(args, "weight").span;
  if (!weight || !requireDtype(emitter, weight, ["f32"], fn, "weight", at)) return null;
  const expected = typeOf("f32", [k.type.shape[0] ?? 1, k.type.shape.at(-2) ?? 1]);
  if (equalShapes(weight.type.shape, expected.shape)) return [weight];
  const dim = weight.type.shape.findIndex((size, i) => !equalSizes(size, expected.shape[i] ?? -1));
  const [x, y] = [weight.type.shape[dim] ?? 1, expected.shape[dim] ?? 1];
  if (weight.type.shape.length === 2) reportSizes(emitter, `\`weight\` of \`${fn}\``, weight.type, x, expected, y, at);
  else
    emitter.report(
      "wrong-rank",
      { what: `\`weight\` of \`${fn}\``, needs: "one number a key, f32[B, S]", found: printType(weight.type) },
      at,
    );
  return null;
}
