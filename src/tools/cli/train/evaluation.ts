// Evaluates a model on a text under both rules, for commands that report its loss or its routes.
import { pathsOfRoutes } from "../../../runtime/program/observed.js";
import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openCorpus, type Corpus } from "../../train/corpus-node.js";
import { findSources } from "../../train/sources-node.js";
import type { Deviation } from "../../train/deviation.js";
import { evaluateText, type Evaluated } from "../../train/evaluate.js";
import { expectFits } from "../../train/run-node.js";
import { usualContext, type TrainingModel } from "../../train/model.js";
import type { Rule } from "../../train/types.js";
import type { ModelWeights, OpenedModel } from "../../../models/opened/model.js";
import { openDevice, RuntimeError, type Device } from "../../../runtime/index.js";
import { leftover } from "../../../runtime/node.js";
import { split, wholeWindows, type Window } from "../../train/windows.js";
import { beyondLength } from "../source/beyond-bound.js";
import { dataIn, textIn, checkedModel } from "./training.js";
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
  readonly corpus: Pick<Corpus, "tokens" | "bytes">;
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
  const rows = flags.batch ?? 8;
  const most = flags.windows ?? 0;
  const show = showingOnce();
  const model = await checkedModel(opened, flags, show);
  const context = flags.length ?? Math.min(flags.ownContext ?? usualContext(model.bound), model.bound ?? Infinity);
  if (model.bound !== null && context > model.bound) throw beyondLength(context, model.bound, model.run.name);
  if (weights === null) say(`note: no --weights: the model starts from seed ${flags.seed ?? 0} and is untrained`);
  await weights?.fitted(model.run);
  const progress = new Progress();
  const corpus = await openedOnce(opened, flags);
  let device: Device | null = null;
  try {
    expectFits(corpus, {
      data: flags.text !== undefined || flags.data === STDIN ? "the text" : flags.data,
      model: model.run,
    });
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
    return { model, corpus: { tokens: corpus.tokens, bytes: corpus.bytes }, rules: found };
  } finally {
    progress.clear();
    device?.destroy();
    await corpus.close();
  }
}

/** The text's tokens, in a temporary file. */
async function openedOnce({ tokenizer }: OpenedModel, flags: EvaluationFlags): Promise<Corpus> {
  const cache = join(tmpdir(), `modc-eval-${randomBytes(6).toString("hex")}`);
  const gone = leftover(cache);
  const remove = (): void => {
    rmSync(cache, { recursive: true, force: true });
    gone();
  };
  try {
    makePrivateFolder(cache);
    const corpus = await openCorpus({
      data: flags.text === undefined ? dataIn(cache, flags.data, flags.field) : textIn(cache, flags.text),
      ...(tokenizer === null ? {} : { tokenizer }),
      ...(flags.field === undefined ? {} : { field: flags.field }),
      cache,
    });
    // On Windows an open file cannot be removed; elsewhere it is removed at once.
    if (process.platform !== "win32") remove();
    return { ...corpus, close: () => corpus.close().finally(remove) };
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
      onBatch: reading(evaluated, `evaluating by ${nameOf(rule)}`, windows),
    });
  });
  if (!Number.isFinite(found.loss))
    throw new RuntimeError("bad-weights", `the model's loss by ${nameOf(rule)} is not a finite number`, {
      hint: "check that the weights belong to the model",
    });
  if (flags.weightsAs === undefined || flags.weightsAs === "f32" || flags.ownBlocks === true)
    return { ...found, deviation: null };
  const { evaluateDeviation } = await import("./logits.js");
  return { ...found, deviation: await evaluateDeviation(evaluated, `comparing with f32 by ${nameOf(rule)}`) };
}

export const nameOf = (rule: Rule): string => (rule === "causal" ? "the causal rule" : "top-k");
