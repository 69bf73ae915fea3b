// The table of training options with flag, range, default and meaning: it defines the options of `modc train` and of
// the library, the options that a resumed run may change, and the table in docs/training.md.
import { WEIGHT_TYPES } from "../../runtime/program/target.js";
import { LEARNING_RATES } from "./schedule.js";

/** The valid values of an option. */
interface Range<T> {
  /**
   * How the command line parses a value: `number`, such as 1e3, 5% or 1/8; `bytes`, such as 2GiB; or text. A `flag` has
   * no value.
   */
  readonly kind: "number" | "bytes" | "text" | "live" | "flag";
  /** `a whole number from 1 to 8` */
  readonly must: string;
  readonly choices?: readonly T[];
  has(value: unknown): value is T;
}

export interface TrainOption<T = string | number | boolean> extends Range<T> {
  /** The flag on the command line: `--min-lr <rate>`. */
  readonly flag: string;
  readonly doc: string;
  /** The default value; it may depend on earlier options. Null: it depends on the model. */
  readonly usual: T | ((before: Before) => T) | null;
  /** The default value in words: `a tenth of --lr`. */
  readonly usually: string;
  /** Another option, and the values of it with which this option has an effect; null: it always has an effect. */
  readonly needs: Needs | null;
  /** Whether a resumed run may change the option: it does not affect what was learned before. */
  readonly resumable: boolean;
  /** The value in a run whose checkpoints are older than the option; null: no checkpoint is. */
  readonly absent: T | ((before: Before) => T) | null;
}

interface Needs {
  readonly option: "optimizer" | "schedule";
  readonly values: readonly string[];
}

/** The options on which default values of others depend. */
interface Before {
  readonly steps: number;
  readonly optimizer: OptimizerName;
  readonly lr: number;
  readonly warmup: number;
}

const numbers = (
  must: string,
  fits: (value: number) => boolean,
  kind: "number" | "bytes" = "number",
): Range<number> => ({
  kind,
  must,
  has: (value): value is number => typeof value === "number" && Number.isFinite(value) && fits(value),
});
const whole = (least: number, most = 1e9): Range<number> =>
  numbers(`a whole number from ${least} to ${most}`, (n) => Number.isInteger(n) && n >= least && n <= most);
const aboveZero = numbers("a number above 0", (x) => x > 0);
const fromZero = numbers("a number from 0 on", (x) => x >= 0);
// The share as the device sees it, in f32, must be below 1 too.
const share = numbers("a number from 0 to below 1", (x) => x >= 0 && Math.fround(x) < 1);
const bytes = numbers("a whole number of bytes, 0 for any", (n) => Number.isSafeInteger(n) && n >= 0, "bytes");
const text: Range<string> = { kind: "text", must: "a text", has: (value) => typeof value === "string" };
const flag: Range<boolean> = {
  kind: "flag",
  must: "true or false",
  has: (value) => typeof value === "boolean",
};
const oneOf = <const T extends string>(...choices: readonly T[]): Range<T> => ({
  kind: "text",
  must: choices.join(" or "),
  choices,
  has: (value): value is T => choices.some((choice) => choice === value),
});

const option = <T extends string | number | boolean>(
  flag: string,
  range: Range<T>,
  usual: TrainOption<NoInfer<T>>["usual"],
  doc: string,
  {
    usually = String(usual),
    resumable = false,
    needs = null,
    absent = null,
  }: Partial<Pick<TrainOption<NoInfer<T>>, "usually" | "resumable" | "needs" | "absent">> = {},
): TrainOption<T> => ({ ...range, flag, doc, usual, usually, needs, resumable, absent });

/** Predictors see no gradient of the model's loss, and are small: they learn well at a higher rate than the model. */
const PREDICTOR_RATE = 1e-2;
export const usualPredictorLr = ({ lr }: Pick<Before, "lr">): number => Math.max(lr, Math.min(10 * lr, PREDICTOR_RATE));

/** For each optimiser, the learning rate and the weight decay that its authors or users begin with. */
const OPTIMIZERS = {
  adamw: { lr: 1e-3, decay: 0.1 },
  sgd: { lr: 1e-1, decay: 0 },
  /** The learning rate of AdamW, which updates what is no matrix. */
  muon: { lr: 1e-3, decay: 0.01 },
  lion: { lr: 1e-4, decay: 1 },
  adafactor: { lr: 1e-2, decay: 0 },
} as const;
type OptimizerName = keyof typeof OPTIMIZERS;
const OPTIMIZER_NAMES = Object.keys(OPTIMIZERS) as OptimizerName[]; // its keys

const optimizers = (...values: readonly OptimizerName[]): Needs => ({ option: "optimizer", values });
const wsd: Needs = { option: "schedule", values: ["wsd"] };
const falling: Needs = { option: "schedule", values: LEARNING_RATES.filter((kind) => kind !== "constant") };

const resumable = true;
const atEnd = "also written at the end and at each best validation";

export const trainOptions = {
  steps: option("--steps <n>", whole(1), 1000, "steps of the optimiser", { resumable }),
  batch: option("--batch <n>", whole(1), 8, "sequences at once"),
  accumulate: option(
    "--accumulate <n>",
    whole(1),
    1,
    "batches in a step: losses are means over all batches, and updates of states see all",
  ),
  context: option("--length <n>", whole(1), null, "tokens in a sequence", {
    usually: "as many as the model allows, at most 2048",
  }),
  seed: option(
    "--seed <n>",
    whole(0, 0xffffffff),
    0,
    "seed for starting weights, random values and the order of the text",
  ),
  validation: option("--validation <share>", share, 0.05, "share of the text, from its end, to hold out (0: none)", {
    usually: "5%",
  }),
  optimizer: option("--optimizer <name>", oneOf(...OPTIMIZER_NAMES), "adamw", "optimiser"),
  lr: option("--lr <rate>", aboveZero, ({ optimizer }) => OPTIMIZERS[optimizer].lr, "learning rate", {
    usually: "1e-3; sgd 0.1, lion 1e-4, adafactor 1e-2",
  }),
  muonLr: option(
    "--muon-lr <rate>",
    aboveZero,
    0.02,
    "learning rate of the matrices that muon updates, on the same schedule; adamw updates the rest, at --lr",
    { needs: optimizers("muon"), absent: 0.02 },
  ),
  routerLr: option("--router-lr <rate>", aboveZero, ({ lr }) => lr, "learning rate of routers, on the same schedule", {
    usually: "--lr",
    absent: ({ lr }) => lr,
  }),
  predictorLr: option(
    "--predictor-lr <rate>",
    aboveZero,
    usualPredictorLr,
    "learning rate of predictors, on the same schedule",
    { usually: "ten times --lr, at most 1e-2 or --lr", absent: ({ lr }) => lr },
  ),
  schedule: option(
    "--schedule <name>",
    oneOf(...LEARNING_RATES),
    "cosine",
    "curve of the learning rate after the warm-up",
  ),
  warmup: option(
    "--warmup <steps>",
    whole(0),
    ({ steps }) => Math.min(100, Math.floor(steps / 10)),
    "steps over which the learning rate rises",
    { usually: "a tenth, at most 100" },
  ),
  minLr: option(
    "--min-lr <rate>",
    fromZero,
    ({ lr }) => lr / 10,
    "learning rate at the end of cosine, linear and wsd",
    {
      usually: "a tenth of --lr",
      needs: falling,
    },
  ),
  decay: option(
    "--decay <steps>",
    whole(1),
    ({ steps, warmup }) => Math.max(1, Math.min(steps - warmup, Math.floor(steps / 5))),
    "steps over which wsd lowers the learning rate",
    { usually: "a fifth", resumable, needs: wsd },
  ),
  weightDecay: option(
    "--weight-decay <x>",
    fromZero,
    ({ optimizer }) => OPTIMIZERS[optimizer].decay,
    "weight decay of matrices; norms, biases and embeddings have none",
    { usually: "0.1; sgd and adafactor 0, muon 0.01, lion 1" },
  ),
  beta1: option("--beta1 <x>", share, 0.9, "decay of the gradient mean in adamw, lion and muon", {
    needs: optimizers("adamw", "lion", "muon"),
  }),
  beta2: option(
    "--beta2 <x>",
    share,
    ({ optimizer }) => (optimizer === "lion" ? 0.99 : 0.95),
    "decay of the squared gradient mean in adamw and muon; of the momentum in lion",
    { usually: "0.95; lion 0.99", needs: optimizers("adamw", "lion", "muon") },
  ),
  eps: option("--eps <x>", aboveZero, 1e-8, "number that adamw adds to its denominator", {
    needs: optimizers("adamw", "muon"),
  }),
  momentum: option(
    "--momentum <x>",
    share,
    ({ optimizer }) => (optimizer === "muon" ? 0.95 : 0.9),
    "momentum of sgd and muon",
    { usually: "0.9; muon 0.95", needs: optimizers("sgd", "muon") },
  ),
  clip: option("--clip <norm>", fromZero, 1, "largest norm of all gradients together; 0: no limit"),
  ema: option(
    "--ema <decay>",
    share,
    0,
    "decay of a moving average of the trained weights, such as 0.999, which validation and checkpoints have",
    { usually: "off", absent: 0 },
  ),
  /** A line for each parameter: `capacity=50%`, or `capacity=100%@0,12.5%@2000`. */
  live: option("--live <name=value>", { ...text, kind: "live" }, "", "live parameters: values, or values at steps", {
    usually: "the model's own",
  }),
  only: option(
    "--only <patterns>",
    text,
    "",
    "weights to train: paths or parts of paths such as router,guess, separated by commas; * is any characters",
    { usually: "all" },
  ),
  dense: option("--dense", flag, false, "train the same model with nothing skipped: every layer computes all tokens", {
    usually: "off: layers compute the chosen tokens",
    absent: false,
  }),
  precision: option(
    "--weights-as <type>",
    oneOf(...WEIGHT_TYPES),
    "f32",
    "type on the device of the weights that --only excludes; trained weights are f32",
    { absent: "f32" },
  ),
  products: option(
    "--precision <type>",
    oneOf("f32", "bf16", "f16"),
    "f32",
    "round operands of products in training to this type; sums and everything else stay f32. f16 scales the loss",
    { absent: "f32" },
  ),
  save: option(
    "--save <what>",
    oneOf("all", "trained"),
    "all",
    "weights in checkpoints: all, or trained alone, which then complete the file of --weights",
    { absent: "all" },
  ),
  initMissing: option(
    "--init-missing",
    flag,
    false,
    "initialise weights that the file of --weights lacks from --seed; the rest must fit as usual",
    { usually: "off: a missing weight is an error", absent: false },
  ),
  recompute: option(
    "--recompute <layers>",
    text,
    "none",
    "layers to recompute in the backward pass rather than keep: none, all, or paths; * is any characters",
    { resumable },
  ),
  memory: option(
    "--memory <bytes>",
    bytes,
    0,
    "most memory on the device, such as 2GiB; recomputes the fewest layers that fit",
    { usually: "no limit", resumable },
  ),
  validateEvery: option("--validate-every <steps>", whole(1), 100, "steps between validations", { resumable }),
  validationWindows: option("--windows <n>", whole(0), 64, "sequences to evaluate, spread evenly; 0: all", {
    resumable,
  }),
  patience: option(
    "--patience <n>",
    whole(0),
    0,
    "stop early after n validations that count and are not better than the best; 0: never",
    { usually: "0, all steps", resumable, absent: 0 },
  ),
  sample: option("--sample <prompt>", text, "", "prompt to continue by the causal rule, for the log and the report", {
    usually: "none",
    resumable,
    absent: "",
  }),
  sampleEvery: option("--sample-every <steps>", whole(0), 0, "steps between samples; 0: at each validation", {
    resumable,
    absent: 0,
  }),
  checkpointEvery: option("--checkpoint-every <steps>", whole(1), 500, `steps between checkpoints; ${atEnd}`, {
    resumable,
  }),
  keep: option("--keep <n>", whole(1), 3, "checkpoints to keep, besides the best", { resumable }),
};

/** A value for each of `trainOptions`. */
export type TrainSettings = {
  readonly [Name in keyof typeof trainOptions]: (typeof trainOptions)[Name] extends TrainOption<infer T> ? T : never;
};
export type SettingName = keyof TrainSettings;

/** The options in the order of the table. */
export const TRAIN_OPTIONS: readonly (readonly [SettingName, TrainOption])[] = Object.entries(trainOptions) as [
  SettingName, // its keys
  TrainOption,
][];

/** What is wrong with a value, as a clause; null if it is valid. */
export function faultOf({ must, has }: Pick<TrainOption, "must" | "has">, value: unknown): string | null {
  if (!has(value)) return `it must be ${must}`;
  const float = typeof value === "number" ? Math.fround(value) : 1;
  if (!Number.isFinite(float)) return "no 32-bit float is so large";
  return value !== 0 && float === 0 ? "no 32-bit float is so small" : null;
}
