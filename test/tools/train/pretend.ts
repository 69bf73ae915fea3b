// A trainer without a device: its weights are a hash of all inputs, so that a different batch, rate or seed changes
// them.
import type {
  Batch,
  EvaluateOptions,
  Evaluation,
  Loads,
  Rule,
  Scaling,
  StateTensor,
  StepMetrics,
  StepSettings,
  Trainer,
  TrainingState,
} from "../../../src/tools/train/types.js";
import type { RunModel, RunOptions } from "../../../src/tools/train/run-options.js";
import { WEIGHTS } from "./contents.js";

export interface Pretence {
  /** Steps at which the loss is no number. */
  readonly diverges?: number;
  /** The scale of the loss after a step; a step that is skipped changes no weight. By default there is no scale. */
  readonly scaling?: (step: number) => Scaling;
  /** Called before each step. */
  readonly before?: (step: number) => void | Promise<void>;
  readonly onEvaluate?: (rule: Rule, live: EvaluateOptions["live"]) => void;
  /** Loads of experts in a step; by default there are none. */
  readonly loads?: (step: number) => Loads;
  /** The share of tokens that predictors keep; by default about as many as are to be computed. */
  readonly keeps?: number;
}

export class PretendTrainer implements Trainer {
  #steps = 0;
  /** Number of steps asked for. The trainer does them in order. */
  #given = 0;
  #queue: Promise<void> = Promise.resolve();
  #weights = Float32Array.from({ length: 64 * 32 }, (_, i) => i / 2048);
  readonly #pretence: Pretence;
  disposed = false;

  constructor(pretence: Pretence = {}) {
    this.#pretence = pretence;
  }

  async step(micro: readonly Batch[], { learningRate, live }: StepSettings): Promise<StepMetrics> {
    const step = ++this.#given;
    const before = this.#queue;
    let done = (): void => undefined;
    this.#queue = new Promise((resolve) => (done = resolve));
    await before;
    try {
      return await this.#step(step, micro, { learningRate, ...(live ? { live } : {}) });
    } finally {
      done();
    }
  }

  async #step(step: number, micro: readonly Batch[], { learningRate, live }: StepSettings): Promise<StepMetrics> {
    await this.#pretence.before?.(step);
    if (this.#pretence.diverges === step) return this.#metrics(step, Number.NaN, micro);
    this.#steps = step;
    const scaling = this.#pretence.scaling?.(step);
    if (scaling?.skipped)
      return { ...this.#metrics(step, this.#loss(step), micro), gradientNorm: Number.POSITIVE_INFINITY };
    let h = Math.fround(learningRate + (live?.["capacity"] ?? 0));
    for (const { inputs } of micro)
      for (const values of Object.values(inputs))
        for (const [i, x] of values.entries()) h = Math.fround(h * 0.97 + x * (1 + (i % 7)));
    for (let i = 0; i < this.#weights.length; i++)
      this.#weights[i] = Math.fround(this.#weights[i]! * 0.9 + h / (i + 1));
    return this.#metrics(step, this.#loss(step), micro);
  }

  /** Falls as a real one does, with noise. */
  #loss(step: number): number {
    return (
      1.35 +
      4.2 * Math.exp(-step / 60) +
      0.6 * Math.exp(-step / 500) +
      0.09 * Math.sin(step * 12.9898) * Math.cos(step * 4.1)
    );
  }

  #metrics(step: number, loss: number, micro: readonly Batch[]): StepMetrics {
    const tokens = micro.reduce((n, b) => n + b.rows * b.length, 0);
    const rise = (rate: number): number => 0.97 - 0.42 * Math.exp(-step / rate) + 0.02 * Math.sin(step * rate);
    return {
      step,
      loss: loss + 0.02,
      losses: { next_token: loss, "layers.1.predictor": 0.01, "layers.3.predictor": 0.01 },
      gradientNorm: 0.4 + 3 * Math.exp(-step / 30) + 0.2 * Math.abs(Math.sin(step * 3.3)),
      ...(this.#pretence.scaling && { scaling: this.#pretence.scaling(step) }),
      tokens,
      first: step === 1,
      seconds: 0.2 + 0.02 * Math.sin(step * 1.7),
      flops: 4.2e9,
      agreement: { "layers.1": rise(90), "layers.3": rise(160), "layers.5": rise(260) },
      computedShare: 0.125,
      loads: this.#pretence.loads?.(step) ?? {},
    };
  }

  async evaluate(
    batches: AsyncIterable<Batch>,
    rule: Rule,
    { live, signal }: EvaluateOptions = {},
  ): Promise<Evaluation> {
    this.#pretence.onEvaluate?.(rule, live);
    let tokens = 0;
    let first: Batch | null = null;
    for await (const batch of batches) {
      signal?.throwIfAborted();
      first ??= batch;
      tokens += batch.rows * batch.length;
    }
    const chosen = (layer: number, i: number): number =>
      Number(
        Math.sin((first!.inputs["tokens"]![i]! + layer) * 1.3 + i * 0.21 * layer) > (rule === "causal" ? 0.86 : 0.8),
      );
    return {
      loss: this.#loss(this.#steps) + (rule === "causal" ? 0.09 : 0.04),
      tokens,
      shares: {
        "layers.1": (rule === "causal" ? this.#pretence.keeps : undefined) ?? 0.125,
        "layers.3": rule === "causal" ? (this.#pretence.keeps ?? 0.139) : 0.125,
        "layers.5": rule === "causal" ? 0.108 : 0.125,
      },
      routes: [1, 3, 5].map((layer) => ({
        path: `layers.${layer}.chosen`,
        mask: Uint8Array.from({ length: first!.rows * first!.length }, (_, i) => chosen(layer, i)),
      })),
    };
  }

  async state(): Promise<TrainingState> {
    const other = new Float32Array(32 * 32);
    return new Map<string, StateTensor>([
      [WEIGHTS[0]!.path, { dtype: "f32", shape: [64, 32], data: this.#weights.slice() }],
      [WEIGHTS[1]!.path, { dtype: "f32", shape: [32, 32], data: other }],
      ["step", { dtype: "u32", shape: [], data: Uint32Array.of(this.#steps) }],
    ]);
  }

  async restore(state: TrainingState): Promise<void> {
    this.#weights = Float32Array.from(state.get(WEIGHTS[0]!.path)!.data);
    this.#steps = this.#given = state.get("step")!.data[0]!;
  }

  async whyNotFinite(): Promise<string> {
    return "the first value that is not finite is the result of exp in layers.1.inner, small.mod:3";
  }

  dispose(): void {
    if (this.#given > this.#steps && this.#pretence.diverges === undefined)
      throw new Error("disposed of with a step under way");
    this.disposed = true;
  }
}

export const pretendModel: RunModel = {
  name: "Small",
  parameters: { dim: "32", capacity: "12.5%" },
  set: { dim: "32" },
  dense: false,
  sources: [{ path: "small.mod", text: "model Small() {}\n" }],
  weights: WEIGHTS,
  ignore: [],
  inputs: { tokens: "tokens", targets: "targets", signed: false },
  declared: { name: "Small", inputs: [], axes: [] },
  vocabulary: 256,
  own: ["next_token"],
  routed: true,
  rules: ["top-k", "causal"],
};

/** A run of the pretend trainer. */
export const pretendRun = (
  output: string,
  data: string,
  settings: RunOptions["settings"],
  more: Partial<RunOptions> & { readonly pretence?: Pretence } = {},
): RunOptions => ({
  model: pretendModel,
  data,
  output,
  settings,
  usualContext: 256,
  resume: null,
  createTrainer: async () => new PretendTrainer(more.pretence),
  initialValues: () => Float32Array.of(1, 2, 3),
  ...more,
});
