// The arguments that recurrences share: tensors of f32, log decays, and tokens at which a recurrence begins anew.
import { exactly } from "../../../ground/base/collections.js";
import type { Span } from "../../diagnostics/span.js";
import { equalSizes, type Size } from "../../../ground/size/size.js";
import { broadcastShapes, reportSizes } from "../tensors/broadcast.js";
import { numberValue } from "../tensors/convert.js";
import { plainEverywhere } from "../tensors/entries.js";
import type { Emitter } from "../model/context.js";
import type { Value } from "../model/model.js";
import { equalShapes, isOp, typeOf } from "../model/types.js";
import { printType } from "../model/values.js";
import { requiredArg, requireDtype, tensorArg, type Args } from "./arguments.js";

/** The logarithm of a decay that leaves nothing: its exponential is 0. */
const NOTHING_LEFT = -1e30;

/** A number as a value of shape []. */
export const scalar = (emitter: Emitter, value: number, span: Span): Value =>
  emitter.emit("number", [], { value }, typeOf("f32", []), span);

/** An f32 tensor without entries of a choice, or null after a report. */
export function stateArg(emitter: Emitter, args: Args, fn: string, name: string): Value | null {
  const { span } = requiredArg(args, name);
  const given = tensorArg(emitter, args, fn, name);
  if (!given || !requireDtype(emitter, given, ["f32"], fn, name, span)) return null;
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
  if (!fresh || !requireDtype(emitter, fresh, ["bool"], fn, "fresh", span)) return null;
  const expected = typeOf("bool", axes);
  if (equalShapes(fresh.type.shape, axes)) {
    if (mayLoseBeginnings(fresh)) emitter.report("lost-beginning", { fn }, span);
    return fresh;
  }
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

/** Whether a route took these beginnings from a mask that it may not contain: a beginning whose token skips is lost. */
function mayLoseBeginnings(fresh: Value): boolean {
  if (isEither(fresh)) return fresh.inputs.some(mayLoseBeginnings);
  if (!isOp(fresh, "take")) return false;
  const [mask, route] = exactly(2, fresh.inputs);
  if (isOp(mask, "mask") && mask.inputs[0] === route) return false;
  return !(isOp(route, "those") && alternatives(route.inputs[0]!).includes(mask));
}

const isEither = (value: Value): boolean => isOp(value, "pointwise") && value.attrs.fn === "or";

/** The masks of which a mask is true wherever one is. */
const alternatives = (mask: Value): readonly Value[] => [
  mask,
  ...(isEither(mask) ? mask.inputs.flatMap(alternatives) : []),
];

/** bool[B, T] with further dimensions of 1, as `spread` has them: first those before the tokens, then those behind. */
export function spreadOver(emitter: Emitter, fresh: Value, spread: readonly Size[], span: Span): Value {
  const ahead = spread.slice(0, spread.findLastIndex((size) => size !== 1) + 1);
  return [ahead, spread].reduce<Value>(
    (x, shape) =>
      x.type.shape.length === shape.length ? x : emitter.emit("reshape", [x], {}, typeOf("bool", shape), span),
    fresh,
  );
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
  const begins = spreadOver(emitter, fresh, spread, span);
  const shape = broadcastShapes(emitter, spread, given.type.shape) ?? spread; // both broadcast to one shape
  const operands = [begins, scalar(emitter, NOTHING_LEFT, span), given];
  return emitter.emit("pointwise", operands, { fn: "where" }, typeOf("f32", shape), span);
}
