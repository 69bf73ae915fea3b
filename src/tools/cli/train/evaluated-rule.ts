// A rule by which a model is evaluated on a text, and all that this needs: batches of the text and jobs on the device.
import type { Program } from "../../../runtime/program/program.js";
import type { ModelWeights, OpenedModel } from "../../../models/opened/model.js";
import type { Device, Results } from "../../../runtime/index.js";
import type { Corpus } from "../../train/corpus-node.js";
import type { TrainingModel } from "../../train/model.js";
import { batchesOf } from "../../train/batches.js";
import type { Batch, Rule } from "../../train/types.js";
import type { Window } from "../../train/windows.js";
import type { onDevice } from "../run/execute.js";
import type { Finished } from "../source/frontend.js";
import type { showDiagnostics } from "../terminal/diagnostics.js";
import type { TextInputs } from "../../../language/check/model/text-inputs.js";
import { UserError } from "../terminal/exit.js";
import type { Progress } from "../terminal/terminal.js";
import { percent } from "../terminal/units.js";
import type { Flags } from "../tree/declare.js";
import type { trainingCommands } from "../tree/training.js";

/** The flags of `eval`, with a text. */
export type EvaluationFlags = Flags<typeof trainingCommands.eval> & {
  readonly data: string;
  /** A text that is read in place of `data`. */
  readonly text?: string;
  /** The default length of windows for a run: its training context, if the model allows it. */
  readonly ownContext?: number;
  /** The run's batch: the default if the loss compares the records of a batch. */
  readonly ownBatch?: number;
  /** Whether `weightsAs` is the file's own type of blocks, from which nothing deviates. */
  readonly ownBlocks?: boolean;
};

export const PHASES = { "top-k": "infer", causal: "generate" } as const;

/** Called with the results of each batch, including observed routes, and the program that gave them. */
export type Observe = (rule: Rule, results: Results, batch: Batch, program: Program) => void;

/** A rule and all that its evaluation needs. */
export interface EvaluatedRule {
  readonly opened: OpenedModel;
  /** Those that are evaluated: the model's, or others; null: they start from the seed. */
  readonly weights: ModelWeights | null;
  readonly flags: EvaluationFlags;
  readonly phase: (typeof PHASES)[Rule];
  readonly model: TrainingModel;
  readonly corpus: Corpus;
  /** Both rules run on it. */
  readonly device: Device;
  readonly windows: readonly Window[];
  readonly rows: number;
  readonly context: number;
  readonly progress: Progress;
  readonly observe: Observe | null;
  readonly show: typeof showDiagnostics;
}

/** Batches of windows, `rows` at once. */
export const batchesIn = (
  { corpus, model, context }: EvaluatedRule,
  windows: readonly Window[],
  rows: number,
): ReturnType<typeof batchesOf> => batchesOf(windows, { corpus, inputs: textInputsOf(model), rows, context });

/** The inputs that a text fills. Throws UserError if the objective takes others. */
export function textInputsOf({ run }: TrainingModel): TextInputs {
  if (run.inputs !== null) return run.inputs;
  const names = run.declared.inputs.map(({ name }) => name).join(", ");
  throw new UserError(
    `the objective of ${run.name} takes ${names}, which a text cannot fill`,
    "give records: JSONL, Parquet or Arrow with a column for each",
  );
}

/** The job of a compiled program that reads `rows` of the windows at once. */
export const jobOf = (
  evaluated: EvaluatedRule,
  compiled: Pick<Finished, "program" | "forTarget">,
  windows: readonly Window[],
  rows: number,
): Parameters<typeof onDevice>[0] => jobFor(evaluated, compiled, Math.min(rows, windows.length));

/** The job of a compiled program that reads `rows` sequences at once. */
export function jobFor(
  {
    flags,
    weights,
    progress,
    device,
    context,
  }: Pick<EvaluatedRule, "flags" | "weights" | "progress" | "device" | "context">,
  { program, forTarget }: Pick<Finished, "program" | "forTarget">,
  rows: number,
): Parameters<typeof onDevice>[0] {
  const extents = program.axes.flatMap((axis): [string, number][] => {
    if (axis.role === "batch") return [[axis.name, rows]];
    return axis.role === "sequence" && axis.count.kind === "input" ? [[axis.name, context]] : [];
  });
  const { tunings, live = {}, seed = 0 } = flags;
  return { program, forTarget, tunings, weights, live, seed, progress, device, extents: new Map(extents) };
}

/** Shows how much of the windows was read, by the tokens of each batch. */
export function reading(
  { progress }: EvaluatedRule,
  title: string,
  windows: readonly Window[],
): (tokens: number) => void {
  const total = windows.reduce((n, w) => n + w.length, 0);
  return (tokens) => progress.report(title, `${Math.floor((100 * tokens) / total)}%`);
}

/** The mean of shares as a percentage; `-` if there are none. */
export function meanOfShares(shares: Readonly<Record<string, number>>): string {
  const all = Object.values(shares);
  return percent(
    all.reduce((a, b) => a + b, 0),
    all.length,
  );
}
