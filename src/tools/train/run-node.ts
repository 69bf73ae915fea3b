// A whole training run: opens the text and the trainer, runs the loop, and writes checkpoints, log and report to its
// folder.
import { existsSync } from "node:fs";
import { bug } from "../../ground/base/invariant.js";
import { lockFolder } from "./lock-node.js";
import { batchAt, batchesOf, windowBatch } from "./batches.js";
import { valuesIn, type Checkpoint } from "./checkpoint-node.js";
import { openCorpus, removeUnfinished, type Corpus, Turns } from "./corpus-node.js";
import { replaceFile, writing } from "./disk-node.js";
import { TrainError } from "./errors.js";
import type { TrainEvent } from "./events.js";
import { withEvents } from "./events-node.js";
import { openLog, type Log, type LogEntry } from "./log-node.js";
import { diverged, loop, type LoopOptions } from "./loop.js";
import { reportOf } from "./report-node.js";
import type { Words } from "../../runtime/index.js";
import type { ProgramWeight } from "../../runtime/program/program.js";
import type { RunOrigin } from "../../models/runs/manifest.js";
import { resumeFrom, type Before } from "./resume-node.js";
import type { RunModel, RunOptions, TextOptions } from "./run-options.js";
import { firstWarnings } from "./first-warnings.js";
import { bestLoss, CACHE, openRunFolder, type RunFolder, noteFolder } from "./run-folder-node.js";
import { samplesOf } from "./samples-node.js";
import { sharesOf, unskipping, unskippingText } from "./skipping.js";
import { lastingName } from "./sources-node.js";
import { expectEffects, resumedSettings, settingsRecord, settledFrom, stepSettings, withDefaults } from "./settings.js";
import type { TrainSettings } from "./options.js";
import type { Batch, Trainer, TrainingState } from "./types.js";
import { epochsAt, split, START, wholeWindows, type DataPosition, type Split } from "./windows.js";

/**
 * Trains a model on a text to the last step or until the signal is aborted, and yields the run's events. A run that
 * fails before its first step leaves nothing in its folder. Throws TrainError and the errors of the runtime.
 */
export async function* trainModel(options: RunOptions): AsyncGenerator<TrainEvent, void, undefined> {
  const unbegun = await noteFolder(options.output, { cache: CACHE });
  const unlock = await lockFolder(options.output);
  let begun = false;
  try {
    for await (const event of trainLocked(options)) {
      begun = true;
      yield event;
    }
  } finally {
    if (!begun) await unbegun.inside();
    await unlock();
    if (!begun) await unbegun.folder();
  }
}

/** `trainModel` in a folder that this process has locked. */
async function* trainLocked(options: RunOptions): AsyncGenerator<TrainEvent, void, undefined> {
  const { model } = options;
  const run = await openRunFolder(options.output);
  const same = (before: Before, path: string): void => expectSameModel(model, before, path);
  const latest =
    options.resume === null
      ? null
      : await resumeFrom(run, options.resume === "last" ? null : options.resume, model, same);
  if (!latest && (await run.steps()).length > 0)
    throw new TrainError("bad-option", `${options.output} already contains a run`, {
      hint: "continue it with --resume, or give another folder",
    });
  const settings = latest
    ? resumedSettings(latest.checkpoint.manifest.settings, options.settings)
    : withDefaults({ context: options.usualContext, ...options.settings });
  expectEffects(options.settings, settings);
  if (settings.dense !== model.dense) bug("the model was not checked as the setting dense has it");
  if (latest && latest.checkpoint.manifest.step > settings.steps)
    throw new TrainError(
      "bad-option",
      `the run is already at step ${latest.checkpoint.manifest.step}, beyond --steps ${settings.steps}`,
    );
  await removeUnfinished(run.cache);
  const corpus = await openCorpus({
    ...textOptions(options),
    cache: run.cache,
    ...(options.signal ? { signal: options.signal } : {}),
    onProgress: (done, total) => options.onProgress?.("reading the text", done, total),
  });
  try {
    expectFits(corpus, options);
    if (latest && corpus.digest !== latest.checkpoint.manifest.data.digest)
      throw new TrainError("bad-data", `${options.data} is not the text of the run`, {
        hint:
          "leave out --data, --tokenizer and --field to use the run's own, or start another run from the " +
          "checkpoint's weights: --weights",
      });
    const parts = split(corpus.tokens, settings.context, settings.validation);
    const kept = latest && settings.precision !== "f32" ? valuesIn(latest.checkpoint) : null;
    const trainer = await options.createTrainer(settings, latest?.checkpoint.tunings ?? null, kept);
    try {
      if (latest) await trainer.restore(latest.checkpoint.state);
      const aside = latest ? await run.goBackTo(latest.checkpoint.manifest.step) : null;
      const step = latest?.checkpoint.manifest.step ?? 0;
      const lines = await openLog(run.log, step);
      const log = options.tensorboard ? await withEvents(lines, run.path, step) : lines;
      try {
        yield* recordEvents({ options, run, corpus, parts, settings, trainer, log, found: latest, aside });
      } finally {
        await log.close();
      }
    } finally {
      trainer.dispose();
    }
  } finally {
    await corpus.close();
  }
}

export const textOptions = ({ data, tokenizer, field }: TextOptions): TextOptions => ({
  data,
  ...(tokenizer === undefined ? {} : { tokenizer }),
  ...(field === undefined ? {} : { field }),
});

/** The options that a resumed run reads from its checkpoint. */
const runOrigin = ({ data, tokenizer, field, model }: RunOptions): RunOrigin => ({
  data: lastingName(data),
  tokenizer: tokenizer === undefined ? null : lastingName(typeof tokenizer === "string" ? tokenizer : tokenizer.path),
  field: field ?? null,
  set: model.set,
});

function expectSameModel(model: RunModel, { manifest, sources }: Before, path: string): void {
  const hint = "leave out the model and --set to use the run's own, or start another run from its weights: --weights";
  const fail = (what: string): never => {
    throw new TrainError("bad-checkpoint", `the model is not the one of ${path}: ${what}`, { hint });
  };
  if (manifest.model !== model.name) fail(`it is ${model.name}, the run trains ${manifest.model}`);
  for (const [name, value] of Object.entries(model.parameters)) {
    const before = manifest.parameters[name];
    if (before !== value) fail(before === undefined ? `${name} is new` : `${name} is ${value}, it was ${before}`);
  }
  for (const [i, source] of model.sources.entries())
    if (sources[i]?.text !== source.text) fail(`${source.path} has changed`);
  if (sources.length !== model.sources.length)
    fail(`it has ${model.sources.length} source files, the run's model ${sources.length}`);
}

/** Checks that a text's tokens are within the model's vocabulary. */
export function expectFits(
  corpus: Corpus,
  { data, model }: TextOptions & { readonly model: Pick<RunModel, "vocabulary"> },
): void {
  if (model.vocabulary === null || corpus.largestToken < model.vocabulary) return;
  throw new TrainError(
    "bad-data",
    `${data} has the token ${corpus.largestToken}, but the model has ${model.vocabulary} tokens`,
    {
      hint: "give the model's tokenizer, or set the model's vocabulary",
    },
  );
}

interface Opened {
  readonly options: RunOptions;
  readonly run: RunFolder;
  readonly corpus: Corpus;
  readonly parts: Split;
  readonly settings: TrainSettings;
  readonly trainer: Trainer;
  readonly log: Log;
  readonly found: { readonly path: string; readonly checkpoint: Checkpoint } | null;
  /** The folder to which later checkpoints were moved; null: there were none. */
  readonly aside: string | null;
}

/** Yields the loop's events after writing each to the log. Writes the report after each validation and at the end. */
async function* recordEvents(opened: Opened): AsyncGenerator<TrainEvent, void, undefined> {
  const { options, run, corpus, parts, settings, trainer, log, found, aside } = opened;
  const from = found?.checkpoint.manifest.step ?? 0;
  yield {
    kind: "begin",
    step: from,
    steps: settings.steps,
    tokens: { training: parts.boundary, validation: parts.tokens - parts.boundary },
    bytesPerToken: corpus.bytes / corpus.tokens,
    cache: corpus.path,
    from: found?.path ?? null,
    best: await run.find("best"),
  };
  const warning = async (step: number, message: string): Promise<Extract<TrainEvent, { kind: "warning" }>> => {
    await log.append({ kind: "warning", step, message });
    return { kind: "warning", step, message };
  };
  const validates = parts.boundary < parts.tokens;
  const manifest = found?.checkpoint.manifest ?? null;
  const begun = { settings, manifest, machine: trainer.machine ?? {}, aside, validates, training: parts.boundary };
  for (const said of firstWarnings(begun)) yield await warning(from, said);
  let validated: Extract<TrainEvent, { kind: "validation" }> | null = null;
  let [stepped, next] = [false, -Infinity];
  /** Writes the report. A failure does not stop the run: its reason is returned; null if there is none. */
  const report = async (finished: boolean): Promise<string | null> => {
    const began = performance.now();
    const show = (tokens: readonly number[]): readonly string[] => corpus.show(tokens);
    const failed = await writing(run.report, async () =>
      replaceFile(run.report, await reportOf({ log: run.log, model: options.model, settings, show, finished })),
    ).then(
      () => null,
      (fault: unknown) => {
        if (fault instanceof TrainError && fault.code === "cannot-write") return fault.message;
        throw fault;
      },
    );
    // The report of a long run takes long: at most a twentieth of the time is spent on it.
    next = performance.now() + 20 * (performance.now() - began);
    return failed;
  };
  for await (const event of loop(await loopOptions(opened))) {
    if (isLogged(event)) await log.append(entryOf(event));
    if (event.kind === "step") stepped = true;
    if (event.kind === "validation") validated = event;
    const idle =
      event.kind === "end" && event.reason !== "interrupted" && validated?.counts
        ? unskippingText(unskipping(sharesOf(validated)), settings)
        : null;
    if (idle !== null) yield await warning(event.step, idle);
    const due = event.kind === "end" ? stepped : event.kind === "validation" && performance.now() >= next;
    const failed = due ? await report(event.kind === "end" && event.reason !== "interrupted") : null;
    if (failed !== null) yield await warning(event.step, failed);
    yield event.kind === "end"
      ? { ...event, report: failed === null && existsSync(run.report) ? run.report : null }
      : event;
  }
}

async function loopOptions({
  options,
  run,
  corpus,
  parts,
  settings,
  trainer,
  log,
  found,
}: Opened): Promise<LoopOptions> {
  const { model } = options;
  const { context, seed, batch: rows } = settings;
  const text = { corpus, inputs: model.inputs, split: parts, rows, context };
  const { rules } = model;
  const held = spread(wholeWindows(parts.boundary, parts.tokens, context), settings.validationWindows);
  const microBatches = async (
    position: DataPosition,
  ): Promise<{ readonly micro: readonly Batch[]; readonly next: DataPosition }> => {
    const micro: Batch[] = [];
    let at = position;
    for (let i = 0; i < settings.accumulate; i++) {
      const { batch, next } = await batchAt(at, seed, text);
      micro.push(batch);
      at = next;
    }
    return { micro, next: at };
  };
  const bytesPerToken = corpus.bytes / corpus.tokens;
  const settingsAt = stepSettings(settings);
  const live = (step: number): Readonly<Record<string, number>> => settingsAt(step).live ?? {};
  const unheld = (weight: ProgramWeight): Words | Promise<Words> =>
    found?.checkpoint.unused.get(weight.path) ?? options.initialValues(weight, seed);
  return {
    trainer,
    from: found
      ? {
          step: found.checkpoint.manifest.step,
          position: found.checkpoint.manifest.data.position,
          best: await bestLoss(run),
          unimproved: found.checkpoint.manifest.unimproved,
        }
      : { step: 0, position: START, best: null, unimproved: 0 },
    steps: settings.steps,
    settings: settingsAt,
    batches: microBatches,
    toBitsPerByte: (nats) => nats / Math.LN2 / bytesPerToken,
    epochsAt: (position) => epochsAt(position, { boundary: parts.boundary, context, seed }),
    own: model.own,
    validation:
      parts.boundary === parts.tokens
        ? null
        : {
            every: settings.validateEvery,
            countsFrom: settledFrom(settings),
            patience: settings.patience,
            rules,
            batches: () => batchesOf(held, text),
            passage: model.routed
              ? () =>
                  windowBatch(
                    { offset: parts.boundary, length: Math.min(context, PASSAGE, parts.tokens - parts.boundary - 1) },
                    text,
                  )
              : null,
            tokens: model.inputs.tokens,
          },
    samples: await samplesOf({ corpus, settings, trainer, signal: options.signal, live, weights: unheld }),
    checkpoints: {
      every: settings.checkpointEvery,
      async save({ step, position, unimproved, validation, isBest }) {
        const state = await trainer.state();
        const wrong = await firstNotFinite(state);
        if (wrong !== null)
          throw diverged(`after step ${step} ${wrong} holds a value that is not finite`, await run.find("last"));
        await log.sync();
        return run.save(
          {
            step,
            model: model.name,
            parameters: model.parameters,
            sources: model.sources,
            settings: settingsRecord(settings),
            machine: trainer.machine ?? {},
            memory: trainer.memory ?? null,
            data: { digest: corpus.digest, position },
            begun: runOrigin(options),
            validation,
            unimproved,
            live: live(step),
            weights: model.weights,
            base: found ? found.checkpoint.base : (options.base ?? null),
            state,
            tunings: trainer.tunings ?? null,
            unusedValues: unheld,
          },
          { keep: settings.keep, best: isBest },
        );
      },
    },
    lastCheckpoint: found?.path ?? null,
    changed: () => corpus.changed(),
    ...(options.signal ? { signal: options.signal } : {}),
  };
}

/** Tokens of the passage that the report shows. */
const PASSAGE = 256;

/** `most` evenly spaced elements of a list; 0: all. */
function spread<T>(list: readonly T[], most: number): readonly T[] {
  if (most === 0 || list.length <= most) return list;
  return Array.from({ length: most }, (_, i) => list[Math.floor((i * list.length) / most)]!);
}

async function firstNotFinite(state: TrainingState): Promise<string | null> {
  const turns = new Turns();
  for (const [name, { dtype, data }] of state) {
    await turns.take();
    if (dtype !== "f32") continue;
    for (let i = 0; i < data.length; i++) if (!Number.isFinite(data[i])) return name;
  }
  return null;
}

type Logged = Extract<TrainEvent, { kind: "step" | "validation" | "sample" | "experts" | "warning" }>;

const isLogged = (event: TrainEvent): event is Logged =>
  ["step", "validation", "sample", "experts", "warning"].includes(event.kind);

/** A line of the log. */
function entryOf(event: Logged): LogEntry {
  const { kind, step } = event;
  if (kind === "warning" || kind === "experts" || kind === "sample") return { ...event };
  if (kind === "validation") {
    const { live, counts, loss, bitsPerByte, best } = event;
    const rules = Object.fromEntries(
      Object.entries(event.byRule).map(([rule, { loss: own, tokens, shares }]) => [
        rule,
        { loss: own, tokens, shares },
      ]),
    );
    const passage = event.passage && {
      ...event.passage,
      routes: event.passage.routes.map((r) => ({ ...r, mask: r.mask.join("") })),
    };
    return { kind, step, live, counts, loss, bitsPerByte, best, rules, passage };
  }
  const { metrics, epoch, bitsPerByte, learningRate, live } = event;
  const { loss, losses, gradientNorm, tokens, seconds, first, flops, agreement, computedShare } = metrics;
  return {
    kind,
    step,
    epoch,
    loss,
    losses,
    bitsPerByte,
    learningRate,
    live,
    gradientNorm,
    tokens,
    seconds,
    first,
    flops,
    agreement,
    computedShare,
  };
}
