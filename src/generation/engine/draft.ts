// Drafting by depth: the model that skips its routes guesses a few tokens of each sequence, which the whole model then
// reads in one run. The tokens that it chooses there are added; guesses that differ are dropped with all after them.
import { bug } from "../../ground/base/invariant.js";
import type { Results, Session } from "../../runtime/index.js";
import type { RunPlace, Write } from "./caches/caches.js";
import type { PagedCaches } from "./caches/paged.js";
import type { Drafts, Ran } from "./core.js";
import { DRAFTS } from "./draft-rules.js";
import type { PagedModel } from "./caches/use.js";
import type { Place } from "./place.js";
import { addToken, editStates, type Receiver } from "./runs.js";
import type { Report } from "./report.js";
import type { Wish } from "./sequences/scheduler.js";
import type { Sequence } from "./sequences/sequence.js";

/** An engine whose place has the programs that guess and verify. */
interface Drafter extends Receiver {
  readonly generation: PagedModel;
  readonly caches: PagedCaches;
  readonly place: Place;
  readonly guess: Session;
  readonly verify: Session;
}

/** `ran`: called when tokens were drafted. */
export const draftsOf = (report: Report, ran: (run: Ran) => void): Drafts<PagedCaches> => ({
  ...DRAFTS,
  async run(engine, wishes) {
    const [guess, verify] = engine.place.others;
    if (!guess || !verify) bug("there are no programs that guess");
    const sequences = wishes.map(({ sequence }) => sequence);
    const read = (): number => sequences.reduce((sum, s) => sum + s.read, 0);
    const [began, before] = [performance.now(), read()];
    const drafter = { ...engine, generation: engine.caches.model, guess, verify };
    if (!(await savedStates(drafter, sequences))) return [];
    const { changed, guessed, right } = await draft(drafter, wishes);
    report("drafted", guessed, right);
    ran({ kind: "step", sequences, began, tokens: read() - before });
    return changed;
  },
});

/**
 * Saves the states of recurrences, because guesses move them. Returns false if the device has no room for the states of
 * some sequences: then these sequences have steps from now on, and nothing may be guessed yet.
 */
async function savedStates({ caches, place }: Drafter, sequences: readonly Sequence[]): Promise<boolean> {
  if (!caches.saved.needed) return true;
  const slots = sequences.map(({ slot }) => slot!);
  await editStates(place.prompt, [], caches.saved.save(slots));
  const unsaved = await caches.saved.unsaved(slots);
  for (const [i, sequence] of sequences.entries()) if (unsaved.includes(slots[i]!)) sequence.plain = true;
  return unsaved.length === 0;
}

/**
 * Guesses tokens of each sequence, one fewer than the wish, and reads them after its last one. The sequences have room
 * for the wish and no run in flight, and their states are saved. Returns the sequences that have new tokens.
 */
async function draft(
  drafter: Drafter,
  wishes: readonly Wish<Sequence>[],
): Promise<{ readonly changed: readonly Sequence[]; readonly guessed: number; readonly right: number }> {
  const count = wishes[0]!.tokens - 1;
  const sequences = wishes.map(({ sequence }) => sequence);
  const { generation, place, caches } = drafter;
  const before = sequences.map(({ rows }) => rows);
  const { needed } = caches.saved;
  const guesses = await guessed(drafter, wishes, count);
  // Each guess appended a row to the axis of all tokens. Its count goes back, so that the verifying run writes these
  // rows again. Routed axes got no rows.
  const [root] = generation.pages.axes;
  await editStates(
    place.prompt,
    sequences.map((s) => countWrite(root!.counts, s, 0)),
    needed ? caches.saved.restore(sequences.map(({ slot }) => slot!)) : null,
  );
  const placed = caches.inputs(wishes);
  const results = await verified(drafter, sequences, guesses, placed);
  const writes: Write[] = [];
  let right = 0;
  const changed = sequences.filter((s) => !s.over);
  const again: Wish<Sequence>[] = [];
  const back: Write[] = [];
  for (const [b, sequence] of sequences.entries()) {
    if (sequence.over) continue;
    const own = receiveGuesses(drafter, b, sequence, guesses[b]!, results);
    right += own;
    if (needed && own < count && !sequence.over) {
      again.push({ sequence, tokens: own + 1 });
      const rows = before[b]!;
      back.push(
        ...generation.pages.axes.map(({ counts }, axis) => countWrite(counts, { slot: sequence.slot, rows }, axis)),
      );
    }
    writes.push(...generation.pages.axes.map(({ counts }, axis) => countWrite(counts, sequence, axis)), {
      state: generation.pages.token,
      element: sequence.slot!,
      data: Uint32Array.of(sequence.tokens.at(-1)!),
    });
  }
  if (again.length > 0) await reread(drafter, again, back);
  await editStates(place.prompt, writes);
  return { changed, guessed: count * changed.length, right };
}

const countWrite = (state: string, { slot, rows }: Pick<Sequence, "slot" | "rows">, axis: number): Write => ({
  state,
  element: slot!,
  data: Uint32Array.of(rows[axis]!),
});

/**
 * Brings the states of recurrences behind the tokens that were right: they are restored as before the draft, with the
 * counts `back`, and these tokens are read again.
 */
async function reread(
  { generation, place, caches }: Drafter,
  wishes: readonly Wish<Sequence>[],
  back: readonly Write[],
): Promise<void> {
  await editStates(place.prompt, back, caches.saved.restore(wishes.map(({ sequence }) => sequence.slot!)));
  const { inputs, extents, lengths } = caches.inputs(wishes);
  const width = Math.max(...lengths);
  const data = new Uint32Array(wishes.length * width);
  for (const [b, { sequence, tokens }] of wishes.entries())
    data.set(sequence.tokens.slice(sequence.read - tokens, sequence.read), b * width);
  const { live } = wishes[0]!.sequence.settled;
  await place.prompt.run(
    { ...inputs, [generation.input]: { data, shape: [wishes.length, width] } },
    { outputs: [generation.counts], extents, lengths, ...(live && { live }) },
  );
}

/** The next tokens of each sequence, as the model without routes chooses them. */
async function guessed(
  { generation, guess, caches }: Drafter,
  wishes: readonly Wish<Sequence>[],
  count: number,
): Promise<readonly (readonly number[])[]> {
  const { inputs, extents } = caches.inputs(wishes);
  const own = ofProgram(guess, inputs, { ...extents, [generation.tokenAxis]: 1 });
  const { live } = wishes[0]!.sequence.settled;
  const runs = Array.from({ length: count }, () =>
    guess.run(own.inputs, {
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
  { generation, verify, caches }: Drafter,
  sequences: readonly Sequence[],
  guesses: readonly (readonly number[])[],
  { inputs, extents, lengths }: RunPlace,
): Promise<Results> {
  const width = guesses[0]!.length + 1;
  const data = new Uint32Array(sequences.length * width);
  sequences.forEach((s, b) => data.set([s.tokens.at(-1)!, ...guesses[b]!], b * width));
  const { live } = sequences[0]!.settled;
  const { draft: programs, allLogits } = generation.pages;
  return verify.run(
    { ...inputs, [generation.input]: { data, shape: [sequences.length, width] } },
    {
      outputs: [
        programs!.tokens,
        "logprob",
        generation.counts,
        ...caches.outputs,
        ...(sequences.some((s) => s.reader.scores) ? [allLogits] : []),
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
  drafter: Drafter,
  b: number,
  sequence: Sequence,
  guesses: readonly number[],
  results: Results,
): number {
  const width = guesses.length + 1;
  const { generation, caches } = drafter;
  const { pages } = generation;
  const before = sequence.read;
  const all = caches.takenBy(sequence);
  const taken = all.map((own, axis) => {
    if (!own) return null;
    const { data, shape } = results[caches.positions[axis]!]!;
    return Array.from({ length: shape[1]! }, (_, i) => data[b * shape[1]! + i]!);
  });
  for (let i = 0; i < width; i++) {
    const position = before + i;
    sequence.read = position + 1;
    // Positions ascend; after those of the run the list is padded with zeros.
    const routes = generation.axes.map((_, axis) => axis === 0 || taken[axis]!.includes(position));
    sequence.rows = sequence.rows.map((rows, axis) => rows + Number(routes[axis]));
    all.forEach((own, axis) => routes[axis] && own?.push(position));
    const at = b * width + i;
    const token = results[pages.draft!.tokens]!.data[at]!;
    const logprob = results["logprob"]!.data[at]!;
    const logits = results[pages.allLogits];
    const continues = addToken(sequence, { token, logprob, routes, logits, row: at }, drafter);
    if (!continues || token !== guesses[i]) return i;
  }
  return guesses.length;
}
