// The inputs of a training run: the model, the data, and the options.
import type { Program, ProgramWeight } from "../../runtime/program/program.js";
import type { BaseRecord } from "../../runtime/weights/base-node.js";
import type { Words } from "../../runtime/index.js";
import type { Range } from "../../language/check/model/input-ranges.js";
import type { Model } from "../../language/check/model/model.js";
import type { TextInputs } from "../../language/check/model/text-inputs.js";
import type { DataOptions } from "./data.js";
import type { TrainSettings } from "./options.js";
import type { Rule, Trainer } from "./types.js";

/** The properties of a model that a run needs. */
export interface RunModel extends Pick<Program, "weights" | "ignore"> {
  readonly name: string;
  readonly parameters: Readonly<Record<string, string>>;
  /** The parameters that the caller set, as expressions. */
  readonly set: Readonly<Record<string, string>>;
  /** Whether nothing is skipped: choices of tokens take all tokens. */
  readonly dense: boolean;
  /** The model's source file, then the files it imports. */
  readonly sources: readonly { readonly path: string; readonly text: string }[];
  /** The inputs that a text fills; null: records alone fill the objective. */
  readonly inputs: TextInputs | null;
  /** The inputs of the objective. */
  readonly declared: Pick<Model, "name" | "inputs" | "axes">;
  /** The whole numbers that inputs take as indices or labels. Absent: a run checks them. */
  readonly ranges?: ReadonlyMap<string, Range>;
  /** Tokens must be below this; null: any token is allowed. */
  readonly vocabulary: number | null;
  /** Paths of the objective's own losses. */
  readonly own: readonly string[];
  /** Whether the own loss is a mean negative log-likelihood of tokens, which bits per byte and perplexity describe. */
  readonly likelihood: boolean;
  /** Whether any layer is routed. */
  readonly routed: boolean;
  /** Whether a loss compares the sequences of a step with each other. Default: no. */
  readonly compares?: boolean;
  /** The rules of validation: both if a layer is routed and the model can generate; otherwise top-k. */
  readonly rules: readonly Rule[];
}

export interface RunOptions extends DataOptions {
  readonly model: RunModel;
  /** The folder of the run. */
  readonly output: string;
  /** Settings that differ from the defaults or, in a resumed run, from the checkpoint's. */
  readonly settings: Partial<TrainSettings>;
  /** The default context, if neither settings nor checkpoint specify one. */
  readonly usualContext: number;
  /** The checkpoint to resume from: the last, or the checkpoint of a step. Null: a new run. */
  readonly resume: "last" | number | null;
  /**
   * Called once, after everything else was checked. `tunings`: the checkpoint's tunings file as text; null: none.
   * `weights`: the checkpoint's weights, if some are not states that the trainer restores; else null.
   */
  readonly createTrainer: (
    settings: TrainSettings,
    tunings: string | null,
    weights: ((weight: ProgramWeight) => Words) | null,
  ) => Promise<Trainer>;
  /** The location of the weights that checkpoints of a new run omit. Default: checkpoints hold all weights. */
  readonly base?: BaseRecord | null;
  /** Initial value of a weight that the trainer does not hold. */
  readonly initialValues: (weight: ProgramWeight, seed: number) => Words | Promise<Words>;
  /** Whether to write the log's figures for TensorBoard too. Default false. */
  readonly tensorboard?: boolean;
  /** If aborted, the step under way is finished and a checkpoint is written. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (stage: string, done: number, total: number) => void;
}
