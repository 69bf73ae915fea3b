// How many entries a choice can have, as axes with as many tokens in all, and how many it is expected to have.
import { compare, ONE, rational, type Rational } from "../../../ground/numerics/rational.js";
import { applySize, multiplySizes, normal, rowsSize, sizeOf, type Size } from "../../../ground/size/size.js";
import type { EntryChoice, Value } from "../model.js";
import { isOp } from "../types.js";

/**
 * Axes that have as many tokens in all as a choice of at most k entries for each token of `parent` has entries, at
 * most. `whole`: whether the blocks of all entries are meant; else entries of others take part too.
 */
export function axesOfEntries(choice: EntryChoice, k: number, parent: string, whole: boolean): readonly string[] {
  return (whole ? partsOfEntries(choice, parent) : null) ?? Array.from({ length: k }, () => parent);
}

/** The most tokens of axes one after the other. */
export const boundOfAll = (bounds: readonly (number | null)[]): number | null =>
  bounds.reduce((sum: number | null, n) => (sum === null || n === null ? null : sum + n), 0);

/**
 * Axes that have as many tokens in all as the choice can have entries, `parent` being that of its tokens: those of a
 * choice of k entries, or of entries that choose tokens, of which it is a part. Null where its mask has no such part.
 */
function partsOfEntries(choice: EntryChoice, parent: string): readonly string[] | null {
  if (isOp(choice, "top_entries")) return null;
  const wholes = wholesOf(choice);
  for (const whole of wholes)
    if (isOp(whole, "top_entries")) return Array.from({ length: whole.attrs.k }, () => parent);
  for (const whole of wholes)
    if (isOp(whole, "top_tokens")) return Array.from({ length: Number(whole.type.shape[2]) }, () => whole.attrs.axis);
  return null;
}

/** The share of the tokens that are expected to choose one of `among` entries, but for what rooms leave of it. */
export function shareOfEach(choice: EntryChoice, among: number): Rational {
  if (isOp(choice, "top_entries")) return rational(choice.attrs.k, among);
  const shares = wholesOf(choice).flatMap((whole) =>
    isOp(whole, "top_entries") ? [rational(whole.attrs.k, among)] : [],
  );
  return shares.reduce((least, own) => (compare(own, least) < 0 ? own : least), choice.attrs.expected);
}

/**
 * How many tokens of all sequences are expected to choose one of `among` entries, `parent` being the axis of the
 * tokens: their share, and no more than each entry has room for where entries choose tokens.
 */
export function expectedOfEach(choice: EntryChoice, among: number, parent: string): Size {
  const share = shareOfEach(choice, among);
  const rooms = isOp(choice, "top_entries")
    ? []
    : wholesOf(choice).flatMap((whole) => (isOp(whole, "top_tokens") ? [rowsSize(whole.attrs.axis)] : []));
  // No entry has more room than there are tokens.
  const all = compare(share, ONE) < 0 || rooms.length === 0;
  const parts = [...(all ? [normal(multiplySizes(sizeOf(share), rowsSize(parent)))] : []), ...rooms];
  return parts.length === 1 ? parts[0]! : applySize("min", parts);
}

/** The operations that chose what the mask of a choice tells, of which it is a part. */
const wholesOf = (choice: Value<"those_entries">): readonly Value[] =>
  conjunctsOf(choice.inputs[0]!).flatMap((mask) => choiceBehind(mask) ?? []);

const conjunctsOf = (mask: Value): readonly Value[] =>
  isOp(mask, "pointwise") && mask.attrs.fn === "and" ? mask.inputs.flatMap(conjunctsOf) : [mask];

/** The operation that chose what a mask tells; null for any other mask. */
function choiceBehind(mask: Value): Value | null {
  if (isOp(mask, "top_tokens")) return mask;
  const [choice] = mask.inputs;
  if (!isOp(mask, "entry_mask") || !choice) return null;
  return isOp(choice, "those_entries") ? choiceBehind(choice.inputs[0]!) : choice;
}
