// `modc train`: trains a model on a text, shows progress, and writes checkpoints, a log and a report to a folder.
import type { ChooseTunings, Preparation } from "../../train/open-trainer.js";
import { Outcome, type TrainResult } from "../../train/result.js";
import { before } from "../../train/resume-node.js";
import { trainModel } from "../../train/run-node.js";
import type { TrainSettings } from "../../train/options.js";
import type { OpenedModel } from "../../../models/open.js";
import { BeyondBound } from "../source/beyond-bound.js";
import { dataIn } from "../source/data.js";
import { wantedDevice } from "../source/device.js";
import { onInterrupt } from "../terminal/ending.js";
import { EXIT, UserError, type ExitCode } from "../terminal/exit.js";
import { askedFor } from "./resumed.js";
import { out, outJson, Progress, say } from "../terminal/terminal.js";
import type { TrainFlags } from "../tree/training.js";
import { nextLines } from "./train-next.js";
import { TrainProgress, validationText } from "./train-progress.js";
import { checkedModel, choiceOf, showPreparation } from "./training.js";
import { tuningsOn } from "../source/tunings.js";
import { settingsIn, type TuningsFlags } from "../tree/options.js";

export async function train(opened: OpenedModel | undefined, asked: TrainFlags): Promise<ExitCode> {
  const resume = asked.resume === true ? "last" : (asked.resume ?? null);
  if (resume !== null && asked.weights !== undefined)
    throw new UserError("--resume and --weights exclude each other: the run already has weights", null, EXIT.usage);
  const given = settingsOf(asked);
  const { text, tokenizer, flags } = askedFor(
    opened,
    asked,
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
  const started = { given: resume !== null || weights !== null };
  const progress = new Progress();
  const shown = new TrainProgress();
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
      data: dataIn(flags.output, flags.data, flags.field),
      ...(tokenizer === null ? {} : { tokenizer }),
      ...(flags.field === undefined ? {} : { field: flags.field }),
      output: flags.output,
      tensorboard: flags.tensorboard ?? false,
      settings: given,
      usualContext: usualContext(model.bound),
      resume,
      base: starting.base,
      createTrainer: (settings, kept, resumed) => {
        // Report the bound with the name of the option.
        if (model.bound !== null && settings.context > model.bound)
          throw new BeyondBound({
            option: `--length ${settings.context}`,
            axis: null,
            extent: settings.context,
            bound: model.bound,
            model: model.run.name,
          });
        checkAgainst(settings, model);
        ({ precision } = settings);
        const told = {
          onProgress: (done: Preparation) => showPreparation(done, progress, started),
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
      onProgress: (_stage, done, total) => showPreparation({ kind: "text", done, total }, progress, started),
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
  return result.reason === "finished" ? EXIT.fine : EXIT.interrupted;
}

/** The named tunings, else those of the resumed run, else the user's tunings of the device. */
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
  if (twice !== undefined)
    throw new UserError(`${twice} is given twice by --live and --live-schedule`, null, EXIT.usage);
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
    out(`${checkpoint}: the last checkpoint${reason === "finished" ? "" : "; continue from it with --resume"}`);
  if (bestSoFar !== null && bestSoFar !== checkpoint)
    out(`${bestSoFar}: the best${best === null ? ", from before the run was resumed" : `: ${validationText(best)}`}`);
  if (result.report !== null) out(`${result.report}: the report`);
}
