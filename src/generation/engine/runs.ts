// The two ends of a run: submitting the programs for some sequences, and giving each sequence its answers. Between
// runs, edits of states.
import { countOf } from "../../ground/base/collections.js";
import type { LengthList, Lengths } from "../../ground/size/lengths.js";
import type { Generation } from "../../runtime/program/generation.js";
import type { Program } from "../../runtime/program/program.js";
import type { Results, RunOptions, Session } from "../../runtime/index.js";
import type { Caches, Edit, Write } from "./caches/caches.js";
import { knownTo, type Place } from "./place.js";
import type { Wish } from "./sequences/scheduler.js";
import type { Sequence, ChosenToken } from "./sequences/sequence.js";

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
interface Runner {
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
  const { live, given } = sequences[0]!.settled;
  const { counts, pages, batchAxis, tokenAxis } = generation;
  const program = step ? generation.step : generation.prompt;
  const all = step ? { ...extents, [batchAxis]: lengths.length, [tokenAxis]: 1 } : extents;
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
    extents: given ? knownTo(program, all) : all,
    lengths: given ? lengthsOf(program, { ...given.lengths, [tokenAxis]: lengths }) : lengths,
    promises: sequences.every(({ greedy }) => greedy) ? ["greedy"] : [],
    ...(live && { live }),
  };
  const own = {
    ...inputs,
    ...(!step && { [generation.input]: tokensOf(wishes, rows, lengths) }),
    ...besideInputs(wishes, rows, lengths, step),
  };
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

/** Selects the lengths along axes that a program has. */
const lengthsOf = ({ axes }: Pick<Program, "axes">, lengths: Readonly<Record<string, LengthList>>): Lengths =>
  Object.fromEntries(Object.entries(lengths).filter(([name]) => axes.some((axis) => axis.name === name)));

/** [batch, tokens, …]: the values of inputs that have one for each token that the run reads. */
function besideInputs(
  wishes: readonly Wish<Sequence>[],
  rows: readonly number[],
  lengths: readonly number[],
  step: boolean,
): Readonly<Record<string, { readonly data: readonly number[]; readonly shape: readonly number[] }>> {
  const first = wishes[0]!.sequence.settled.beside;
  if (!first) return {};
  const width = step ? 1 : lengths.reduce((a, b) => Math.max(a, b), 0);
  return Object.fromEntries(
    first.names.map((name) => {
      const shape = first.shape(name);
      const each = countOf(shape);
      const data = new Array<number>(lengths.length * width * each).fill(0);
      for (const [i, { sequence, tokens }] of wishes.entries()) {
        const from = step ? sequence.tokens.length - 1 : sequence.submitted;
        for (let t = 0; t < tokens; t++) {
          const row = sequence.settled.beside!.row(name, from + t, sequence.tokens[from + t]!);
          for (let j = 0; j < each; j++) data[(rows[i]! * width + t) * each + j] = Number(row[j]);
        }
      }
      return [name, { data, shape: [lengths.length, width, ...shape] }];
    }),
  );
}

/** Once a run was answered, or will not be: it is no longer in flight. */
export function landed({ sequences, lengths, chooses }: Run): void {
  for (const [i, sequence] of sequences.entries()) {
    sequence.inFlight -= lengths[i]!;
    if (chooses[i]) sequence.choosing--;
  }
}

export interface Receiver {
  readonly generation: Generation;
  readonly caches: Caches;
  /** By axis, the number of layers on it. */
  readonly layers: readonly number[];
  /** The most tokens of a sequence that are read. */
  readonly context: number;
}

/** Takes the results of a run into its sequences; returns those that it changed. */
export function receive(run: Run, results: Results, receiver: Receiver): readonly Sequence[] {
  for (const observer of new Set(run.sequences.map(({ reader }) => reader.observer))) observer?.add(run, results);
  // Tokens of runs that were submitted before a sequence ended are dropped.
  const changed = run.sequences.filter(({ over }) => !over);
  for (const sequence of changed) receiveOne(run, run.sequences.indexOf(sequence), sequence, results, receiver);
  return changed;
}

function receiveOne(run: Run, i: number, sequence: Sequence, results: Results, receiver: Receiver): void {
  const [row, length] = [run.rows[i]!, run.lengths[i]!];
  const { generation, caches } = receiver;
  const counts = results[generation.counts]!.data;
  const after = generation.axes.map((_, axis) => counts[axis * run.batch + row]!);
  const routes = caches.routes(sequence, { kind: run.kind, row, length, after }, results);
  sequence.read += length;
  sequence.rows = after;
  if (run.kind === "prompt") sequence.reader.read?.(sequence, results, row, length);
  if (!run.chooses[i]) return;
  if (run.kind === "prompt") sequence.reader.prompt(sequence);
  if (sequence.most <= sequence.generated) {
    sequence.finish = "length";
    return;
  }
  const [token, logprob] = [results["token"]!.data[row]!, results["logprob"]!.data[row]!];
  addToken(sequence, { token, logprob, routes, logits: results["logits"], row }, receiver);
}

/** Adds a chosen token to its sequence; false if the sequence ends. */
export function addToken(
  sequence: Sequence,
  chosen: ChosenToken,
  { layers, context }: Pick<Receiver, "layers" | "context">,
): boolean {
  const fault = Number.isNaN(chosen.logprob) && sequence.reader.notFinite?.(sequence);
  const depth = chosen.routes && chosen.routes.reduce((sum, took, i) => sum + (took ? layers[i]! : 0), 0);
  try {
    if (fault) throw fault;
    sequence.add(chosen, depth, context);
  } catch (error) {
    // A fault of the request's own `until` ends its sequence alone.
    sequence.fail(error);
  }
  return !sequence.over;
}

/** Writes to states, and then `edit`s them, after the runs submitted before and before those submitted later. */
export const editStates = (session: Session, writes: readonly Write[], edit?: Edit | null): Promise<void> =>
  session.onStates((device, buffer) => {
    for (const { state, element, data } of writes)
      // no memory is shared: the engine makes the data
      if (data.length > 0) device.gpu.queue.writeBuffer(buffer(state), 4 * element, data as Float32Array<ArrayBuffer>);
    edit?.(device, buffer);
  });
