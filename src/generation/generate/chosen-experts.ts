// Which experts each token of a generated text chose, by the places of tokens on the routes of their layers.
import type { Generation } from "../../runtime/program/generation.js";
import type { GeneratedToken } from "../types.js";

/** The experts of each token by one choice. */
export interface ChosenExperts {
  readonly path: string;
  /** Number of experts. */
  readonly entries: number;
  /** Null: the token did not get there, or it is not known. */
  readonly tokens: readonly (readonly number[] | null)[];
}

/**
 * `rows`: by choice, the experts of each row on the choice's axis; `taken`: for each axis, the positions of its rows,
 * or null where nothing keeps them: then the events tell, of generated tokens.
 */
export function chosenExperts(
  { axes, choices = [] }: Pick<Generation, "axes" | "choices">,
  prompt: number,
  events: readonly Pick<GeneratedToken, "experts">[],
  rows: readonly (readonly (readonly number[])[])[],
  taken: readonly (ArrayLike<number> | null)[],
): readonly ChosenExperts[] {
  return choices.map(({ path, entries, axis }, c) => {
    const tokens = Array<readonly number[] | null>(prompt + events.length).fill(null);
    const positions = taken[axes.findIndex((a) => a.axis === axis)] ?? null;
    if (positions) rows[c]!.forEach((own, row) => (tokens[positions[row]!] = own));
    else events.forEach(({ experts }, n) => (tokens[prompt + n - 1] = experts?.[c] ?? null));
    return { path, entries, tokens };
  });
}
