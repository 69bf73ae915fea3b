// A rule by which a model is evaluated on a text, and all that this needs.
import type { Program } from "../../../runtime/program/program.js";
import type { ModelWeights, OpenedModel } from "../../../models/open.js";
import type { Device, Results } from "../../../runtime/index.js";
import type { Corpus } from "../../train/corpus-node.js";
import type { TrainingModel } from "../../train/model.js";
import type { Batch, Rule } from "../../train/types.js";
import type { Window } from "../../train/windows.js";
import type { showDiagnostics } from "../terminal/diagnostics.js";
import type { Progress } from "../terminal/terminal.js";
import type { Flags } from "../tree/declare.js";
import type { trainingCommands } from "../tree/training.js";

/** The flags of `eval`, with a text. */
export type EvaluationFlags = Flags<typeof trainingCommands.eval> & {
  readonly data: string;
  /** A text that is read in place of `data`. */
  readonly text?: string;
  /** The default length of windows for a run: its training context, if the model allows it. */
  readonly ownContext?: number;
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

/** The extents of a program's axes for so many windows at once. */
export const extentsFor = (
  { axes }: Program,
  { rows, windows, context }: Pick<EvaluatedRule, "rows" | "windows" | "context">,
): ReadonlyMap<string, number> =>
  new Map(
    axes.flatMap((axis): [string, number][] => {
      if (axis.role === "batch") return [[axis.name, Math.min(rows, windows.length)]];
      return axis.role === "sequence" && axis.count.kind === "input" ? [[axis.name, context]] : [];
    }),
  );
