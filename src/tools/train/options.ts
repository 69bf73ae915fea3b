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
  readonly absent: T | null;
}

interface Needs {
  readonly option: "optimizer" | "schedule";
  readonly values: readonly string[];
}

/** The options on which default values of others depend. */
interface Before {
  readonly steps: number;
  readonly optimizer: "adamw" | "sgd";
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

const adamw: Needs = { option: "optimizer", values: ["adamw"] };
const sgd: Needs = { option: "optimizer", values: ["sgd"] };
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
    "batches in a step: their gradients are summed, and updates of states see all",
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
  optimizer: option("--optimizer <name>", oneOf("adamw", "sgd"), "adamw", "optimiser"),
  lr: option("--lr <rate>", aboveZero, ({ optimizer }) => (optimizer === "adamw" ? 1e-3 : 1e-1), "learning rate", {
    usually: "1e-3; sgd 0.1",
  }),
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
    ({ optimizer }) => (optimizer === "adamw" ? 0.1 : 0),
    "weight decay of matrices; norms, biases and embeddings have none",
    { usually: "0.1; sgd 0" },
  ),
  beta1: option("--beta1 <x>", share, 0.9, "decay of the gradient mean in adamw", { needs: adamw }),
  beta2: option("--beta2 <x>", share, 0.95, "decay of the squared gradient mean in adamw", { needs: adamw }),
  eps: option("--eps <x>", aboveZero, 1e-8, "number that adamw adds to its denominator", { needs: adamw }),
  momentum: option("--momentum <x>", share, 0.9, "momentum of sgd", { needs: sgd }),
  clip: option("--clip <norm>", fromZero, 1, "largest norm of all gradients together; 0: no limit"),
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
  precision: option(
    "--weights-as <type>",
    oneOf(...WEIGHT_TYPES),
    "f32",
    "type on the device of the weights that --only excludes; trained weights are f32",
    { absent: "f32" },
  ),
  products: option(
    "--precision <type>",
    oneOf("f32", "bf16"),
    "f32",
    "type to which products in training round what they multiply; sums and all else are f32",
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
