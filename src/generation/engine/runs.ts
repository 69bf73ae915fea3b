// Submits runs of the programs for some sequences.
import type { Generation } from "../../runtime/program/generation.js";
import type { Results, RunOptions } from "../../runtime/index.js";
import type { Caches } from "./caches/caches.js";
import type { Place } from "./place.js";
import type { Wish } from "./scheduler.js";
import type { Sequence } from "./sequence.js";

/** A run on the device. */
export interface Run {
  readonly kind: "prompt" | "step";
  readonly sequences: readonly Sequence[];
  /** For each sequence, its row in the results, and the tokens that it reads. */
  readonly rows: readonly number[];
  readonly lengths: readonly number[];
  /** Whether it chooses the next token of each: a chunk with more tokens after it does not. */
  readonly chooses: readonly boolean[];
  /** The number of rows. */
  readonly batch: number;
  readonly results: Promise<Results>;
  readonly began: number;
}

/** What runs need. */
export interface Runner {
  readonly generation: Generation;
  readonly place: Pick<Place, "prompt" | "step" | "first">;
  readonly caches: Caches;
}

/** Submits a run that reads the next tokens of sequences: those of prompts, or the token chosen last. */
export function submitRun(
  { generation, place, caches }: Runner,
  kind: Run["kind"],
  wishes: readonly Wish<Sequence>[],
): Run {
  const sequences = wishes.map(({ sequence }) => sequence);
  const step = kind === "step";
  const { rows, lengths, inputs, extents, first } = caches.inputs(wishes, step);
  const chooses = wishes.map(({ sequence: s, tokens }) => step || s.tokens.length === s.submitted + tokens);
  const { live } = sequences[0]!.settled;
  const { counts, pages, batchAxis, tokenAxis } = generation;
  const options: RunOptions = {
    outputs: [
      "token",
      "logprob",
      counts,
      ...(step ? [] : caches.outputs),
      ...(!step && pages && sequences.some((s) => s.reader.scoresPrompt) ? [pages.allLogits] : []),
      ...(sequences.some((s, i) => chooses[i] && s.reader.scores) ? ["logits"] : []),
      ...new Set(sequences.flatMap(({ reader }) => reader.observer?.outputs ?? [])),
    ],
    extents: step ? { ...extents, [batchAxis]: lengths.length, [tokenAxis]: 1 } : extents,
    lengths,
    promises: sequences.every(({ greedy }) => greedy) ? ["greedy"] : [],
    ...(live && { live }),
  };
  const own = step ? inputs : { ...inputs, [generation.input]: tokensOf(wishes, rows, lengths) };
  const results = place[first ? "first" : kind]!.run(own, options);
  results.catch(() => {}); // reported by who waits for it
  for (const [i, { sequence, tokens }] of wishes.entries()) {
    sequence.inFlight += tokens;
    if (!step) sequence.submitted += tokens;
    if (!chooses[i]) continue;
    sequence.phase = "stepping";
    sequence.choosing++;
  }
  const read = wishes.map(({ tokens }) => tokens);
  return { kind, sequences, rows, lengths: read, chooses, batch: lengths.length, results, began: performance.now() };
}

/** u32[batch, tokens]: the next tokens of each row. */
function tokensOf(
  wishes: readonly Wish<Sequence>[],
  rows: readonly number[],
  lengths: readonly number[],
): { readonly data: Uint32Array; readonly shape: readonly number[] } {
  const width = lengths.reduce((a, b) => Math.max(a, b), 0);
  const data = new Uint32Array(lengths.length * width);
  for (const [i, { sequence, tokens }] of wishes.entries())
    data.set(sequence.tokens.slice(sequence.submitted, sequence.submitted + tokens), rows[i]! * width);
  return { data, shape: [lengths.length, width] };
}

/** Once a run was answered, or will not be: it is no longer in flight. */
export function landed({ sequences, lengths, chooses }: Run): void {
  for (const [i, sequence] of sequences.entries()) {
    sequence.inFlight -= lengths[i]!;
    if (chooses[i]) sequence.choosing--;
  }
}
