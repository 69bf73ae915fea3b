// How many entries a choice by a mask can have, as axes with as many tokens in all.
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
  const wholes = conjunctsOf(choice.inputs[0]!).map(choiceBehind);
  for (const whole of wholes)
    if (whole && isOp(whole, "top_entries")) return Array.from({ length: whole.attrs.k }, () => parent);
  for (const whole of wholes)
    if (whole && isOp(whole, "top_tokens"))
      return Array.from({ length: Number(whole.type.shape[2]) }, () => whole.attrs.axis);
  return null;
}

const conjunctsOf = (mask: Value): readonly Value[] =>
  isOp(mask, "pointwise") && mask.attrs.fn === "and" ? mask.inputs.flatMap(conjunctsOf) : [mask];

/** The operation that chose what a mask tells; null for any other mask. */
function choiceBehind(mask: Value): Value | null {
  if (isOp(mask, "top_tokens")) return mask;
  const [choice] = mask.inputs;
  if (!isOp(mask, "entry_mask") || !choice) return null;
  return isOp(choice, "those_entries") ? choiceBehind(choice.inputs[0]!) : choice;
}
