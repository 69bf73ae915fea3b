// What the texts of an engine may have read next.
import { mayGuess } from "./draft.js";
import type { Sequence } from "./sequence.js";

/** So many more tokens of a text. */
export interface Wish {
  readonly sequence: Sequence;
  readonly tokens: number;
}

/** Texts of which prompts are read, those that came first at the front. */
export const reading = (active: readonly Sequence[]): readonly Sequence[] =>
  active.filter((s) => s.phase === "reading" && !s.over).toSorted((a, b) => a.settled.began - b.settled.began);

/** Texts that may have a step. `drafts`: those whose tokens may be guessed have none. */
export const stepping = (active: readonly Sequence[], drafts: boolean): readonly Sequence[] =>
  active.filter((s) => mayStep(s) && s.wanted > 0 && !(s.waitsForTokens && s.choosing > 0) && !(drafts && guesses(s)));

/** Texts whose next tokens may be guessed now. */
export const drafting = (active: readonly Sequence[]): readonly Sequence[] =>
  active.filter((s) => mayStep(s) && s.inFlight === 0 && guesses(s));

const mayStep = (s: Sequence): boolean => s.phase === "stepping" && !s.over;
const guesses = (s: Sequence): boolean => mayGuess(s) && s.wanted > 1;

/** The next `most` tokens of texts of one kind, in their order. */
export function chunk(texts: readonly Sequence[], most: number): readonly Wish[] {
  const kind = texts[0]?.settled.kind;
  const wishes: Wish[] = [];
  let left = most;
  for (const sequence of texts) {
    if (left === 0 || sequence.settled.kind !== kind) break;
    const tokens = Math.min(left, sequence.tokens.length - sequence.submitted);
    wishes.push({ sequence, tokens });
    left -= tokens;
  }
  return wishes;
}

/** Texts that may share runs. */
export const byKind = (sequences: readonly Sequence[]): readonly (readonly Sequence[])[] =>
  kindsOf(sequences).map((kind) => sequences.filter((s) => s.settled.kind === kind));

export const kindsOf = (sequences: readonly Sequence[]): readonly string[] => [
  ...new Set(sequences.map((s) => s.settled.kind)),
];
