// The training loop: steps, with validation and checkpoints at intervals, as an iterator that can be stopped.
import type { TrainingData } from "./data.js";
import { TrainError } from "./errors.js";
import { LOAD_WINDOW, LoadCounter, LoadWarnings } from "./loads.js";
import type { Passage, TrainEvent } from "./events.js";
import { skips } from "./skipping.js";
import type { Batch, EvaluateOptions, Evaluation, Rule, StepMetrics, StepSettings, Trainer } from "./types.js";
import type { DataPosition } from "./windows.js";

/** The progress of a run between two steps. */
export interface Place {
  /** Number of steps done. */
  readonly step: number;
  readonly position: DataPosition;
  /** The lowest validation loss so far; null before the first. */
  readonly best: number | null;
  /** Number of validations since the best that counted and were not better. */
  readonly unimproved: number;
}

export interface LoopOptions {
  readonly trainer: Trainer;
  readonly from: Place;
  /** Total number of steps. */
  readonly steps: number;
  /** Settings of the step after `done` steps. */
  readonly settings: (done: number) => StepSettings;
  /** The micro-batches of the step at a position, and the next position: a function of the position alone. */
  readonly batches: (
    position: DataPosition,
  ) => Promise<{ readonly micro: readonly Batch[]; readonly next: DataPosition }>;
  readonly toBitsPerByte: (nats: number) => number | null;
  /** Number of epochs read up to a position, with the read share of the epoch under way. */
  readonly epochsAt: (position: DataPosition) => number;
  /** Paths of the objective's own losses. */
  readonly own: readonly string[];
  /** Null: no part of the text is held out. */
  readonly validation: {
    readonly every: number;
    /** The first step whose validation may be the best: from there on, live parameters no longer change. */
    readonly countsFrom: number;
    /** The run stops early after this many validations that count and are not better than the best; 0: never. */
    readonly patience: number;
    /** The rules to evaluate, in order. The last rule decides which checkpoint is the best. */
    readonly rules: readonly Rule[];
    readonly batches: () => AsyncIterable<Batch>;
    /** A short batch of one row for the picture of routes; null: no layer is routed. */
    readonly passage: TrainingData["passage"];
  } | null;
  /** Null: there are no samples. */
  readonly samples: {
    /** Steps between samples, also after the last step; 0: at each validation. */
    readonly every: number;
    readonly take: (step: number) => Promise<Extract<TrainEvent, { kind: "sample" }>>;
  } | null;
  readonly checkpoints: {
    readonly every: number;
    /** Writes a checkpoint and returns its path. */
    readonly save: (
      at: Omit<Place, "best"> & { readonly validation: number | null; readonly isBest: boolean },
    ) => Promise<string>;
  };
  /** The last checkpoint written before this run; null: there is none. */
  readonly lastCheckpoint: string | null;
  /** How the data's files have changed, as a sentence; null: they are unchanged. */
  readonly changed: () => Promise<string | null>;
  readonly signal?: AbortSignal;
}

type Of<K extends TrainEvent["kind"]> = Extract<TrainEvent, { kind: K }>;

/**
 * Trains to the last step, or until `signal` is aborted: then the steps under way, at most two, are finished and a
 * checkpoint is written. Validates every `validation.every` steps and after the last. Writes a checkpoint every
 * `checkpoints.every` steps, after the last, and whenever a validation has the lowest loss so far. A validation does
 * not count if predictors compute tokens that they should skip. Stops early, with a checkpoint, if the last
 * `validation.patience` validations that count were not better than the best. A step with a scaled loss whose gradients
 * are not finite counts as done, as its data is read. Throws TrainError if a loss or a gradient is not finite without a
 * scale, or with one below `LEAST_SCALE`; then nothing is written, so that the last checkpoint stays good.
 */
export async function* loop(options: LoopOptions): AsyncGenerator<TrainEvent, void, undefined> {
  const { trainer, steps, validation, checkpoints, signal } = options;
  let place = options.from;
  let last = options.lastCheckpoint;
  let saved = last === null ? -1 : place.step;
  let warned: string | null = null;
  let ahead: Promise<Submitted> | null = null;
  const [loads, loadWarnings] = [new LoadCounter(), new LoadWarnings()];
  const stopped = (): boolean => signal?.aborted ?? false;
  const exhausted = (): boolean =>
    validation !== null && validation.patience > 0 && place.unimproved >= validation.patience;
  const save = async (loss: number | null, isBest: boolean): Promise<Of<"checkpoint">> => {
    const { step, position, unimproved } = place;
    last = await checkpoints.save({ step, position, unimproved, validation: loss, isBest });
    saved = place.step;
    return { kind: "checkpoint", step: place.step, path: last, best: isBest, position: place.position };
  };
  function* expertEvents(step: number): Generator<TrainEvent> {
    const window = loads.take();
    if (window === null) return;
    yield { kind: "experts", step, ...window };
    const message = loadWarnings.of(window);
    if (message !== null) yield { kind: "warning", step, message };
  }
  try {
    while (ahead !== null || (place.step < steps && !stopped() && !exhausted())) {
      const given: Submitted = await (ahead ?? submit(options, place.step, place.position));
      const { micro, settings, next } = given;
      const done = place.step + 1;
      // The next step is submitted while this step still runs, unless a validation or checkpoint comes between them.
      ahead =
        done === steps || stopped() || evaluatesOrSaves(options, done)
          ? null
          : markHandled(submit(options, done, next));
      const metrics = await given.result;
      const wrong = notFinite(metrics);
      if (wrong !== null && !mayGoOn(metrics)) {
        await ended(ahead);
        const why = await trainer
          .whyNotFinite(done, micro, settings)
          .catch(
            (fault: unknown) =>
              `the first error cannot be found: ${fault instanceof Error ? fault.message : String(fault)}`,
          );
        throw diverged(`step ${done}: ${wrong}${fallen(metrics)}: ${why}`, last, metrics.scaling !== undefined);
      }
      place = { ...place, step: done, position: next };
      yield stepEvent(metrics, given, options);
      loads.add(metrics.loads);
      if (done % LOAD_WINDOW === 0 || done === steps) yield* expertEvents(done);
      let validated: Of<"validation"> | null = null;
      if (validation && (done % validation.every === 0 || done === steps) && !stopped()) {
        validated = await validate(options, place).catch((fault: unknown) => {
          if (stopped()) return null; // aborted
          throw fault;
        });
        if (validated) {
          place = placeAfter(validated, place);
          yield validated;
        }
      }
      const { samples } = options;
      if (samples && !stopped() && samplesAt(samples, done, steps, validated !== null)) {
        const sample = await samples.take(done).catch((fault: unknown) => {
          if (stopped()) return null; // aborted
          throw fault;
        });
        if (sample) yield sample;
      }
      const due = validated?.best || done % checkpoints.every === 0 || done === steps || exhausted();
      if (!stopped() && due) {
        const change = await options.changed();
        if (change !== null && change !== warned)
          yield { kind: "warning", step: done, message: `${change}; the run continues with the earlier data` };
        warned = change;
        const loss = validated && skips(validated) ? validated.loss : null;
        yield await save(loss, validated?.best ?? false);
      }
    }
  } finally {
    await ended(ahead);
  }
  if (stopped() && saved !== place.step) yield await save(null, false);
  if (!stopped()) yield* expertEvents(place.step);
  yield {
    kind: "end",
    step: place.step,
    reason: place.step === steps ? "finished" : stopped() ? "interrupted" : "stopped early",
    checkpoint: last,
    report: null,
  };
}

/** The place after a validation. */
function placeAfter(validated: Of<"validation">, place: Place): Place {
  if (validated.best) return { ...place, best: validated.loss, unimproved: 0 };
  const compared = validated.counts && skips(validated);
  return { ...place, unimproved: place.unimproved + (compared ? 1 : 0) };
}

/** A step that was submitted to the device. */
interface Submitted {
  readonly micro: readonly Batch[];
  readonly settings: StepSettings;
  /** The position in the data after the step. */
  readonly next: DataPosition;
  readonly result: Promise<StepMetrics>;
}

async function submit(
  { trainer, batches, settings: settingsAt }: LoopOptions,
  done: number,
  position: DataPosition,
): Promise<Submitted> {
  const { micro, next } = await batches(position);
  const settings = settingsAt(done);
  return { micro, settings, next, result: markHandled(trainer.step(micro, settings)) };
}

/** Waits until a submitted step has ended, successfully or not. */
async function ended(step: Promise<Submitted> | null): Promise<void> {
  if (step !== null) await Promise.allSettled([step.then(({ result }) => result)]);
}

/** Whether a sample follows step `done`. */
const samplesAt = (
  { every }: NonNullable<LoopOptions["samples"]>,
  done: number,
  steps: number,
  validates: boolean,
): boolean => (every === 0 ? validates : done % every === 0 || done === steps);

/** Whether a validation, a sample or a checkpoint follows step `done`. */
const evaluatesOrSaves = ({ validation, samples, checkpoints, steps }: LoopOptions, done: number): boolean =>
  done % checkpoints.every === 0 ||
  (validation !== null && done % validation.every === 0) ||
  (samples !== null && samplesAt(samples, done, steps, false));

/** Marks a promise as handled, since it is awaited later. */
function markHandled<T>(work: Promise<T>): Promise<T> {
  work.catch(() => undefined);
  return work;
}

/** Which metric of a step is not finite, as a clause; null: all are finite. */
function notFinite({ loss, losses, gradientNorm }: StepMetrics): string | null {
  const numbers = [
    ["the loss", loss],
    ...Object.entries(losses).map(([path, value]) => [`the loss ${path}`, value] as const),
    ["the norm of the gradients", gradientNorm],
  ] as const;
  const wrong = numbers.find(([, value]) => !Number.isFinite(value));
  return wrong ? `${wrong[0]} is ${wrong[1]}` : null;
}

/** A scale below it does not help: what is not finite is so without a scale. */
const LEAST_SCALE = 1;

/** Whether a step with values that are not finite was skipped, and the next may do better by its smaller scale. */
const mayGoOn = ({ scaling }: StepMetrics): boolean =>
  scaling !== undefined && scaling.skipped && scaling.scale >= LEAST_SCALE;

const fallen = ({ scaling }: StepMetrics): string =>
  scaling !== undefined && scaling.scale < LEAST_SCALE ? `, and the scale of the loss fell below ${LEAST_SCALE}` : "";

/**
 * The error of a diverged run. `last`: the last good checkpoint; null: there is none. `inF16`: products round their
 * operands to f16.
 */
export function diverged(message: string, last: string | null, inF16 = false): TrainError {
  const good = last === null ? "no checkpoint was written yet" : `the last good checkpoint is ${last}`;
  const wider = inF16 ? ", and so may --precision bf16, which holds larger numbers" : "";
  return new TrainError("diverged", message, {
    hint: `${good}; a lower --lr, a longer --warmup or a smaller --clip may help${wider}`,
  });
}

function stepEvent(
  metrics: StepMetrics,
  { settings: { learningRate, live }, next }: Submitted,
  { own, toBitsPerByte, epochsAt }: LoopOptions,
): Of<"step"> {
  const nats = own.reduce((sum, path) => sum + (metrics.losses[path] ?? 0), 0);
  return {
    kind: "step",
    step: metrics.step,
    metrics,
    epoch: epochsAt(next),
    bitsPerByte: toBitsPerByte(nats),
    learningRate,
    live: live ?? {},
  };
}

async function validate(options: LoopOptions, { step, best }: Place): Promise<Of<"validation">> {
  const { trainer, validation, toBitsPerByte, signal } = options;
  const { rules, batches, passage, countsFrom } = validation!;
  // The live parameters of the next step: after the last step, schedules have reached their final values.
  const { live = {} } = options.settings(step);
  const byRule: { [R in Rule]?: Evaluation } = {};
  for (const rule of rules) byRule[rule] = await trainer.evaluate(batches(), rule, { live, signal });
  const { loss } = byRule[rules.at(-1)!]!;
  const counts = step >= countsFrom;
  return {
    kind: "validation",
    step,
    byRule,
    live,
    counts,
    loss,
    bitsPerByte: toBitsPerByte(loss),
    best: counts && skips({ byRule }) && Number.isFinite(loss) && (best === null || loss < best),
    passage: passage === null ? null : await drawPassage(trainer, rules, passage, { live, signal }),
  };
}

async function drawPassage(
  trainer: Trainer,
  rules: readonly Rule[],
  { tokens, axis, batch: passage }: NonNullable<TrainingData["passage"]>,
  options: EvaluateOptions,
): Promise<Passage> {
  const batch = await passage();
  async function* once(): AsyncIterable<Batch> {
    yield batch;
  }
  const routes: Passage["routes"][number][] = [];
  for (const rule of rules) {
    for (const route of (await trainer.evaluate(once(), rule, options)).routes ?? [])
      if (route.axis === (axis ?? route.axis)) routes.push({ rule, path: route.path, mask: [...route.mask] });
  }
  return { tokens: [...batch.inputs[tokens]!], routes };
}
