// Runs of an engine's two programs, for some of its texts.
import type { Place } from "../generate/place.js";
import type { Results, RunOptions, Session } from "../../runtime/index.js";
import type { Paged } from "./options.js";
import type { Sequence } from "./sequence.js";
import { isGreedy } from "./slots.js";

/** A run on the device. */
export interface Run {
  readonly kind: "prompt" | "step";
  readonly sequences: readonly Sequence[];
  /** Tokens that it reads of each. */
  readonly lengths: readonly number[];
  /** Whether it chooses the next token of each: a chunk with more tokens behind it does not. */
  readonly chooses: readonly boolean[];
  readonly results: Promise<Results>;
  readonly began: number;
}

const widest = (lengths: readonly number[]): number => lengths.reduce((a, b) => Math.max(a, b), 0);

/** The smallest power of two that is at least n. */
const powerFrom = (n: number): number => 2 ** Math.ceil(Math.log2(Math.max(1, n)));

/** Where the texts of a run lie: their slots and pages as inputs, and the extents of axes. */
export function placesOf(
  { pages, axes, sequenceAxis, context }: Paged,
  sequences: readonly Sequence[],
  lengths: readonly number[],
  pools: Readonly<Record<string, number>>,
  maxBatch: number,
): {
  readonly inputs: Readonly<Record<string, { data: Uint32Array; shape: number[] }>>;
  readonly extents: Readonly<Record<string, number>>;
} {
  const batch = sequences.length;
  const inputs: Record<string, { data: Uint32Array; shape: number[] }> = {
    [pages.slots.input]: { data: Uint32Array.from(sequences, (s) => s.slot!), shape: [batch] },
  };
  const extents: Record<string, number> = { ...pools, [pages.slots.axis]: maxBatch, [sequenceAxis]: 1 };
  const most = context === null ? Infinity : Math.ceil(context / pages.page);
  pages.axes.forEach(({ pages: own }, axis) => {
    const { capacity } = axes[axis]!;
    if (capacity === null) return;
    // Powers of two, so that sizes change seldom.
    const needed = (s: Sequence, b: number): number =>
      Math.max(s.pages[axis]!.length, Math.ceil((s.rows[axis]! + s.inFlight + lengths[b]!) / pages.page));
    const each = Math.min(most, powerFrom(widest(sequences.map(needed))));
    extents[capacity] = each * pages.page;
    if (!own) return;
    const data = new Uint32Array(batch * each);
    sequences.forEach((s, b) => data.set(s.pages[axis]!, b * each));
    inputs[own.input] = { data, shape: [batch, each] };
  });
  return { inputs, extents };
}

export interface Runner {
  readonly paged: Paged;
  readonly place: Place;
  readonly pools: Readonly<Record<string, number>>;
  readonly maxBatch: number;
}

/** Submits a run that reads the next `lengths` tokens of texts. */
export function runPrompt(runner: Runner, sequences: readonly Sequence[], lengths: readonly number[]): Run {
  const { paged, place, pools, maxBatch } = runner;
  const width = widest(lengths);
  const data = new Uint32Array(sequences.length * width);
  sequences.forEach((s, b) => data.set(s.tokens.slice(s.submitted, s.submitted + lengths[b]!), b * width));
  const { inputs, extents } = placesOf(paged, sequences, lengths, pools, maxBatch);
  const chooses = sequences.map((s, b) => s.tokens.length === s.submitted + lengths[b]!);
  const outputs = [
    ...paged.pages.axes.flatMap(({ taken }) => (taken === null ? [] : [taken])),
    ...(sequences.some((s) => scoresPrompt(s)) ? [paged.pages.allLogits] : []),
    ...(sequences.some((s, b) => chooses[b] && scores(s)) ? ["logits"] : []),
  ];
  return submit(
    "prompt",
    place.prompt,
    runner,
    sequences,
    { lengths, chooses, outputs },
    {
      inputs: { ...inputs, [paged.input]: { data, shape: [sequences.length, width] } },
      extents,
    },
  );
}

/** Submits a run that adds a token to each text. */
export function runStep(runner: Runner, sequences: readonly Sequence[]): Run {
  const { paged, place, pools, maxBatch } = runner;
  const lengths = sequences.map(() => 1);
  const { inputs, extents } = placesOf(paged, sequences, lengths, pools, maxBatch);
  const outputs = sequences.some(scores) ? ["logits"] : [];
  const chooses = sequences.map(() => true);
  return submit(
    "step",
    place.step,
    runner,
    sequences,
    { lengths, chooses, outputs },
    {
      inputs,
      extents: { ...extents, [paged.tokenAxis]: 1 },
    },
  );
}

/** Whether the scores of a text's tokens are asked for. */
export const scores = ({ settled }: Sequence): boolean => (settled.request.logprobs ?? null) !== null;
export const scoresPrompt = ({ settled }: Sequence): boolean => (settled.request.promptLogprobs ?? null) !== null;

function submit(
  kind: Run["kind"],
  session: Session,
  { paged }: Runner,
  sequences: readonly Sequence[],
  { lengths, chooses, outputs }: Pick<Run, "lengths" | "chooses"> & { readonly outputs: readonly string[] },
  {
    inputs,
    extents,
  }: { readonly inputs: Parameters<Session["run"]>[0]; readonly extents: Readonly<Record<string, number>> },
): Run {
  const { live } = sequences[0]!.settled.request;
  const options: RunOptions = {
    outputs: ["token", "logprob", paged.counts, ...outputs],
    extents,
    lengths,
    promises: sequences.every(isGreedy) ? ["greedy"] : [],
    ...(live && { live }),
  };
  const results = session.run(inputs, options);
  results.catch(() => {}); // reported by who waits for it
  sequences.forEach((s, b) => {
    s.inFlight += lengths[b]!;
    if (kind === "prompt") s.submitted += lengths[b]!;
    if (!chooses[b]) return;
    s.phase = "stepping";
    s.choosing++;
  });
  return { kind, sequences, lengths, chooses, results, began: performance.now() };
}

/** Once a run was answered, or will not be: it is no longer in flight. */
export function landed({ sequences, lengths, chooses }: Run): void {
  for (const [b, sequence] of sequences.entries()) {
    sequence.inFlight -= lengths[b]!;
    if (chooses[b]) sequence.choosing--;
  }
}
