// Takes the answer of a run into its sequences.
import type { Results } from "../../runtime/index.js";
import type { Generation } from "../../runtime/program/generation.js";
import type { Caches } from "./caches/caches.js";
import type { Run } from "./runs.js";
import type { ChosenToken, Sequence } from "./sequence.js";

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
