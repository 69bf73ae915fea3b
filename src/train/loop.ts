// The loop of training: steps, validation and checkpoints at their intervals, as an iterator that can be stopped.
import { TrainError } from "./errors.js";
import type { Passage, TrainEvent } from "./events.js";
import type { Batch, EvaluateOptions, Evaluation, Rule, StepMetrics, StepSettings, Trainer } from "./types.js";
import type { DataPosition } from "./windows.js";

/** Where a run stands between two steps. */
export interface Place {
  /** Steps done. */
  readonly step: number;
  readonly position: DataPosition;
  /** The lowest validation loss so far; null: none was measured. */
  readonly best: number | null;
}

export interface LoopOptions {
  readonly trainer: Trainer;
  readonly from: Place;
  /** Steps in all. */
  readonly steps: number;
  /** Of the step after so many. */
  readonly settings: (done: number) => StepSettings;
  /** The micro-batches of the step at a position, and the position after them: a function of the position alone. */
  readonly batches: (
    position: DataPosition,
  ) => Promise<{ readonly micro: readonly Batch[]; readonly next: DataPosition }>;
  readonly toBitsPerByte: (nats: number) => number;
  /** Paths of the objective's own losses. */
  readonly own: readonly string[];
  /** Null: the text holds nothing out. */
  readonly validation: {
    readonly every: number;
    /** The first step whose validation may be the best: from here on live parameters keep their values. */
    readonly countsFrom: number;
    /** In order; the last decides which checkpoint is the best. */
    readonly rules: readonly Rule[];
    readonly batches: () => AsyncIterable<Batch>;
    /** One short batch of a single row for the picture of routes; null: no layer is routed. */
    readonly passage: (() => Promise<Batch>) | null;
    /** The input of it that holds the tokens. */
    readonly tokens: string;
  } | null;
  readonly checkpoints: {
    readonly every: number;
    /** Writes one and returns its path. */
    readonly save: (
      at: Omit<Place, "best"> & { readonly validation: number | null; readonly isBest: boolean },
    ) => Promise<string>;
  };
  /** The checkpoint that is there already; null: there is none. */
  readonly lastCheckpoint: string | null;
  /** What has become of the text, as a sentence; null: nothing. */
  readonly changed: () => Promise<string | null>;
  readonly signal?: AbortSignal;
}

type Of<K extends TrainEvent["kind"]> = Extract<TrainEvent, { kind: K }>;

/**
 * Trains to the last step, or until `signal` is aborted: steps under way, two at most, are finished then, and a
 * checkpoint written. Validates every so many steps and after the last; writes a checkpoint every so many, after the
 * last, and whenever the validation loss is the lowest so far, of those that count. Throws TrainError where a loss or a
 * gradient is no number: nothing is written then, so that the last checkpoint is a good one.
 */
export async function* loop(options: LoopOptions): AsyncGenerator<TrainEvent, void, undefined> {
  const { trainer, steps, validation, checkpoints, signal } = options;
  let place = options.from;
  let last = options.lastCheckpoint;
  let saved = last === null ? -1 : place.step;
  let warned: string | null = null;
  let ahead: Promise<Submitted> | null = null;
  const stopped = (): boolean => signal?.aborted ?? false;
  const save = async (loss: number | null, isBest: boolean): Promise<Of<"checkpoint">> => {
    last = await checkpoints.save({ step: place.step, position: place.position, validation: loss, isBest });
    saved = place.step;
    return { kind: "checkpoint", step: place.step, path: last, best: isBest, position: place.position };
  };
  try {
    while (ahead !== null || (place.step < steps && !stopped())) {
      const given: Submitted = await (ahead ?? submit(options, place.step, place.position));
      const { micro, settings, next } = given;
      const done = place.step + 1;
      // The device gets the next step while this one still runs, unless something comes between them.
      ahead = done === steps || stopped() || comesBetween(options, done) ? null : begun(submit(options, done, next));
      const metrics = await given.result;
      const wrong = notFinite(metrics);
      if (wrong !== null) {
        await ended(ahead);
        const why = await trainer
          .whyNotFinite(done, micro, settings)
          .catch(
            (fault: unknown) =>
              `what went wrong first cannot be told: ${fault instanceof Error ? fault.message : String(fault)}`,
          );
        throw diverged(`step ${done}: ${wrong}: ${why}`, last);
      }
      place = { ...place, step: done, position: next };
      yield stepEvent(metrics, settings, options);
      let validated: Of<"validation"> | null = null;
      if (validation && (done % validation.every === 0 || done === steps) && !stopped()) {
        validated = await validate(options, place).catch((fault: unknown) => {
          if (stopped()) return null; // broken off
          throw fault;
        });
        if (validated) {
          if (validated.best) place = { ...place, best: validated.loss };
          yield validated;
        }
      }
      if (!stopped() && (validated?.best || done % checkpoints.every === 0 || done === steps)) {
        const change = await options.changed();
        if (change !== null && change !== warned)
          yield { kind: "warning", step: done, message: `${change}; the run goes on with the text as it was` };
        warned = change;
        yield await save(validated?.loss ?? null, validated?.best ?? false);
      }
    }
  } finally {
    await ended(ahead);
  }
  if (stopped() && saved !== place.step) yield await save(null, false);
  yield {
    kind: "end",
    step: place.step,
    reason: place.step < steps ? "interrupted" : "finished",
    checkpoint: last,
    report: null,
  };
}

/** A step that the device was given. */
interface Submitted {
  readonly micro: readonly Batch[];
  readonly settings: StepSettings;
  /** The place in the data after it. */
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
  return { micro, settings, next, result: begun(trainer.step(micro, settings)) };
}

/** Waits until the device has done a step, however it ends. */
async function ended(step: Promise<Submitted> | null): Promise<void> {
  if (step !== null) await Promise.allSettled([step.then(({ result }) => result)]);
}

/** Whether the weights of so many steps are evaluated or saved. */
const comesBetween = ({ validation, checkpoints }: LoopOptions, done: number): boolean =>
  done % checkpoints.every === 0 || (validation !== null && done % validation.every === 0);

/** Work that is waited for later: until then its failure is no unhandled one. */
function begun<T>(work: Promise<T>): Promise<T> {
  work.catch(() => undefined);
  return work;
}

/** Which number of a step is none, as a clause; null: all are. */
function notFinite({ loss, losses, gradientNorm }: StepMetrics): string | null {
  const numbers = [
    ["the loss", loss],
    ...Object.entries(losses).map(([path, value]) => [`the loss ${path}`, value] as const),
    ["the norm of the gradients", gradientNorm],
  ] as const;
  const wrong = numbers.find(([, value]) => !Number.isFinite(value));
  return wrong ? `${wrong[0]} is ${wrong[1]}` : null;
}

/** `last`: the checkpoint that is still good; null: none was written yet. */
export function diverged(message: string, last: string | null): TrainError {
  const good = last === null ? "no checkpoint was written yet" : `the last good checkpoint is ${last}`;
  return new TrainError("diverged", message, {
    hint: `${good}; a lower --lr, a longer --warmup or a smaller --clip may help`,
  });
}

function stepEvent(
  metrics: StepMetrics,
  { learningRate, live }: StepSettings,
  { own, toBitsPerByte }: LoopOptions,
): Of<"step"> {
  const nats = own.reduce((sum, path) => sum + (metrics.losses[path] ?? 0), 0);
  return {
    kind: "step",
    step: metrics.step,
    metrics,
    bitsPerByte: toBitsPerByte(nats),
    learningRate,
    live: live ?? {},
  };
}

async function validate(options: LoopOptions, { step, best }: Place): Promise<Of<"validation">> {
  const { trainer, validation, toBitsPerByte, signal } = options;
  const { rules, batches, passage, tokens, countsFrom } = validation!;
  // As the next step has them: after the last one a schedule that ends with the run is at its end.
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
    best: counts && Number.isFinite(loss) && (best === null || loss < best),
    passage: passage === null ? null : await drawPassage(trainer, rules, await passage(), tokens, { live, signal }),
  };
}

async function drawPassage(
  trainer: Trainer,
  rules: readonly Rule[],
  batch: Batch,
  tokens: string,
  options: EvaluateOptions,
): Promise<Passage> {
  async function* once(): AsyncIterable<Batch> {
    yield batch;
  }
  const routes: Passage["routes"][number][] = [];
  for (const rule of rules) {
    const found = (await trainer.evaluate(once(), rule, options)).routes ?? [];
    for (const { path, mask } of found) routes.push({ rule, path, mask: [...mask.subarray(0, batch.length)] });
  }
  return { tokens: [...batch.inputs[tokens]!], routes };
}
