// Decomposes the mask of a route into masks of other routes, which bound the number of tokens.
import type { SequenceAxis } from "../../../ground/size/axes.js";
import { countedOnDevice, type CountRule } from "../../../ground/size/count-rules.js";
import type { Rational } from "../../../ground/numerics/rational.js";
import type { Emitter } from "../context.js";
import type { Value } from "../model.js";
import { isChoice, isOp } from "../types.js";
import { sharedAxis } from "./makers.js";

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
export function ruleOfMask(emitter: Emitter, mask: Value, parent: SequenceAxis, expected: Rational): CountRule {
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
export function boundOfMask(emitter: Emitter, parent: SequenceAxis, rule: CountRule): number | null {
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
