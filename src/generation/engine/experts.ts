// The entries, such as experts, that each token of a text chose. Not in packages.
import type { Generation, GenerationChoice } from "../../runtime/program/generation.js";
import type { Results } from "../../runtime/index.js";
import type { EntryUse, RowReader, SequenceToken } from "../types.js";

/** By sequence and row on the choice's axis, the entries that a token has. */
export type ChosenEntries = readonly (readonly (readonly number[])[])[];

/** Reads the choices of a generation; passed as the option `observe`. */
export class ExpertLog implements RowReader {
  readonly #generation: Pick<Generation, "axes" | "counts">;
  readonly #choices: readonly GenerationChoice[];
  /** By choice. */
  readonly #rows: (readonly number[])[][][] = [];

  constructor(generation: Pick<Generation, "axes" | "choices" | "counts">) {
    this.#generation = generation;
    this.#choices = generation.choices ?? [];
  }

  get outputs(): readonly string[] {
    return [...new Set(this.#choices.map(({ output }) => output))];
  }

  add(results: Results, ended: ArrayLike<number>, before: readonly (readonly number[])[]): void {
    const { data: after } = results[this.#generation.counts]!;
    for (const [c, { axis, output, column, slots }] of this.#choices.entries()) {
      const { data, shape } = results[output]!;
      const [, rows = 0, width = 0] = shape;
      const i = this.#axisOf(axis);
      const chosen = (this.#rows[c] ??= Array.from(ended, () => []));
      for (const [b, own] of chosen.entries()) {
        if (ended[b]) continue;
        // Rows that come again replace equal ones.
        own.length = before[b]![i]!;
        for (let row = 0; row < after[i * ended.length + b]! - before[b]![i]!; row++) {
          const at = (b * rows + row) * width + column;
          own.push(Array.from(data.subarray(at, at + data[at + slots]!)));
        }
      }
    }
  }

  /** For each choice, the entries of the last token of a sequence; null where it did not take the axis. */
  last(sequence: number, routes: readonly boolean[]): readonly (readonly number[] | null)[] {
    return this.#choices.map(({ axis }, c) =>
      routes[this.#axisOf(axis)] ? (this.#rows[c]![sequence]!.at(-1) ?? null) : null,
    );
  }

  /** By choice, the entries of the tokens on its axis; `Generator.taken` has the places of those tokens. */
  get chosen(): readonly ChosenEntries[] {
    return this.#rows;
  }

  /** What `chosen` has, counted. */
  get use(): readonly EntryUse[] {
    return this.#rows.map((sequences, c) => {
      const { path, entries } = this.#choices[c]!;
      const loads = Array.from({ length: entries }, () => 0);
      for (const own of sequences) for (const row of own) for (const e of row) loads[e]!++;
      return { path, tokens: sequences.reduce((n, own) => n + own.length, 0), loads };
    });
  }

  #axisOf(name: string): number {
    return this.#generation.axes.findIndex(({ axis }) => axis === name);
  }
}

/** The experts of each token by one choice. */
export interface ChosenExperts {
  readonly path: string;
  /** Number of experts. */
  readonly entries: number;
  /** Null: the token did not get there, or it is not known. */
  readonly tokens: readonly (readonly number[] | null)[];
}

/**
 * `rows`: by choice, the experts of each row on the choice's axis. `taken`: for each axis, the positions of its rows.
 * If it is null, the positions are unknown, and the result has the experts of generated tokens, by `events`.
 */
export function chosenExperts(
  { axes, choices = [] }: Pick<Generation, "axes" | "choices">,
  prompt: number,
  events: readonly Pick<SequenceToken, "experts">[],
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
