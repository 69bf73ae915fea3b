// Bounds for the number of entries in a choice, expressed as axes with the same total token count, and expected
// numbers.
import { compare, ONE, rational, type Rational } from "../../../ground/numerics/rational.js";
import { applySize, multiplySizes, normal, rowsSize, sizeOf, type Size } from "../../../ground/size/size.js";
import type { EntryChoice, Value } from "../model/model.js";
import { isOp } from "../model/types.js";

/**
 * Axes whose total token count bounds the number of entries in a choice with at most k entries for each token of
 * `parent`. `whole`: whether the call covers the blocks of all entries; only then the choice's mask can give a tighter
 * bound.
 */
export function axesOfEntries(choice: EntryChoice, k: number, parent: string, whole: boolean): readonly string[] {
  return (whole ? partsOfEntries(choice, parent) : null) ?? Array.from({ length: k }, () => parent);
}

/** The greatest total number of tokens on several axes. */
export const boundOfAll = (bounds: readonly (number | null)[]): number | null =>
  bounds.reduce((sum: number | null, n) => (sum === null || n === null ? null : sum + n), 0);

/**
 * Axes whose total token count bounds the choice's entries, derived from its mask; `parent` is the axis of its tokens.
 * The mask must be a conjunction that contains the mask of a top-k choice, or of entries that choose tokens. Otherwise
 * null.
 */
function partsOfEntries(choice: EntryChoice, parent: string): readonly string[] | null {
  if (isOp(choice, "top_entries")) return null;
  const wholes = wholesOf(choice);
  for (const source of wholes)
    if (isOp(source, "top_entries")) return Array.from({ length: source.attrs.k }, () => parent);
  for (const source of wholes)
    if (isOp(source, "top_tokens"))
      return Array.from({ length: Number(source.type.shape[2]) }, () => source.attrs.axis);
  return null;
}

/** The expected share of tokens that choose one of `among` entries, not considering capacity limits. */
export function shareOfEach(choice: EntryChoice, among: number): Rational {
  if (isOp(choice, "top_entries")) return rational(choice.attrs.k, among);
  const shares = wholesOf(choice).flatMap((whole) =>
    isOp(whole, "top_entries") ? [rational(whole.attrs.k, among)] : [],
  );
  return shares.reduce((least, own) => (compare(own, least) < 0 ? own : least), choice.attrs.expected);
}

/**
 * The expected number of tokens, over all sequences, that choose one of `among` entries; `parent` is the token axis. If
 * entries choose tokens, their capacity limits the number.
 */
export function expectedOfEach(choice: EntryChoice, among: number, parent: string): Size {
  const share = shareOfEach(choice, among);
  const rooms = isOp(choice, "top_entries")
    ? []
    : wholesOf(choice).flatMap((whole) => (isOp(whole, "top_tokens") ? [rowsSize(whole.attrs.axis)] : []));
  // If the share is 1, the capacity alone decides, since it never exceeds the number of tokens.
  const all = compare(share, ONE) < 0 || rooms.length === 0;
  const parts = [...(all ? [normal(multiplySizes(sizeOf(share), rowsSize(parent)))] : []), ...rooms];
  return parts.length === 1 ? parts[0]! : applySize("min", parts);
}

/** The choices in a mask: the mask is a conjunction of these choices and possibly other masks. */
const wholesOf = (choice: Value<"those_entries">): readonly Value[] =>
  conjunctsOf(choice.inputs[0]!).flatMap((mask) => choiceBehind(mask) ?? []);

const conjunctsOf = (mask: Value): readonly Value[] =>
  isOp(mask, "pointwise") && mask.attrs.fn === "and" ? mask.inputs.flatMap(conjunctsOf) : [mask];

/** The choice that a mask was made from; null for any other mask. */
function choiceBehind(mask: Value): Value | null {
  if (isOp(mask, "top_tokens")) return mask;
  const [choice] = mask.inputs;
  if (!isOp(mask, "entry_mask") || !choice) return null;
  return isOp(choice, "those_entries") ? choiceBehind(choice.inputs[0]!) : choice;
}
