// Evaluates a model on records: its loss as means over targets or records, and the shares that its routes compute.
import { pathsOfRoutes } from "../../../runtime/program/observed.js";
import { openData, type OpenDataOptions } from "../../train/data-node.js";
import type { TrainingData } from "../../train/data.js";
import { evaluateText, type Evaluated } from "../../train/evaluate.js";
import { TrainError } from "../../train/errors.js";
import { unitOf, type TrainingModel } from "../../train/model.js";
import type { Rule } from "../../train/types.js";
import { onDevice } from "../run/execute.js";
import { compileFile } from "../source/frontend.js";
import { jobFor, PHASES, type EvaluatedRule } from "./evaluated-rule.js";

/** Opens the records that are evaluated: the held-out share, or all. */
export function openEvaluated(
  options: OpenDataOptions,
  model: TrainingModel,
  {
    context,
    rows,
    share,
    most,
  }: { readonly context: number; readonly rows: number; readonly share: number; readonly most: number },
): Promise<TrainingData> {
  const validation = share === 0 ? 1 : share;
  return openData(options, model.run, { batch: rows, context, seed: 0, validation, validationWindows: most });
}

/** The loss and the shares of records by one rule. */
export async function evaluateRecords(
  evaluated: Omit<EvaluatedRule, "corpus" | "windows" | "phase" | "observe">,
  data: TrainingData,
  rule: Rule,
): Promise<Evaluated> {
  const { opened, flags, model, rows, progress, show } = evaluated;
  if (data.validation === null) throw new TrainError("bad-data", `${flags.data} holds no records to evaluate`);
  const compiled = await compileFile(opened, { ...flags, phase: PHASES[rule], enter: "objective" }, { show });
  const routes = pathsOfRoutes(compiled.program.outputs);
  const losses = model.run.own.map((path) => `loss.${path}`);
  const batches = data.validation();
  return onDevice(jobFor(evaluated, compiled, rows), flags.device ?? null, ({ session }) =>
    evaluateText(session, { losses, routes }, batches, {
      onBatch: (tokens) => progress.report("evaluating records", `${tokens} ${unitOf(model.run)}`),
    }),
  );
}
