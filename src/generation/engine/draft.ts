// Drafting by depth: the model that skips its routes guesses a few tokens of each text, which the whole model then
// reads in one run. What it chooses behind each is the text; guesses that differ are forgotten with what followed them.
import type { Results, Session } from "../../runtime/index.js";
import type { Paged } from "./options.js";
import type { ChosenToken } from "./receive.js";
import { placesOf, scores, type Runner } from "./runs.js";
import { scoreOf } from "./scores.js";
import type { Sequence } from "./sequence.js";
import { editStates, type Write } from "./state-edits.js";
import type { EngineModel } from "./types.js";

/** The programs that guess and verify. */
export interface DraftPlace {
  readonly step: Session;
  readonly verify: Session;
}

/** The most tokens that are guessed before they are read. */
const MOST_GUESSES = 4;

/** Whether tokens of a text may be guessed: penalties look at each token before the next. */
export const mayGuess = ({ waitsForTokens, settled }: Sequence): boolean =>
  !waitsForTokens && (settled.request.sampling?.repetitionPenalty ?? 1) === 1;

/** How many tokens of each of these texts may be guessed: one more is chosen behind them. */
export const guessesFor = (sequences: readonly Sequence[]): number =>
  sequences.reduce((least, s) => Math.min(least, s.wanted - 1), MOST_GUESSES);

export interface Drafted {
  /** Texts that have new tokens. */
  readonly changed: readonly Sequence[];
  readonly guessed: number;
  readonly right: number;
}

/**
 * Guesses `count` tokens of each text, and reads them behind its last one. The texts have pages for `count` + 1 tokens
 * and no run in flight; `tell` is called with each chosen token and says whether the text goes on.
 */
export async function draft(
  runner: Runner & { readonly draft: DraftPlace; readonly model: EngineModel },
  sequences: readonly Sequence[],
  count: number,
  tell: (sequence: Sequence, token: ChosenToken) => boolean,
): Promise<Drafted> {
  const guesses = await guessed(runner, sequences, count);
  // Guessing has written rows that are read again.
  const { paged, place } = runner;
  const [root] = paged.pages.axes;
  const back = sequences.map((s): Write => countWrite(root!.counts, s, 0));
  await editStates(place.prompt, back);
  const results = await verified(runner, sequences, guesses);
  const writes: Write[] = [];
  let right = 0;
  const changed = sequences.filter((s) => !s.over);
  for (const [b, sequence] of sequences.entries()) {
    if (sequence.over) continue;
    right += receiveGuesses(runner, b, sequence, guesses[b]!, results, tell);
    writes.push(...paged.pages.axes.map(({ counts }, axis) => countWrite(counts, sequence, axis)), {
      state: paged.pages.token,
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

/** The next tokens of each text, as the model without routes chooses them. */
async function guessed(
  { paged, draft, pools, maxBatch }: Runner & { readonly draft: DraftPlace },
  sequences: readonly Sequence[],
  count: number,
): Promise<readonly (readonly number[])[]> {
  const lengths = sequences.map(() => count + 1);
  const { inputs, extents } = placesOf(paged, sequences, lengths, pools, maxBatch);
  const own = ofProgram(draft.step, inputs, { ...extents, [paged.tokenAxis]: 1 });
  const { live } = sequences[0]!.settled.request;
  const runs = Array.from({ length: count }, () =>
    draft.step.run(own.inputs, {
      outputs: ["token"],
      extents: own.extents,
      lengths: sequences.map(() => 1),
      ...(live && { live }),
    }),
  );
  const results = await Promise.all(runs);
  return sequences.map((_, b) => results.map((r) => r["token"]!.data[b]!));
}

/** The whole model's run over the last token of each text and the guesses behind it. */
async function verified(
  { paged, draft, pools, maxBatch }: Runner & { readonly draft: DraftPlace },
  sequences: readonly Sequence[],
  guesses: readonly (readonly number[])[],
): Promise<Results> {
  const width = guesses[0]!.length + 1;
  const lengths = sequences.map(() => width);
  const { inputs, extents } = placesOf(paged, sequences, lengths, pools, maxBatch);
  const data = new Uint32Array(sequences.length * width);
  sequences.forEach((s, b) => data.set([s.tokens.at(-1)!, ...guesses[b]!], b * width));
  const { live } = sequences[0]!.settled.request;
  const { tokens, allLogits } = { tokens: paged.pages.draft!.tokens, allLogits: paged.pages.allLogits };
  return draft.verify.run(
    { ...inputs, [paged.input]: { data, shape: [sequences.length, width] } },
    {
      outputs: [
        tokens,
        "logprob",
        paged.counts,
        ...paged.pages.axes.flatMap(({ taken }) => (taken === null ? [] : [taken])),
        ...(sequences.some(scores) ? [allLogits] : []),
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

/** Takes what was chosen behind right guesses into a text; returns how many were right. */
function receiveGuesses(
  { paged, model }: { readonly paged: Paged; readonly model: EngineModel },
  b: number,
  sequence: Sequence,
  guesses: readonly number[],
  results: Results,
  tell: (sequence: Sequence, token: ChosenToken) => boolean,
): number {
  const width = guesses.length + 1;
  const { pages, vocabulary } = paged;
  const before = sequence.read;
  const taken = sequence.taken.map((own, axis) => {
    const name = pages.axes[axis]!.taken;
    if (!own || name === null) return null;
    const { data, shape } = results[name]!;
    return Array.from({ length: shape[1]! }, (_, i) => data[b * shape[1]! + i]!);
  });
  for (let i = 0; i < width; i++) {
    const position = before + i;
    sequence.read = position + 1;
    const routes = model.routes.map((_, axis) => axis === 0 || takes(taken[axis]!, position));
    sequence.rows = sequence.rows.map((rows, axis) => rows + Number(routes[axis]));
    sequence.taken.forEach((own, axis) => routes[axis] && own?.push(position));
    const at = b * width + i;
    const token = results[pages.draft!.tokens]!.data[at]!;
    const logprob = results["logprob"]!.data[at]!;
    const score = scores(sequence)
      ? scoreOf(results[pages.allLogits]!.data, at * vocabulary, vocabulary, token, sequence.settled.request.logprobs!)
      : null;
    const goesOn = tell(sequence, { token, logprob, score, routes });
    if (!goesOn || token !== guesses[i]) return i;
  }
  return guesses.length;
}

/** Positions ascend; behind those of the run the list is padded with zeros. */
const takes = (positions: readonly number[], position: number): boolean => positions.includes(position);
