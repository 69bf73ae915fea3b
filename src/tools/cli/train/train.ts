// `modc train`: trains a model on a text or on records, shows progress, and writes checkpoints, a log and a report to a
// folder.
import type { ChooseTunings, Preparation } from "../../train/open-trainer.js";
import { Outcome, type TrainResult } from "../../train/events.js";
import { before, type Before } from "../../train/resume-node.js";
import { recordSettings } from "../../train/data-node.js";
import type { RecordSettings } from "../../train/data.js";
import { trainModel } from "../../train/run-node.js";
import type { TrainSettings } from "../../train/options.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import { beyondLength } from "../source/beyond-bound.js";
import { dataIn, checkedModel, choiceOf, showPreparation } from "./training.js";
import { recordsIn } from "../source/record-flags.js";
import { wantedDevice } from "../source/device.js";
import { onInterrupt } from "../terminal/ending.js";
import { EXIT, UserError, type ExitCode, misuse } from "../terminal/exit.js";
import { out, outJson, Progress, say } from "../terminal/terminal.js";
import type { TrainFlags } from "../tree/training.js";
import { TrainProgress, validationText } from "./train-progress.js";
import { tuningsOn } from "../source/tunings.js";
import { settingsIn, type TuningsFlags } from "../tree/options.js";
import { GenerationError } from "../../../compiler/lower/generation-error.js";
import { checkAs, graphsOf } from "../../../compiler/recipes.js";
import { withDense, type ModelChoice, unitOf } from "../../train/model.js";
import { bytesTokenizer } from "../../../models/tokenizer/tokenizer.js";
import type { ModelText } from "../source/model-file.js";
import { existsSync } from "node:fs";
import { isAbsolute } from "node:path";
import type { TokenizerSource } from "../../../models/tokenizer/source-node.js";
import { mergedPairs } from "../tree/arguments.js";

export async function train(opened: OpenedModel | undefined, asked: TrainFlags): Promise<ExitCode> {
  const resume = asked.resume === true ? "last" : (asked.resume ?? null);
  if (resume !== null && asked.weights !== undefined)
    throw misuse("--resume and --weights exclude each other: the run already has weights");
  const given = settingsOf(asked);
  const { text, tokenizer, records, flags } = askedFor(
    opened,
    { ...asked, dense: given.dense },
    resume === null ? null : await before(asked.output, resume === "last" ? null : resume),
  );
  const model = await checkedModel(text, flags);
  const { checkAgainst, usualContext } = await import("../../train/model.js");
  const { openTrainer } = await import("../../train/open-trainer.js");
  const { openStartingWeights } = await import("../../train/starting-weights.js");
  const starting = await openStartingWeights(
    model,
    resume === null ? (opened?.weights ?? null) : null,
    resume === null ? given : {},
  );
  const { weights } = starting;
  if (starting.note !== null) say(`note: ${starting.note}`);
  const loading = { given: resume !== null || weights !== null };
  const progress = new Progress();
  const shown = new TrainProgress(unitOf(model.run));
  const stop = new AbortController();
  let restore = (): void => undefined;
  // Handle interrupts only from the first step on. Before it an interrupt ends the process at once.
  const listen = (): void => {
    restore = onInterrupt(() => {
      shown.clear();
      say("stopping after this step; interrupt again to stop at once");
      stop.abort();
    });
  };
  const outcome = new Outcome();
  let precision = "f32";
  try {
    const events = trainModel({
      model: model.run,
      data: dataIn(flags.output, flags.data, records.field),
      ...(tokenizer === null ? {} : { tokenizer }),
      ...records,
      output: flags.output,
      tensorboard: flags.tensorboard ?? false,
      settings: given,
      usualContext: usualContext(model.bound),
      resume,
      base: starting.base,
      createTrainer: (settings, kept, resumed) => {
        // Report the bound with the name of the option.
        if (model.bound !== null && settings.context > model.bound)
          throw beyondLength(settings.context, model.bound, model.run.name);
        checkAgainst(settings, model);
        ({ precision } = settings);
        const told = {
          onProgress: (done: Preparation) => showPreparation(done, progress, loading),
          onNote: (note: string) => say(`note: ${note}`),
        };
        const from = {
          text,
          choice: choiceOf(flags),
          device: wantedDevice(flags),
          tunings: chosenTunings(flags),
          weights: resumed ?? weights,
          kept,
        };
        return openTrainer({ ...from, rules: model.run.rules, ...told }, settings);
      },
      initialValues: starting.value,
      signal: stop.signal,
      onProgress: (_stage, done, total) => showPreparation({ kind: "text", done, total }, progress, loading),
    });
    for await (const event of events) {
      progress.clear();
      outcome.add(event);
      shown.show(event);
      if (event.kind !== "begin") continue;
      listen();
      if (event.step < event.steps) progress.report("running the first step");
    }
  } finally {
    restore();
    await starting.close();
    progress.clear();
    shown.clear();
  }
  const result = outcome.result(flags.output);
  report(result, flags.json ?? false);
  const named = typeof tokenizer === "string" ? tokenizer : (tokenizer?.path ?? null);
  if (!flags.json)
    for (const line of nextLines(result, text, { ...choiceOf(flags), tokenizer: named, precision })) say(line);
  return result.reason === "interrupted" ? EXIT.interrupted : EXIT.fine;
}

/** The named tunings, else the resumed run's, else the user's tunings of the device. */
const chosenTunings =
  (flags: TuningsFlags): ChooseTunings =>
  (device, kept) =>
    flags.tunings === undefined && kept !== null ? kept : tuningsOn(device, flags);

/** The settings among the flags. */
function settingsOf(flags: TrainFlags): Partial<TrainSettings> {
  const live = liveOf(flags);
  return { ...settingsIn(flags), ...(live !== "" && { live }) };
}

/** A line for each live parameter: a value, or values at steps. */
function liveOf({ live = {}, liveSchedule = {} }: TrainFlags): string {
  const twice = Object.keys(live).find((name) => Object.hasOwn(liveSchedule, name));
  if (twice !== undefined) throw misuse(`${twice} is given twice by --live and --live-schedule`);
  return [...Object.entries(live), ...Object.entries(liveSchedule)]
    .map(([name, value]) => `${name}=${value}`)
    .join("\n");
}

function report(result: TrainResult, json: boolean): void {
  if (json) return outJson(result);
  const { output, reason, step, steps, validation, checkpoint, best, bestSoFar } = result;
  const validated = validation ? `; validation at step ${validation.step}: ${validationText(validation)}` : "";
  out(`${output}: ${reason} at step ${step} of ${steps}${validated}`);
  if (checkpoint !== null)
    out(`${checkpoint}: the last checkpoint${reason === "interrupted" ? "; continue from it with --resume" : ""}`);
  if (bestSoFar !== null && bestSoFar !== checkpoint)
    out(`${bestSoFar}: the best${best === null ? ", from before the run was resumed" : `: ${validationText(best)}`}`);
  if (result.report !== null) out(`${result.report}: the report`);
}

/** The lines printed after a run; none without a checkpoint. */
export function nextLines(
  { output, checkpoint, bestSoFar }: Pick<TrainResult, "output" | "checkpoint" | "bestSoFar">,
  text: ModelText,
  choice: ModelChoice & { readonly tokenizer: string | null; readonly precision: string },
): readonly string[] {
  // As commands open the folder.
  const path = bestSoFar ?? checkpoint;
  if (path === null) return [];
  const run = `${shellWord(output)}${choice.precision === "f32" ? "" : ` --weights-as ${choice.precision}`}`;
  const prompted = generates(text, choice);
  const given = prompted?.map((name) => `--input ${name}=… `).join("") ?? "";
  return [
    `the ${bestSoFar === null ? "last" : "best"} checkpoint is ${path}`,
    `try it with ${prompted ? `modc generate ${run} ${given}--prompt "…"` : `modc eval ${run}`}`,
  ];
}

/** The inputs that `modc generate` needs beside a prompt; null if it does not accept the model. */
function generates(
  { source, read }: ModelText,
  { model: name, set, tokenizer }: Parameters<typeof nextLines>[2],
): readonly string[] | null {
  const { model } = checkAs(source, { program: "step", set, read, model: name });
  if (model === null) return null;
  try {
    const { vocabulary, given, beside } = graphsOf(model).generation();
    // Without a tokenizer only byte-level models generate text.
    if (vocabulary !== bytesTokenizer.vocabulary && tokenizer === null) return null;
    return [...(given?.inputs ?? []).map(({ node }) => node.attrs.name), ...beside];
  } catch (fault) {
    if (fault instanceof GenerationError) return null;
    throw fault;
  }
}

/** A path quoted for a shell where necessary. */
export const shellWord = (path: string): string =>
  /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`;

/** The model and options of a training run. */
export interface Asked {
  readonly text: ModelText;
  /** Null: each byte is a token. */
  readonly tokenizer: TokenizerSource | string | null;
  readonly records: RecordSettings;
  readonly flags: TrainFlags & { readonly data: string };
}

/**
 * The model and options of the command, completed from the resumed run; `before` is null for a new run. Throws
 * UserError for missing options.
 */
function askedFor(
  opened: OpenedModel | undefined,
  { dense, ...flags }: TrainFlags & { readonly dense: boolean | undefined },
  before: Before | null,
): Asked {
  const begun = before?.manifest.begun ?? null;
  if (opened === undefined && before === null)
    throw misuse("missing required argument 'file'", "give the model: only --resume knows it");
  if (before !== null && flags.model !== undefined && flags.model !== before.manifest.model)
    throw new UserError(
      `the run trains ${before.manifest.model}, not ${flags.model}`,
      "leave out --model to continue it",
    );
  const data = flags.data ?? begun?.data;
  if (data === undefined)
    throw misuse(
      "required option '--data <what>' not specified",
      before === null ? null : "give the text with --data: an earlier modc wrote the checkpoint without it",
    );
  const tokenizer = opened?.tokenizer ?? flags.tokenizer ?? begun?.tokenizer ?? null;
  for (const [option, path, flag] of [
    ["--data", data, flags.data],
    ["--tokenizer", typeof tokenizer === "string" ? tokenizer : null, flags.tokenizer],
  ] as const)
    if (flag === undefined && path !== null && isAbsolute(path) && !existsSync(path))
      throw new UserError(`${path}, which the run started with, is missing`, `give its present path: ${option}`);
  return {
    text: opened ?? keptText(before!),
    tokenizer,
    records: recordSettings(recordsIn(flags), begun),
    flags: {
      ...flags,
      data,
      set: withDense(
        mergedPairs(begun?.set ?? {}, flags.set ?? {}),
        dense ?? before?.manifest.settings["dense"] === true,
      ),
      ...(before === null ? {} : { model: flags.model ?? before.manifest.model }),
    },
  };
}

/** The source stored in the checkpoint, under its original paths. */
function keptText({ sources }: Before): ModelText {
  const [modelSource, ...imported] = sources;
  if (!modelSource)
    throw new UserError("the checkpoint does not contain the source of its model", "give the model's file");
  const texts = new Map(imported.map(({ path, text }) => [path, text]));
  return {
    source: { file: modelSource.path, text: modelSource.text },
    read: (path) => texts.get(path) ?? texts.get(`./${path}`) ?? null,
  };
}
