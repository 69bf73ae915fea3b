// What the answer of a run means for its sequences.
import { notFinite } from "../sampling/not-finite.js";
import { InputError, type Results } from "../../runtime/index.js";
import type { Generation } from "../../runtime/program/generation.js";
import type { Caches } from "./caches/caches.js";
import type { Report } from "./report.js";
import type { Run } from "./runs.js";
import { scoreOf } from "../sampling/scores.js";
import type { Sequence } from "./sequence.js";
import type { EngineModel, Scored } from "./types.js";

export interface Receiver {
  readonly generation: Generation;
  readonly caches: Caches;
  readonly model: EngineModel;
  readonly report: Report;
  /** The most tokens of a sequence that are read. */
  readonly context: number;
}

/** Takes the results of a run into its sequences; returns those that it changed. */
export function receive(run: Run, results: Results, receiver: Receiver): readonly Sequence[] {
  const group = run.sequences[0]?.group;
  group?.observe?.add(
    results,
    Uint8Array.from(group.members, ({ over }) => Number(over)),
  );
  const changed: Sequence[] = [];
  for (const [i, sequence] of run.sequences.entries()) {
    // Tokens of runs that were submitted before a sequence ended are dropped.
    if (sequence.over) continue;
    changed.push(sequence);
    receiveOne(run, i, sequence, results, receiver);
  }
  return changed;
}

function receiveOne(run: Run, i: number, sequence: Sequence, results: Results, receiver: Receiver): void {
  const { generation, caches, model } = receiver;
  const [row, length, before] = [run.rows[i]!, run.lengths[i]!, sequence.rows];
  const counts = results[generation.counts]!.data;
  const after = generation.axes.map((_, axis) => counts[axis * run.batch + row]!);
  takePositions(run, row, sequence, results, caches, after);
  const first = sequence.read;
  sequence.read += length;
  sequence.rows = after;
  if (run.kind === "prompt" && sequence.scoresPrompt)
    scorePrompt(sequence, results[generation.pages!.allLogits]!, { row, first, length }, generation);
  if (!run.chooses[i]) return;
  if (run.kind === "prompt") sequence.reportPrompt(promptRoutes(sequence, model));
  if (sequence.most <= sequence.generated) {
    sequence.finish = "length";
    return;
  }
  const token = results["token"]!.data[row]!;
  const { vocabulary } = generation;
  const score = sequence.scores
    ? scoreOf(results["logits"]!.data, row * vocabulary, vocabulary, token, sequence.settled.request.logprobs!)
    : null;
  const routes = caches.together && length > 1 ? null : routesOfLast(sequence, before, length);
  addToken(sequence, { token, logprob: results["logprob"]!.data[row]!, score, routes }, receiver);
}

/** A token that the model chose for a sequence. */
export interface ChosenToken {
  readonly token: number;
  /** NaN if the logits are not finite numbers. */
  readonly logprob: number;
  readonly score: Scored | null;
  readonly routes: readonly boolean[] | null;
}

/** Adds a chosen token to its sequence and reports it; false if the sequence ends. */
export function addToken(
  sequence: Sequence,
  { token, logprob, score, routes }: ChosenToken,
  { model, report, context }: Pick<Receiver, "model" | "report" | "context">,
): boolean {
  if (Number.isNaN(logprob) && !sequence.settled.takesNaN) {
    const { live } = sequence.settled.request;
    const fault = notFinite(sequence.read, null);
    sequence.failure = { error: live ? new InputError("live", `with these values ${fault.message}`) : fault };
    sequence.stream.fail(sequence.failure.error);
    return false;
  }
  const depth = routes && routes.reduce((sum, took, i) => sum + (took ? model.routes[i]!.layers : 0), 0);
  try {
    sequence.add(token, { score, depth, routes }, context, logprob);
  } catch (error) {
    // A fault of the request's own `until` ends its sequence alone.
    sequence.failure = { error };
    sequence.stream.fail(error);
    return false;
  }
  const now = performance.now();
  if (sequence.generated === 1) report("firstToken", now - sequence.began);
  else report("nextToken", now - sequence.lastToken);
  sequence.lastToken = now;
  return !sequence.over;
}

/** Notes which of the run's tokens took each route. */
function takePositions(
  run: Run,
  row: number,
  sequence: Sequence,
  results: Results,
  { positions }: Caches,
  after: readonly number[],
): void {
  sequence.taken.forEach((own, axis) => {
    const name = positions[axis] ?? null;
    if (!own || name === null) return;
    const rows = after[axis]! - sequence.rows[axis]!;
    if (run.kind === "step") {
      if (rows > 0) own.push(sequence.read);
      return;
    }
    const { data, shape } = results[name]!;
    const width = shape[1]!;
    for (let i = 0; i < rows; i++) own.push(data[row * width + i]!);
  });
}

function scorePrompt(
  sequence: Sequence,
  { data, shape }: Results[string],
  { row, first, length }: { readonly row: number; readonly first: number; readonly length: number },
  { vocabulary }: Generation,
): void {
  const width = shape[1]!;
  for (let i = 0; i < length; i++) {
    const next = sequence.tokens[first + i + 1];
    if (next === undefined || first + i + 1 >= sequence.promptLength) return;
    const most = sequence.settled.request.promptLogprobs!;
    sequence.scorePrompt(first + i + 1, scoreOf(data, (row * width + i) * vocabulary, vocabulary, next, most));
  }
}

/** Whether the token read last took each axis; null if that is not known. */
function routesOfLast(sequence: Sequence, before: readonly number[], length: number): readonly boolean[] | null {
  const routes: boolean[] = [];
  for (const [axis, rows] of sequence.rows.entries()) {
    const own = sequence.taken[axis];
    if (own) routes.push(own.at(-1) === sequence.read - 1);
    else if (axis === 0 || length === 1) routes.push(rows > before[axis]!);
    else return null;
  }
  return routes;
}

/** For each token of the prompt and each axis, whether the token took it; never, of an axis that keeps no positions. */
function promptRoutes(
  { promptLength, taken, settled }: Sequence,
  { routes }: EngineModel,
): readonly (readonly boolean[])[] {
  if (!settled.request.promptRoutes) return [];
  const sets = taken.map((own) => own && new Set(own));
  return Array.from({ length: promptLength }, (_, at) =>
    routes.map((_route, axis) => axis === 0 || (sets[axis]?.has(at) ?? false)),
  );
}
