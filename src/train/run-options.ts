// What a run of training is given: the model, the text, and the options.
import type { Program, ProgramWeight } from "../program/program.js";
import type { Words } from "../runtime/index.js";
import type { TextInputs } from "./batches.js";
import type { TrainSettings } from "./options.js";
import type { Rule, Trainer } from "./types.js";

/** What a run needs to know of a model. */
export interface RunModel extends Pick<Program, "weights" | "ignore"> {
  readonly name: string;
  readonly parameters: Readonly<Record<string, string>>;
  /** Those that were given, as expressions. */
  readonly set: Readonly<Record<string, string>>;
  /** Its source and what it imports, its own first. */
  readonly sources: readonly { readonly path: string; readonly text: string }[];
  readonly inputs: TextInputs;
  /** Tokens must be below this; null: any may come. */
  readonly vocabulary: number | null;
  /** Paths of the objective's own losses. */
  readonly own: readonly string[];
  /** Whether a layer chooses tokens. */
  readonly routed: boolean;
  /** What validation is by: both rules where a layer chooses tokens and the model can generate. */
  readonly rules: readonly Rule[];
}

export interface TextOptions {
  /** A file, a folder, or an installed package. */
  readonly data: string;
  /** A `tokenizer.json`; without one, bytes. */
  readonly tokenizer?: string;
  /** The field of JSONL that holds the text. */
  readonly field?: string;
}

export interface RunOptions extends TextOptions {
  readonly model: RunModel;
  /** The folder of the run. */
  readonly output: string;
  /** What is not given takes its usual value, or the checkpoint's where the run goes on. */
  readonly settings: Partial<TrainSettings>;
  /** Tokens of a sequence where neither says. */
  readonly usualContext: number;
  /** The checkpoint to go on from: the last, or that of a step. Null: begin. */
  readonly resume: "last" | number | null;
  /**
   * Called once, when everything else is known to be right. `tunings`: those of the checkpoint that the run goes on
   * from, as it keeps them; null: there are none.
   */
  readonly createTrainer: (settings: TrainSettings, tunings: string | null) => Promise<Trainer>;
  /** Starting value of a weight that the trainer does not hold. */
  readonly initialValues: (weight: ProgramWeight, seed: number) => Words | Promise<Words>;
  /** Aborted: the step under way is finished and a checkpoint written. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (stage: string, done: number, total: number) => void;
}
