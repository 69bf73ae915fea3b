// What training asks of a trainer: the device side of it, behind an interface that data, loop and checkpoints share.

/** Runs that are handed to the device while the one before still runs. */
export const IN_FLIGHT = 2;

/** Inputs of one micro-batch: rows of equal length. */
export interface Batch {
  /** By the objective's input; row-major, [B, T]. */
  readonly inputs: Readonly<Record<string, Uint32Array | Int32Array>>;
  readonly rows: number;
  readonly length: number;
}

/** What changes from step to step without compiling. */
export interface StepSettings {
  readonly learningRate: number;
  /** Live parameters of the model. */
  readonly live?: Readonly<Record<string, number>>;
}

export interface StepMetrics {
  /** Steps done, this one included. */
  readonly step: number;
  /** The objective's own loss and all that calls added. */
  readonly loss: number;
  /** Each loss by its path. */
  readonly losses: Readonly<Record<string, number>>;
  /** Of all weights together, before clipping. */
  readonly gradientNorm: number;
  readonly tokens: number;
  /**
   * Since the step was begun, or the one before was heard of where that was later. Of two that are heard of together
   * the second has next to none: speed is that of several steps.
   */
  readonly seconds: number;
  /** Whether it is the trainer's first: drivers compile kernels in it, and `seconds` has that too. */
  readonly first: boolean;
  readonly flops: number;
  /** For each routed layer with a predictor, the share of tokens on which it agrees with the router. */
  readonly agreement: Readonly<Record<string, number>>;
  /** Tokens that layers compute, over those they would without routes. */
  readonly computedShare: number;
}

/** `top-k` sees the whole sequence, as in training; `causal` chooses token by token, as when generating. */
export type Rule = "top-k" | "causal";

export interface Evaluation {
  /** Mean of the objective's own loss over all tokens, in nats. */
  readonly loss: number;
  readonly tokens: number;
  /** Of each routed layer, the share of tokens it computed. */
  readonly shares: Readonly<Record<string, number>>;
  /** Of the first batch: 1 for each token [B, T] that a layer computed. */
  readonly routes?: readonly { readonly path: string; readonly mask: Uint8Array }[];
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

export type TrainingState = ReadonlyMap<string, StateTensor>;

export interface Trainer {
  /** What the bits of its results depend on beside the model: device, driver, tunings. */
  readonly machine?: Readonly<Record<string, string>>;
  /** The tunings of its programs, as the text of a file of them: checkpoints keep it. */
  readonly tunings?: string;
  /**
   * One step of the optimiser on the gradients of all micro-batches together. One that gives no finite loss changes
   * nothing, and neither does one that was begun before it was known how such a step ended.
   */
  step(micro: readonly Batch[], settings: StepSettings, signal?: AbortSignal): Promise<StepMetrics>;
  /** Of the model as it is, with these values of live parameters; those that are not given have their defaults. */
  evaluate(batches: AsyncIterable<Batch>, rule: Rule, options?: EvaluateOptions): Promise<Evaluation>;
  state(): Promise<TrainingState>;
  restore(state: TrainingState): Promise<void>;
  /**
   * Of a step that gave no finite loss, which value went wrong first: the layer, the operator and its line. All steps
   * begun since must have ended.
   */
  whyNotFinite(step: number, micro: readonly Batch[], settings: StepSettings): Promise<string>;
  dispose(): void;
}
