// What the answer of a run means for its texts.
import { notFinite } from "../generate/not-finite.js";
import { InputError, type Results } from "../../runtime/index.js";
import type { Paged } from "./options.js";
import { scores, scoresPrompt, type Run } from "./runs.js";
import { scoreOf } from "./scores.js";
import type { Sequence } from "./sequence.js";
import type { Tell } from "./tell.js";
import type { EngineModel, Scored } from "./types.js";

interface Receiver {
  readonly paged: Paged;
  readonly model: EngineModel;
  readonly tell: Tell;
  /** The most tokens of a text that are read. */
  readonly context: number;
}

/** Takes the results of a run into its texts; returns those that it changed. */
export function receive(run: Run, results: Results, receiver: Receiver): readonly Sequence[] {
  const changed: Sequence[] = [];
  for (const [b, sequence] of run.sequences.entries()) {
    // What was submitted before it was known that the text had ended is none of it.
    if (sequence.over) continue;
    changed.push(sequence);
    receiveOne(run, b, sequence, results, receiver);
  }
  return changed;
}

function receiveOne(
  run: Run,
  b: number,
  sequence: Sequence,
  results: Results,
  { paged, model, tell, context }: Receiver,
): void {
  const [batch, length, before] = [run.sequences.length, run.lengths[b]!, sequence.rows];
  const counts = results[paged.counts]!.data;
  const after = paged.axes.map((_, i) => counts[i * batch + b]!);
  takePositions(run, b, sequence, results, paged, after);
  const first = sequence.read;
  sequence.read += length;
  sequence.rows = after;
  if (run.kind === "prompt" && scoresPrompt(sequence))
    scorePrompt(sequence, results[paged.pages.allLogits]!, b, first, length, paged);
  if (!run.chooses[b]) return;
  if (run.kind === "prompt") sequence.tellPrompt(promptRoutes(sequence, model));
  if (sequence.most <= sequence.generated) {
    sequence.finish = "length";
    return;
  }
  const token = results["token"]!.data[b]!;
  const { vocabulary } = paged;
  const { logprobs } = sequence.settled.request;
  const score = scores(sequence)
    ? scoreOf(results["logits"]!.data, b * vocabulary, vocabulary, token, logprobs!)
    : null;
  const routes = routesOfLast(sequence, before, length);
  tellToken(sequence, { token, logprob: results["logprob"]!.data[b]!, score, routes }, { model, tell, context });
}

/** A token that the model chose for a text. */
export interface ChosenToken {
  readonly token: number;
  /** NaN where the logits are not finite numbers. */
  readonly logprob: number;
  readonly score: Scored | null;
  readonly routes: readonly boolean[] | null;
}

/** Adds a chosen token to its text, and tells it; false if the text ends. */
export function tellToken(
  sequence: Sequence,
  { token, logprob, score, routes }: ChosenToken,
  { model, tell, context }: Pick<Receiver, "model" | "tell" | "context">,
): boolean {
  if (Number.isNaN(logprob)) {
    const { live } = sequence.settled.request;
    const fault = notFinite(sequence.read, null);
    sequence.failure = { error: live ? new InputError("live", `with these values ${fault.message}`) : fault };
    sequence.stream.fail(sequence.failure.error);
    return false;
  }
  const depth = routes && routes.reduce((sum, took, i) => sum + (took ? model.routes[i]!.layers : 0), 0);
  try {
    sequence.add(token, { score, depth, routes }, context);
  } catch (error) {
    // What the request's own `until` throws is a matter of its text alone.
    sequence.failure = { error };
    sequence.stream.fail(error);
    return false;
  }
  const now = performance.now();
  if (sequence.generated === 1) tell("firstToken", now - sequence.settled.began);
  else tell("nextToken", now - sequence.lastTold);
  sequence.lastTold = now;
  return !sequence.over;
}

/** Notes which of the run's tokens took each route. */
function takePositions(
  run: Run,
  b: number,
  sequence: Sequence,
  results: Results,
  { pages }: Paged,
  after: readonly number[],
): void {
  sequence.taken.forEach((own, axis) => {
    const name = pages.axes[axis]!.taken;
    if (!own || name === null) return;
    const rows = after[axis]! - sequence.rows[axis]!;
    if (run.kind === "step") {
      if (rows > 0) own.push(sequence.read);
      return;
    }
    const { data, shape } = results[name]!;
    const width = shape[1]!;
    for (let i = 0; i < rows; i++) own.push(data[b * width + i]!);
  });
}

function scorePrompt(
  sequence: Sequence,
  { data, shape }: Results[string],
  b: number,
  first: number,
  length: number,
  { vocabulary }: Paged,
): void {
  const width = shape[1]!;
  for (let i = 0; i < length; i++) {
    const next = sequence.tokens[first + i + 1];
    if (next === undefined || first + i + 1 >= sequence.promptLength) return;
    const score = scoreOf(
      data,
      (b * width + i) * vocabulary,
      vocabulary,
      next,
      sequence.settled.request.promptLogprobs!,
    );
    sequence.scorePrompt(first + i + 1, score);
  }
}

/** Whether the token read last took each axis; null where that cannot be told. */
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
