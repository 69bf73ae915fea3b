// `modc train`: trains a model on a text, shows how it goes, and leaves checkpoints, a log and a report in a folder.
import type { TrainEvent } from "../../train/events.js";
import { before } from "../../train/resume-node.js";
import { train as run } from "../../train/run-node.js";
import { LEARNING_RATES, parseRatio, type LearningRateKind } from "../../train/schedule.js";
import type { TrainSettings } from "../../train/settings.js";
import { bytesOf, positiveNumber, seedOf, splitPair, wholeNumber } from "../arguments.js";
import { dataIn } from "../data.js";
import type { DeviceFlags } from "../device.js";
import { endingAtOnce, onInterrupt } from "../ending.js";
import { EXIT, UserError, type ExitCode } from "../exit.js";
import type { ModelFlags } from "../frontend.js";
import { askedFor } from "../resumed.js";
import { out, outJson, Progress, say } from "../terminal.js";
import { TrainProgress, validationText } from "../train-progress.js";
import { checkAgainst, openTrainer, startingValue, trainingModel, usualContext } from "../training.js";
import type { TuningsFlags } from "../tunings.js";

export interface TrainFlags extends Pick<ModelFlags, "set" | "model">, DeviceFlags, TuningsFlags {
  readonly data?: string;
  readonly output: string;
  readonly tokenizer?: string;
  readonly field?: string;
  readonly weights?: string;
  readonly resume?: string | true;
  readonly steps?: string;
  readonly batch?: string;
  readonly accumulate?: string;
  readonly length?: string;
  readonly seed?: string;
  readonly validation?: string;
  readonly optimizer?: "adamw" | "sgd";
  readonly lr?: string;
  readonly schedule?: LearningRateKind;
  readonly warmup?: string;
  readonly minLr?: string;
  readonly decay?: string;
  readonly weightDecay?: string;
  readonly beta1?: string;
  readonly beta2?: string;
  readonly eps?: string;
  readonly momentum?: string;
  readonly clip?: string;
  readonly recompute?: string;
  readonly memory?: string;
  readonly live?: readonly string[];
  readonly liveSchedule?: readonly string[];
  readonly only?: string;
  readonly validateEvery?: string;
  readonly windows?: string;
  readonly checkpointEvery?: string;
  readonly keep?: string;
  readonly json?: boolean;
}

export async function train(file: string | undefined, asked: TrainFlags): Promise<ExitCode> {
  const resume = asked.resume === undefined ? null : asked.resume === true ? "last" : wholeNumber("--resume", asked.resume, 0, Number.MAX_SAFE_INTEGER);
  if (resume !== null && asked.weights !== undefined)
    throw new UserError("--resume goes on with the weights of the run: --weights contradicts it", null, EXIT.usage);
  const given = settingsOf(asked);
  const { text, flags } = await askedFor(file, asked, resume === null ? null : await before(asked.output, resume === "last" ? null : resume));
  const model = await trainingModel(text, flags);
  const progress = new Progress();
  const shown = new TrainProgress();
  const stop = new AbortController();
  const restore = onInterrupt(() => {
    shown.clear();
    say("stopping after this step; once more stops at once");
    stop.abort();
  });
  const kept = new Kept();
  const weights = resume === null ? (flags.weights ?? null) : null;
  try {
    const events = run({
      model: model.run,
      data: dataIn(flags.output, flags.data, flags.field),
      ...(flags.tokenizer === undefined ? {} : { tokenizer: flags.tokenizer }),
      ...(flags.field === undefined ? {} : { field: flags.field }),
      output: flags.output,
      settings: given,
      usualContext: usualContext(model.bound),
      resume,
      // Compiling takes long and there is nothing to keep yet: the folder's lock holds nobody back once its process is gone.
      createTrainer: (settings, tunings) =>
        endingAtOnce(() => {
          checkAgainst(settings, model);
          return openTrainer({ text, flags, kind: flags.device ?? null, weights, kept: tunings, progress }, settings);
        }),
      initialValues: (weight, seed) => startingValue(weight, seed, weights, model.run),
      signal: stop.signal,
      onProgress: (stage, done, total) => progress.report(stage, `${Math.floor((100 * done) / Math.max(1, total))}%`),
    });
    for await (const event of events) {
      progress.clear();
      kept.add(event);
      shown.show(event);
    }
  } catch (fault) {
    // Before the first step there is nothing to keep.
    if (stop.signal.aborted && fault === stop.signal.reason) return EXIT.interrupted;
    throw fault;
  } finally {
    restore();
    progress.clear();
    shown.clear();
  }
  report(flags, kept);
  return kept.end?.reason === "finished" ? EXIT.fine : EXIT.interrupted;
}

/** What the options say, and nothing else. */
function settingsOf(flags: TrainFlags): Partial<TrainSettings> {
  const whole = (option: string, text: string | undefined, low = 1): number | undefined =>
    text === undefined ? undefined : wholeNumber(option, text, low, 1e9);
  const real = (option: string, text: string | undefined): number | undefined => (text === undefined ? undefined : numberOf(option, text));
  if (flags.schedule !== undefined && !LEARNING_RATES.includes(flags.schedule)) throw new UserError(`--schedule ${flags.schedule} is none`, null, EXIT.usage);
  const live = liveOf(flags);
  const all = {
    steps: whole("--steps", flags.steps),
    batch: whole("--batch", flags.batch),
    accumulate: whole("--accumulate", flags.accumulate),
    context: whole("--length", flags.length),
    seed: flags.seed === undefined ? undefined : seedOf(flags.seed),
    validation: real("--validation", flags.validation),
    optimizer: flags.optimizer,
    lr: flags.lr === undefined ? undefined : positiveNumber("--lr", flags.lr),
    schedule: flags.schedule,
    warmup: whole("--warmup", flags.warmup, 0),
    minLr: real("--min-lr", flags.minLr),
    decay: whole("--decay", flags.decay),
    weightDecay: real("--weight-decay", flags.weightDecay),
    beta1: real("--beta1", flags.beta1),
    beta2: real("--beta2", flags.beta2),
    eps: real("--eps", flags.eps),
    momentum: real("--momentum", flags.momentum),
    clip: real("--clip", flags.clip),
    live: live === "" ? undefined : live,
    only: flags.only,
    recompute: flags.recompute,
    memory: flags.memory === undefined ? undefined : bytesOf("--memory", flags.memory),
    validateEvery: whole("--validate-every", flags.validateEvery),
    validationWindows: whole("--windows", flags.windows, 0),
    checkpointEvery: whole("--checkpoint-every", flags.checkpointEvery),
    keep: whole("--keep", flags.keep),
  } satisfies { readonly [K in keyof TrainSettings]: TrainSettings[K] | undefined };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as Partial<TrainSettings>; // those that are given
}

/** A line for each live parameter: a value, or values at steps. */
function liveOf({ live = [], liveSchedule = [] }: TrainFlags): string {
  const pairs = [...live.map((text) => splitPair("--live", text)), ...liveSchedule.map((text) => splitPair("--live-schedule", text))];
  const names = pairs.map(([name]) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new UserError(`${twice} is given twice by --live and --live-schedule`, null, EXIT.usage);
  return pairs.map(([name, value]) => `${name}=${value}`).join("\n");
}

/** `0.1`, `5%`, `1e-4` */
function numberOf(option: string, text: string): number {
  const value = parseRatio(text.trim());
  if (value === null || value < 0) throw new UserError(`${option} ${JSON.stringify(text)} is no number from 0 on`, null, EXIT.usage);
  return value;
}

/** What is told at the end. */
class Kept {
  begin: Extract<TrainEvent, { kind: "begin" }> | null = null;
  step: Extract<TrainEvent, { kind: "step" }> | null = null;
  validation: Extract<TrainEvent, { kind: "validation" }> | null = null;
  best: Extract<TrainEvent, { kind: "validation" }> | null = null;
  end: Extract<TrainEvent, { kind: "end" }> | null = null;

  add(event: TrainEvent): void {
    if (event.kind === "begin") this.begin = event;
    if (event.kind === "step") this.step = event;
    if (event.kind === "validation") this.validation = event;
    if (event.kind === "validation" && event.best) this.best = event;
    if (event.kind === "end") this.end = event;
  }
}

function report({ output, json }: TrainFlags, { begin, step, validation, best, end }: Kept): void {
  if (json) {
    outJson({
      output,
      reason: end?.reason ?? null,
      step: end?.step ?? null,
      steps: begin?.steps ?? null,
      checkpoint: end?.checkpoint ?? null,
      loss: step?.metrics.loss ?? null,
      bitsPerByte: step?.bitsPerByte ?? null,
      validation: validation
        ? {
            step: validation.step,
            loss: validation.loss,
            bitsPerByte: validation.bitsPerByte,
            live: validation.live,
            byRule: Object.fromEntries(Object.entries(validation.byRule).map(([rule, { loss, shares }]) => [rule, { loss, shares }])),
          }
        : null,
      best: best ? { step: best.step, loss: best.loss, bitsPerByte: best.bitsPerByte } : null,
    });
    return;
  }
  out(
    `${output}: ${end?.reason === "finished" ? "finished" : "interrupted"} at step ${end?.step ?? 0} of ${begin?.steps ?? 0}${validation ? `; validation at step ${validation.step}: ${validationText({ ...validation, best: false })}` : ""}`,
  );
  if (end?.checkpoint) out(`${end.checkpoint}: the last checkpoint${end.reason === "finished" ? "" : "; --resume goes on from it"}`);
  out(`${output}/report.html: the report`);
}
