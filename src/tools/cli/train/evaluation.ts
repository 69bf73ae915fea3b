// Evaluates a model on a text under both rules, for commands that report its loss or its routes.
import { pathsOfRoutes } from "../../../runtime/program/observed.js";
import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expectComparable } from "../../train/contrast.js";
import { openCorpus, type Corpus } from "../../train/corpus-node.js";
import { areRecords, expectText, recordSettings } from "../../train/data-node.js";
import { findSources } from "../../train/sources-node.js";
import type { Deviation } from "../../train/deviation.js";
import { evaluateText, type Evaluated } from "../../train/evaluate.js";
import { expectFits } from "../../train/text-data-node.js";
import { usualContext, type TrainingModel } from "../../train/model.js";
import type { Rule } from "../../train/types.js";
import type { ModelWeights, OpenedModel } from "../../../models/opened/model.js";
import { openDevice, RuntimeError, type Device } from "../../../runtime/index.js";
import { leftover } from "../../../runtime/node.js";
import { split, wholeWindows, type Window } from "../../train/windows.js";
import { beyondLength } from "../source/beyond-bound.js";
import { evaluateRecords, openEvaluated } from "./evaluated-records.js";
import { dataIn, textIn, checkedModel } from "./training.js";
import { recordsIn } from "../source/record-flags.js";
import { wantedDevice } from "../source/device.js";
import { showingOnce } from "../terminal/diagnostics.js";
import { UserError } from "../terminal/exit.js";
import { onDevice } from "../run/execute.js";
import { makePrivateFolder, STDIN } from "../source/files.js";
import { compileFile } from "../source/frontend.js";
import { expectWeights } from "../source/model-file.js";
import { Progress, say } from "../terminal/terminal.js";
import {
  batchesIn,
  jobOf,
  reading,
  PHASES,
  type EvaluatedRule,
  type EvaluationFlags,
  type Observe,
} from "./evaluated-rule.js";
import { evenly, observeLogits, type ObserveLogits } from "./logits.js";

/** The results of one rule, and the deviation from f32 weights, if other weights were requested. */
export type RuleFound = Evaluated & { readonly deviation: Deviation | null };

/** The losses and shares of each requested rule. */
export interface Found {
  readonly model: TrainingModel;
  /** Null: the data are records. */
  readonly corpus: Pick<Corpus, "tokens" | "bytes"> | null;
  /** Bytes of text for each target; null if they are not known, or if the loss is no likelihood of tokens. */
  readonly bytesPerToken: number | null;
  readonly rules: ReadonlyMap<Rule, RuleFound>;
}

/**
 * What `evaluateRules` begins with, looked for before other work: an objective, the text, a tokenizer. Throws as it
 * does.
 */
export async function expectEvaluable(opened: OpenedModel, flags: EvaluationFlags): Promise<void> {
  await checkedModel(opened, flags, () => undefined); // warnings come when it is evaluated
  if (flags.data !== STDIN) await findSources(flags.data);
  if (opened.tokenizer !== null) await opened.texts();
}

/** Runs the objective over the text, and, to be seen by `logits`, the forward pass of the last rule. */
export async function evaluateRules(
  opened: OpenedModel,
  flags: EvaluationFlags,
  observe: Observe | null = null,
  logits: ObserveLogits | null = null,
  weights: ModelWeights | null = opened.weights,
): Promise<Found> {
  expectWeights(opened);
  const most = flags.windows ?? 0;
  const show = showingOnce();
  const model = await checkedModel(opened, flags, show);
  const compares = model.run.compares === true;
  // A loss that compares the records of a batch is a run's own only with the run's batch.
  const rows = flags.batch ?? (compares ? flags.ownBatch : undefined) ?? 8;
  if (compares) expectComparable({ accumulate: 1, batch: rows });
  const context = flags.length ?? Math.min(flags.ownContext ?? usualContext(model.bound), model.bound ?? Infinity);
  if (model.bound !== null && context > model.bound) throw beyondLength(context, model.bound, model.run.name);
  if (weights === null) say(`note: no --weights: the model starts from seed ${flags.seed ?? 0} and is untrained`);
  await weights?.fitted(model.run);
  const progress = new Progress();
  const records = await holdRecords(flags, model);
  if (records && (observe || logits))
    throw new UserError(`${flags.data} holds records, and the command reads texts`, "give a text: --data");
  if (records) return evaluatedOnRecords(opened, flags, { model, weights, context, rows, most, progress, show });
  expectText(flags.text !== undefined || flags.data === STDIN ? "standard input" : flags.data, recordsIn(flags));
  const corpus = await openedOnce(opened, flags);
  let device: Device | null = null;
  try {
    const name = flags.text !== undefined || flags.data === STDIN ? "the text" : flags.data;
    expectFits(corpus.largestToken, name, model.run.vocabulary);
    const windows = windowsOf(corpus, context, flags.validation ?? 0, most);
    progress.report("opening the device");
    device = await openDevice(wantedDevice(flags));
    const rules: readonly Rule[] = flags.rule !== undefined ? [flags.rule] : model.run.rules;
    const found = new Map<Rule, RuleFound>();
    const common = { opened, weights, flags, model, corpus, device, windows, rows, context, progress, observe, show };
    for (const rule of rules) found.set(rule, await evaluateRule({ ...common, phase: PHASES[rule] }, rule));
    // By the causal rule, if there are both.
    const rule = rules.at(-1)!;
    if (logits) await observeLogits({ ...common, phase: PHASES[rule] }, logits, rule);
    const { tokens, bytes } = corpus;
    return {
      model,
      corpus: { tokens, bytes },
      bytesPerToken: model.run.likelihood ? bytes / tokens : null,
      rules: found,
    };
  } finally {
    progress.clear();
    device?.destroy();
    await corpus.close();
  }
}

const holdRecords = async (flags: EvaluationFlags, model: TrainingModel): Promise<boolean> =>
  flags.text === undefined &&
  flags.data !== STDIN &&
  (await areRecords(await findSources(flags.data), recordSettings(recordsIn(flags), null), model.run));

interface OnRecords {
  readonly model: TrainingModel;
  readonly weights: ModelWeights | null;
  readonly context: number;
  readonly rows: number;
  readonly most: number;
  readonly progress: Progress;
  readonly show: EvaluatedRule["show"];
}

/** The losses and shares of records, which have no windows: nothing else is measured on them. */
async function evaluatedOnRecords(opened: OpenedModel, flags: EvaluationFlags, on: OnRecords): Promise<Found> {
  const { model, context, rows, most, progress } = on;
  if (flags.weightsAs !== undefined && flags.weightsAs !== "f32" && flags.ownBlocks !== true)
    say("note: the change by --weights-as is measured on texts alone");
  const data = await inTemporary((cache) =>
    openEvaluated(
      {
        data: flags.data,
        ...(opened.tokenizer === null ? {} : { tokenizer: opened.tokenizer }),
        ...recordSettings(recordsIn(flags), opened.run?.manifest.begun ?? null),
        cache,
      },
      model,
      { context, rows, share: flags.validation ?? 0, most },
    ),
  );
  let device: Device | null = null;
  try {
    for (const note of data.notes) say(`note: ${note}`);
    progress.report("opening the device");
    device = await openDevice(wantedDevice(flags));
    const found = new Map<Rule, RuleFound>();
    for (const rule of flags.rule !== undefined ? [flags.rule] : model.run.rules) {
      const evaluated = await evaluateRecords({ ...on, opened, flags, device }, data, rule);
      expectFinite(evaluated, rule, model);
      found.set(rule, { ...evaluated, deviation: null });
    }
    return { model, corpus: null, bytesPerToken: model.run.likelihood ? data.bytesPerToken : null, rules: found };
  } finally {
    progress.clear();
    device?.destroy();
    await data.close();
  }
}

/** The text's tokens, in a temporary file. */
const openedOnce = ({ tokenizer }: OpenedModel, flags: EvaluationFlags): Promise<Corpus> =>
  inTemporary((cache) =>
    openCorpus({
      data: flags.text === undefined ? dataIn(cache, flags.data, flags.field) : textIn(cache, flags.text),
      ...(tokenizer === null ? {} : { tokenizer }),
      ...(flags.field === undefined ? {} : { field: flags.field }),
      cache,
    }),
  );

/** Opens data whose files are in a temporary folder, which goes with it. */
async function inTemporary<T extends { close(): Promise<void> }>(open: (folder: string) => Promise<T>): Promise<T> {
  const cache = join(tmpdir(), `modc-eval-${randomBytes(6).toString("hex")}`);
  const gone = leftover(cache);
  const remove = (): void => {
    rmSync(cache, { recursive: true, force: true });
    gone();
  };
  try {
    makePrivateFolder(cache);
    const data = await open(cache);
    // On Windows an open file cannot be removed; elsewhere it is removed at once.
    if (process.platform !== "win32") remove();
    return { ...data, close: () => data.close().finally(remove) };
  } catch (fault) {
    remove();
    throw fault;
  }
}

/** Windows of the whole text, or of its last share, which training holds out: `most` evenly spaced ones; 0: all. */
function windowsOf({ tokens }: Corpus, context: number, share: number, most: number): readonly Window[] {
  if (tokens < 2) throw new UserError("the text has only one token, so there is nothing to predict");
  const from = share === 0 ? 0 : split(tokens, context, share).boundary;
  const windows = wholeWindows(from, tokens, context);
  return most === 0 ? windows : evenly(windows, most);
}

async function evaluateRule(evaluated: EvaluatedRule, rule: Rule): Promise<RuleFound> {
  const { opened, flags, phase, model, windows, rows, observe, show } = evaluated;
  const compiled = await compileFile(opened, { ...flags, phase, enter: "objective" }, { show });
  const { program } = compiled;
  const found = await onDevice(jobOf(evaluated, compiled, windows, rows), flags.device ?? null, ({ session }) => {
    const routes = pathsOfRoutes(program.outputs);
    const losses = model.run.own.map((path) => `loss.${path}`);
    return evaluateText(session, { losses, routes }, batchesIn(evaluated, windows, rows), {
      ...(observe && { onResults: (results, batch) => observe(rule, results, batch, program) }),
      onBatch: reading(evaluated, `evaluating${byRule(rule, model.run)}`, windows),
    });
  });
  expectFinite(found, rule, model);
  if (flags.weightsAs === undefined || flags.weightsAs === "f32" || flags.ownBlocks === true)
    return { ...found, deviation: null };
  const { evaluateDeviation } = await import("./logits.js");
  return { ...found, deviation: await evaluateDeviation(evaluated, `comparing with f32${byRule(rule, model.run)}`) };
}

function expectFinite({ loss }: Evaluated, rule: Rule, model: TrainingModel): void {
  if (Number.isFinite(loss)) return;
  throw new RuntimeError("bad-weights", `the model's loss${byRule(rule, model.run)} is not a finite number`, {
    hint: "check that the weights belong to the model",
  });
}

/** ` by top-k`; nothing for a model without routes, which has one rule. */
export const byRule = (rule: Rule, { routed }: { readonly routed: boolean }): string =>
  routed || rule === "causal" ? ` by ${nameOf(rule)}` : "";

export const nameOf = (rule: Rule): string => (rule === "causal" ? "the causal rule" : "top-k");
