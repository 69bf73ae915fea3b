// A whole training run: opens the data and the trainer, runs the loop, and writes checkpoints, log and report to its
// folder.
import { existsSync } from "node:fs";
import { bug } from "../../ground/base/invariant.js";
import { lockFolder } from "./lock-node.js";
import { valuesIn, type Checkpoint } from "./checkpoint-node.js";
import { removeUnfinished } from "./cache-file-node.js";
import { Turns } from "./corpus-node.js";
import type { DataOptions, TrainingData } from "./data.js";
import { openData } from "./data-node.js";
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
import type { RunModel, RunOptions } from "./run-options.js";
import { expectComparable } from "./contrast.js";
import { firstWarnings } from "./first-warnings.js";
import { bestLoss, CACHE, openRunFolder, type RunFolder, noteFolder } from "./run-folder-node.js";
import { samplesOf } from "./samples-node.js";
import { sharesOf, unskipping, unskippingText } from "./skipping.js";
import { lastingName } from "./sources-node.js";
import { expectEffects, resumedSettings, settingsRecord, settledFrom, stepSettings, withDefaults } from "./settings.js";
import type { TrainSettings } from "./options.js";
import type { Batch, Trainer, TrainingState } from "./types.js";
import { START, type DataPosition } from "./windows.js";

/**
 * Trains a model on data to the last step or until the signal is aborted, and yields the run's events. A run that
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
  if (model.compares) expectComparable({ ...settings, pack: options.pack });
  if (settings.dense !== model.dense) bug("the model was not checked as the setting dense has it");
  if (latest && latest.checkpoint.manifest.step > settings.steps)
    throw new TrainError(
      "bad-option",
      `the run is already at step ${latest.checkpoint.manifest.step}, beyond --steps ${settings.steps}`,
    );
  await removeUnfinished(run.cache);
  const data = await openData(
    {
      ...dataOptions(options),
      cache: run.cache,
      ...(options.signal ? { signal: options.signal } : {}),
      onProgress: (done, total) => options.onProgress?.("reading the data", done, total),
    },
    model,
    settings,
  );
  try {
    if (latest && data.digest !== latest.checkpoint.manifest.data.digest)
      throw new TrainError("bad-data", `${options.data} is not the data of the run`, {
        hint:
          "leave out --data, --tokenizer and the other options of data to use the run's own, or start another run " +
          "from the checkpoint's weights: --weights",
      });
    const kept = latest && settings.precision !== "f32" ? valuesIn(latest.checkpoint) : null;
    const trainer = await options.createTrainer(settings, latest?.checkpoint.tunings ?? null, kept);
    try {
      if (latest) await trainer.restore(latest.checkpoint.state);
      const aside = latest ? await run.goBackTo(latest.checkpoint.manifest.step) : null;
      const step = latest?.checkpoint.manifest.step ?? 0;
      const lines = await openLog(run.log, step);
      const log = options.tensorboard ? await withEvents(lines, run.path, step) : lines;
      try {
        yield* recordEvents({ options, run, data, settings, trainer, log, found: latest, aside });
      } finally {
        await log.close();
      }
    } finally {
      trainer.dispose();
    }
  } finally {
    await data.close();
  }
}

/** The options of data alone. */
export const dataOptions = (options: DataOptions): DataOptions => {
  const { data, tokenizer, field, chatTemplate, labels, learn, pack } = options;
  const given = { tokenizer, field, chatTemplate, labels, learn, pack };
  return { data, ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) };
};

/** The options that a resumed run reads from its checkpoint. */
const runOrigin = ({ data, tokenizer, field, chatTemplate, labels, learn, pack, model }: RunOptions): RunOrigin => ({
  data: lastingName(data),
  tokenizer: tokenizer === undefined ? null : lastingName(typeof tokenizer === "string" ? tokenizer : tokenizer.path),
  field: field ?? null,
  set: model.set,
  records: {
    chatTemplate: chatTemplate === undefined ? null : lastingName(chatTemplate),
    labels: labels ?? {},
    learn: learn ?? null,
    pack: pack ?? false,
  },
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

interface Opened {
  readonly options: RunOptions;
  readonly run: RunFolder;
  readonly data: TrainingData;
  readonly settings: TrainSettings;
  readonly trainer: Trainer;
  readonly log: Log;
  readonly found: { readonly path: string; readonly checkpoint: Checkpoint } | null;
  /** The folder to which later checkpoints were moved; null: there were none. */
  readonly aside: string | null;
}

/** Yields the loop's events after writing each to the log. Writes the report after each validation and at the end. */
async function* recordEvents(opened: Opened): AsyncGenerator<TrainEvent, void, undefined> {
  const { options, run, data, settings, trainer, log, found, aside } = opened;
  const from = found?.checkpoint.manifest.step ?? 0;
  yield {
    kind: "begin",
    step: from,
    steps: settings.steps,
    data: data.counts,
    bytesPerToken: data.bytesPerToken,
    cache: data.path,
    from: found?.path ?? null,
    best: await run.find("best"),
  };
  const warning = async (step: number, message: string): Promise<Extract<TrainEvent, { kind: "warning" }>> => {
    await log.append({ kind: "warning", step, message });
    return { kind: "warning", step, message };
  };
  const validates = data.validation !== null;
  const manifest = found?.checkpoint.manifest ?? null;
  const machine = trainer.machine ?? {};
  for (const said of firstWarnings({ settings, manifest, machine, aside, validates, data }))
    yield await warning(from, said);
  for (const note of data.notes) yield await warning(from, note);
  let validated: Extract<TrainEvent, { kind: "validation" }> | null = null;
  let [stepped, next] = [false, -Infinity];
  /** Writes the report. A failure does not stop the run: its reason is returned; null if there is none. */
  const report = async (finished: boolean): Promise<string | null> => {
    const began = performance.now();
    const show = (tokens: readonly number[]): readonly string[] => data.show(tokens);
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

async function loopOptions({ options, run, data, settings, trainer, log, found }: Opened): Promise<LoopOptions> {
  const { model } = options;
  const { seed } = settings;
  const bytesPerToken = model.likelihood ? data.bytesPerToken : null;
  const microBatches = async (
    position: DataPosition,
  ): Promise<{ readonly micro: readonly Batch[]; readonly next: DataPosition }> => {
    const micro: Batch[] = [];
    let at = position;
    for (let i = 0; i < settings.accumulate; i++) {
      const { batch, next } = await data.next(at);
      micro.push(batch);
      at = next;
    }
    return { micro, next: at };
  };
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
    toBitsPerByte: (nats) => (bytesPerToken === null ? null : nats / Math.LN2 / bytesPerToken),
    epochsAt: (position) => data.epochsAt(position),
    own: model.own,
    validation:
      data.validation === null
        ? null
        : {
            every: settings.validateEvery,
            countsFrom: settledFrom(settings),
            patience: settings.patience,
            rules: model.rules,
            batches: data.validation,
            passage: model.routed ? data.passage : null,
          },
    samples: await samplesOf({ data, settings, trainer, signal: options.signal, live, weights: unheld }),
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
            data: { digest: data.digest, position },
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
    changed: () => data.changed(),
    ...(options.signal ? { signal: options.signal } : {}),
  };
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
  const { loss, losses, gradientNorm, scaling, tokens, seconds, first, flops, agreement, computedShare } = metrics;
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
    ...scaling,
    tokens,
    seconds,
    first,
    flops,
    agreement,
    computedShare,
  };
}
