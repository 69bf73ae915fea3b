// The interface of a trainer, the device side of training, shared by data, loop and checkpoints.
import type { RateGroup } from "../../compiler/autodiff/train-step.js";

import type { Words } from "../../runtime/index.js";
import type { ProgramWeight } from "../../runtime/program/program.js";

/** Number of runs that may be on the device at once. */
export const IN_FLIGHT = 2;

/** The rows of a batch along a sequence axis. */
export interface Sequences {
  /** Tokens of the longest row. */
  readonly length: number;
  /** Tokens of each row, u32[B]; absent: all rows have `length`. */
  readonly lengths?: Uint32Array;
}

/** Inputs of one micro-batch: rows padded to the longest along their axis. */
export interface Batch extends Sequences {
  /**
   * Tokens, labels or numbers by the name of the objective's input, row-major: [B, T], or as the objective declares the
   * input, such as f32[B].
   */
  readonly inputs: Readonly<Record<string, Uint32Array | Int32Array | Float32Array>>;
  readonly rows: number;
  /** Inputs along several sequence axes: the rows along each, by its name. Then `length` is the longest of all. */
  readonly axes?: Readonly<Record<string, Sequences>>;
  /** The batch's weight in means over batches, such as the number of its targets. Default: its tokens. */
  readonly weight?: number;
}

type Shape = Pick<Batch, "rows" | "length" | "lengths" | "axes">;

/** The rows along an axis. */
export const along = (batch: Shape, axis: string): Sequences => batch.axes?.[axis] ?? batch;

/** Tokens of a batch, without padding; along several axes: of all. */
export const tokensOf = (batch: Shape): number =>
  Object.values(batch.axes ?? { only: batch }).reduce((n, sequences) => n + tokensIn(batch.rows, sequences), 0);

/** Tokens of so many sequences, without padding. */
export const tokensIn = (rows: number, { length, lengths }: Sequences): number =>
  lengths === undefined ? rows * length : lengths.reduce((a, b) => a + b, 0);

/** The batch's weight in means over batches. */
export const weightOf = (batch: Batch): number => batch.weight ?? tokensOf(batch);

/** Settings that change from step to step without compilation. */
export interface StepSettings {
  readonly learningRate: number;
  /**
   * Learning rates of groups of weights, for programs compiled with `ownRates`. Default: `learningRate` for all.
   */
  readonly ownRates?: Readonly<Record<RateGroup, number>>;
  /** Live parameters of the model. */
  readonly live?: Readonly<Record<string, number>>;
}

/** The scale of the loss of a step whose products round their operands to f16. */
export interface Scaling {
  /** What the loss is multiplied by in the next step. */
  readonly scale: number;
  /** Whether the step changed nothing, because its loss or a gradient was not finite. */
  readonly skipped: boolean;
}

export interface StepMetrics {
  /** Number of steps done, including this one. */
  readonly step: number;
  /** The sum of all losses: the objective's own losses and losses added in calls. */
  readonly loss: number;
  /** Each loss by its path. */
  readonly losses: Readonly<Record<string, number>>;
  /** Norm of all gradients together, before clipping. */
  readonly gradientNorm: number;
  /** The scale of the loss after this step; absent: the loss is not scaled. */
  readonly scaling?: Scaling;
  readonly tokens: number;
  /**
   * Seconds since the step began or the previous step ended, whichever is later. If two steps end together, the second
   * has almost none, so speed is measured over several steps.
   */
  readonly seconds: number;
  /** Whether it is the trainer's first step, whose `seconds` include compilation by the driver. */
  readonly first: boolean;
  readonly flops: number;
  /** For each routed layer with a predictor, the share of tokens on which it agrees with the router. */
  readonly agreement: Readonly<Record<string, number>>;
  /** Tokens that layers compute, divided by the tokens that they would compute without routes. */
  readonly computedShare: number;
  /** Loads of the entries of each observed choice, such as experts. */
  readonly loads: Loads;
}

/** For each choice, by path, the number of tokens of a step that chose each entry. */
export type Loads = Readonly<Record<string, EntryLoads>>;

export interface EntryLoads {
  readonly chosen: ArrayLike<number>;
  /** The number of tokens that wished for each entry before a capacity dropped some; null: there is no capacity. */
  readonly wished: ArrayLike<number> | null;
}

/** `top-k` chooses over the whole sequence, as in training; `causal` chooses token by token, as in generation. */
export type Rule = "top-k" | "causal";

/** The choice of a route in a batch. */
export interface RoutedTokens {
  readonly path: string;
  /** The sequence axis of the inputs from whose tokens it chooses. */
  readonly axis: string;
  /** Mask, [B, T]: 1 for tokens that the layer computed. */
  readonly mask: Uint8Array;
}

export interface Evaluation {
  /** Mean of the objective's own loss over all tokens, in nats. */
  readonly loss: number;
  readonly tokens: number;
  /** For each routed layer, the share of tokens it computed. */
  readonly shares: Readonly<Record<string, number>>;
  /** The choices in the first batch. */
  readonly routes?: readonly RoutedTokens[];
}

export interface EvaluateOptions {
  readonly live?: StepSettings["live"];
  readonly signal?: AbortSignal | undefined;
}

/** A tensor of the training state; a weight is named by its path. */
export interface StateTensor {
  readonly dtype: "f32" | "u32";
  readonly shape: readonly number[];
  readonly data: Float32Array | Uint32Array;
}

export interface SampleOptions {
  readonly prompt: ArrayLike<number>;
  /** Tokens that end a text. */
  readonly ends: readonly number[];
  readonly live?: StepSettings["live"];
  /** Values of weights that the trainer does not hold. */
  readonly weights: (weight: ProgramWeight) => Words | Promise<Words>;
  readonly signal?: AbortSignal | undefined;
}

export type TrainingState = ReadonlyMap<string, StateTensor>;

export interface Trainer {
  /** Properties besides the model that determine the bits of results: device, driver, tunings. */
  readonly machine?: Readonly<Record<string, string>>;
  /** Bytes that all its programs take on the device. */
  readonly memory?: number;
  /** The tunings of its programs, as a tunings file's text, which checkpoints store. */
  readonly tunings?: string;
  /**
   * One optimizer step on the gradients of all micro-batches, each weighted by its `weight`. A step without a finite
   * loss changes nothing, and neither does a step that began before the outcome of such a step was known. If the loss
   * is scaled, a step without finite gradients halves the scale, and the next step begins when it has ended.
   */
  step(micro: readonly Batch[], settings: StepSettings, signal?: AbortSignal): Promise<StepMetrics>;
  /** Evaluates the current model. Unset live parameters have their defaults. */
  evaluate(batches: AsyncIterable<Batch>, rule: Rule, options?: EvaluateOptions): Promise<Evaluation>;
  /** Continues a prompt by the causal rule with the current weights. Absent: it was opened without samples. */
  sample?(options: SampleOptions): Promise<readonly number[]>;
  state(): Promise<TrainingState>;
  restore(state: TrainingState): Promise<void>;
  /**
   * For a step without a finite loss, describes the first non-finite value: its layer, operator and line. All later
   * steps must have ended.
   */
  whyNotFinite(step: number, micro: readonly Batch[], settings: StepSettings): Promise<string>;
  dispose(): void;
}
