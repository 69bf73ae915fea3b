// Drafting by depth: the model that skips its routes guesses a few tokens of each sequence, which the whole model then
// reads in one run. The tokens that it chooses there are added; guesses that differ are dropped with all after them.
import type { Results, Session } from "../../runtime/index.js";
import type { RunPlace } from "./caches/caches.js";
import type { PagedModel } from "./options.js";
import type { ChosenToken } from "./receive.js";
import type { Runner } from "./runs.js";
import type { Wish } from "./scheduler.js";
import { scoreOf } from "../sampling/scores.js";
import type { Sequence } from "./sequence.js";
import { editStates, type Write } from "./state-edits.js";
import type { EngineModel } from "./types.js";

/** The programs that guess and verify. */
export interface DraftPlace {
  readonly step: Session;
  readonly verify: Session;
}

/** What drafts need: a model with the programs for them. */
export interface Drafter extends Runner {
  readonly generation: PagedModel;
  readonly draft: DraftPlace;
  readonly model: EngineModel;
}

export interface Drafted {
  /** Sequences that have new tokens. */
  readonly changed: readonly Sequence[];
  readonly guessed: number;
  readonly right: number;
}

/**
 * Guesses tokens of each sequence, one fewer than the wish, and reads them after its last one. The sequences have room
 * for the wish and no run in flight; `add` is called with each chosen token and returns whether the sequence continues.
 */
export async function draft(
  drafter: Drafter,
  wishes: readonly Wish<Sequence>[],
  add: (sequence: Sequence, token: ChosenToken) => boolean,
): Promise<Drafted> {
  const count = wishes[0]!.tokens - 1;
  const sequences = wishes.map(({ sequence }) => sequence);
  const guesses = await guessed(drafter, wishes, count);
  // Guessing has written rows that are read again.
  const { generation, place, caches } = drafter;
  const [root] = generation.pages.axes;
  await editStates(
    place.prompt,
    sequences.map((s) => countWrite(root!.counts, s, 0)),
  );
  const placed = caches.inputs(wishes);
  const results = await verified(drafter, sequences, guesses, placed);
  const writes: Write[] = [];
  let right = 0;
  const changed = sequences.filter((s) => !s.over);
  for (const [b, sequence] of sequences.entries()) {
    if (sequence.over) continue;
    right += receiveGuesses(drafter, b, sequence, guesses[b]!, results, add);
    writes.push(...generation.pages.axes.map(({ counts }, axis) => countWrite(counts, sequence, axis)), {
      state: generation.pages.token,
      element: sequence.slot!,
      data: Uint32Array.of(sequence.tokens.at(-1)!),
    });
  }
  await editStates(place.prompt, writes);
  return { changed, guessed: count * changed.length, right };
}

const countWrite = (state: string, sequence: Sequence, axis: number): Write => ({
  state,
  element: sequence.slot!,
  data: Uint32Array.of(sequence.rows[axis]!),
});

/** The next tokens of each sequence, as the model without routes chooses them. */
async function guessed(
  { generation, draft, caches }: Drafter,
  wishes: readonly Wish<Sequence>[],
  count: number,
): Promise<readonly (readonly number[])[]> {
  const { inputs, extents } = caches.inputs(wishes);
  const own = ofProgram(draft.step, inputs, { ...extents, [generation.tokenAxis]: 1 });
  const { live } = wishes[0]!.sequence.settled.request;
  const runs = Array.from({ length: count }, () =>
    draft.step.run(own.inputs, {
      outputs: ["token"],
      extents: own.extents,
      lengths: wishes.map(() => 1),
      ...(live && { live }),
    }),
  );
  const results = await Promise.all(runs);
  return wishes.map((_, b) => results.map((r) => r["token"]!.data[b]!));
}

/** The whole model's run over the last token of each sequence and the guesses after it. */
async function verified(
  { generation, draft, caches }: Drafter,
  sequences: readonly Sequence[],
  guesses: readonly (readonly number[])[],
  { inputs, extents, lengths }: RunPlace,
): Promise<Results> {
  const width = guesses[0]!.length + 1;
  const data = new Uint32Array(sequences.length * width);
  sequences.forEach((s, b) => data.set([s.tokens.at(-1)!, ...guesses[b]!], b * width));
  const { live } = sequences[0]!.settled.request;
  const { draft: programs, allLogits } = generation.pages;
  return draft.verify.run(
    { ...inputs, [generation.input]: { data, shape: [sequences.length, width] } },
    {
      outputs: [
        programs!.tokens,
        "logprob",
        generation.counts,
        ...caches.positions.filter((name) => name !== null),
        ...(sequences.some((s) => s.scores) ? [allLogits] : []),
      ],
      extents,
      lengths,
      ...(live && { live }),
    },
  );
}

/** The inputs and extents that a program has. */
function ofProgram<T>(
  { program }: Session,
  inputs: Readonly<Record<string, T>>,
  extents: Readonly<Record<string, number>>,
): { readonly inputs: Readonly<Record<string, T>>; readonly extents: Readonly<Record<string, number>> } {
  const [named, axes] = [new Set(program.inputs.map((i) => i.name)), new Set(program.axes.map((a) => a.name))];
  const kept = <V>(all: Readonly<Record<string, V>>, names: ReadonlySet<string>): Readonly<Record<string, V>> =>
    Object.fromEntries(Object.entries(all).filter(([name]) => names.has(name)));
  return { inputs: kept(inputs, named), extents: kept(extents, axes) };
}

/** Adds the tokens chosen after right guesses to a sequence; returns how many guesses were right. */
function receiveGuesses(
  { generation, caches, model }: Drafter,
  b: number,
  sequence: Sequence,
  guesses: readonly number[],
  results: Results,
  add: (sequence: Sequence, token: ChosenToken) => boolean,
): number {
  const width = guesses.length + 1;
  const { pages, vocabulary } = generation;
  const before = sequence.read;
  const taken = sequence.taken.map((own, axis) => {
    const name = caches.positions[axis] ?? null;
    if (!own || name === null) return null;
    const { data, shape } = results[name]!;
    return Array.from({ length: shape[1]! }, (_, i) => data[b * shape[1]! + i]!);
  });
  for (let i = 0; i < width; i++) {
    const position = before + i;
    sequence.read = position + 1;
    // Positions ascend; after those of the run the list is padded with zeros.
    const routes = model.routes.map((_, axis) => axis === 0 || taken[axis]!.includes(position));
    sequence.rows = sequence.rows.map((rows, axis) => rows + Number(routes[axis]));
    sequence.taken.forEach((own, axis) => routes[axis] && own?.push(position));
    const at = b * width + i;
    const token = results[pages.draft!.tokens]!.data[at]!;
    const logprob = results["logprob"]!.data[at]!;
    const score = sequence.scores
      ? scoreOf(results[pages.allLogits]!.data, at * vocabulary, vocabulary, token, sequence.settled.request.logprobs!)
      : null;
    const continues = add(sequence, { token, logprob, score, routes });
    if (!continues || token !== guesses[i]) return i;
  }
  return guesses.length;
}
