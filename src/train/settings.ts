// How a run trains: every number of it, with its usual value, and which of them a run that goes on may change.
import { TrainError } from "./errors.js";
import type { Settings } from "../session/manifest.js";
import {
  learningRate,
  parsePoints,
  piecewiseLinear,
  type LearningRateKind,
  type Point,
  type Schedule,
} from "./schedule.js";
import type { StepSettings } from "./types.js";

export interface TrainSettings {
  /** Steps of the optimiser in all. */
  readonly steps: number;
  /** Sequences of a micro-batch. */
  readonly batch: number;
  /** Micro-batches of a step. */
  readonly accumulate: number;
  /** Tokens of a sequence. */
  readonly context: number;
  /** Of starting weights, random values and the order of the text. */
  readonly seed: number;
  /** Share of the text that is held out. */
  readonly validation: number;
  readonly optimizer: "adamw" | "sgd";
  readonly lr: number;
  readonly schedule: LearningRateKind;
  readonly warmup: number;
  readonly minLr: number;
  /** Steps over which `wsd` falls. */
  readonly decay: number;
  readonly weightDecay: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly momentum: number;
  /** Largest norm of all gradients together; 0: none. */
  readonly clip: number;
  /** Live parameters: a value, or values at steps (`capacity=100%@0,12.5%@2000`), a line each. */
  readonly live: string;
  /** Weights that learn: patterns of paths, `*` for any characters, separated by commas; empty: all. */
  readonly only: string;
  /** Layers whose results are computed again rather than kept: none, all, or patterns of paths. */
  readonly recompute: string;
  /** Bytes that training may take on the device; 0: any. */
  readonly memory: number;
  readonly validateEvery: number;
  /** Windows that are evaluated, spread over what is held out; 0: all of them. */
  readonly validationWindows: number;
  readonly checkpointEvery: number;
  readonly keep: number;
}

/** What is not given, some of it by what is. Throws TrainError for values that none can have. */
export function withDefaults(given: Partial<TrainSettings> & { readonly context: number }): TrainSettings {
  const steps = given.steps ?? 1000;
  const optimizer = given.optimizer ?? "adamw";
  const lr = given.lr ?? (optimizer === "adamw" ? 1e-3 : 1e-1);
  const warmup = given.warmup ?? Math.min(100, Math.floor(steps / 10));
  const usual: TrainSettings = {
    steps,
    batch: 8,
    accumulate: 1,
    context: given.context,
    seed: 0,
    validation: 0.05,
    optimizer,
    lr,
    schedule: "cosine",
    warmup,
    minLr: lr / 10,
    decay: Math.max(1, Math.min(steps - warmup, Math.floor(steps / 5))),
    weightDecay: optimizer === "adamw" ? 0.1 : 0,
    beta1: 0.9,
    beta2: 0.95,
    eps: 1e-8,
    momentum: 0.9,
    clip: 1,
    live: "",
    only: "",
    recompute: "none",
    memory: 0,
    validateEvery: 100,
    validationWindows: 64,
    checkpointEvery: 500,
    keep: 3,
  };
  const settings = { ...usual, ...given };
  for (const [name, value] of Object.entries(settings)) {
    const type = TEXTS.has(name) ? "string" : "number";
    if (typeof value !== type)
      throw new TrainError("bad-option", `${name} is ${JSON.stringify(value) ?? String(value)}: it must be a ${type}`);
  }
  check(settings);
  return settings;
}

/** Settings that are no numbers. */
const TEXTS: ReadonlySet<string> = new Set([
  "optimizer",
  "schedule",
  "live",
  "only",
  "recompute",
] satisfies readonly (keyof TrainSettings)[]);

/** What is wrong with a number that the device takes as a 32-bit float, as a clause; null: nothing. */
export function floatFault(value: number): string | null {
  const float = Math.fround(value);
  if (Number.isFinite(value) && !Number.isFinite(float)) return "no 32-bit float is so large";
  return value !== 0 && float === 0 ? "no 32-bit float is so small" : null;
}

function check(s: TrainSettings): void {
  const fail = (message: string): never => {
    throw new TrainError("bad-option", message);
  };
  for (const name of ["lr", "minLr", "weightDecay", "eps", "momentum", "clip", "beta1", "beta2"] as const) {
    const fault = floatFault(s[name]);
    if (fault !== null) fail(`${name} is ${s[name]}: ${fault}`);
  }
  for (const name of ["steps", "batch", "accumulate", "context", "validateEvery", "checkpointEvery", "keep"] as const)
    if (!(Number.isSafeInteger(s[name]) && s[name] >= 1))
      fail(`${name} is ${s[name]}: it must be a whole number, at least 1`);
  if (!(Number.isSafeInteger(s.validationWindows) && s.validationWindows >= 0))
    fail(`validationWindows is ${s.validationWindows}: it must be a whole number, 0 for all`);
  if (!(Number.isSafeInteger(s.seed) && s.seed >= 0 && s.seed <= 0xffffffff))
    fail(`the seed is ${s.seed}: it must be a whole number below 4294967296`);
  if (!(Number.isSafeInteger(s.memory) && s.memory >= 0))
    fail(`memory is ${s.memory} bytes: it must be a whole number, 0 for any`);
  for (const name of ["beta1", "beta2", "momentum"] as const)
    if (!(s[name] >= 0 && Math.fround(s[name]) < 1)) fail(`${name} is ${s[name]}: it must be at least 0 and below 1`);
  if (!["adamw", "sgd"].includes(s.optimizer))
    fail(`${JSON.stringify(s.optimizer)} is no optimizer: there are adamw, sgd`);
  for (const name of ["weightDecay", "clip"] as const)
    if (!(s[name] >= 0 && Number.isFinite(s[name]))) fail(`${name} is ${s[name]}: it must be at least 0`);
  if (!(s.eps > 0 && Number.isFinite(s.eps))) fail(`eps is ${s.eps}: it must be above 0`);
  schedulesOf(s);
}

/** Learning rate and live parameters as functions of the step. */
function schedulesOf(s: TrainSettings): { readonly rate: Schedule; readonly live: ReadonlyMap<string, Schedule> } {
  const rate = learningRate({
    kind: s.schedule,
    peak: s.lr,
    minimum: s.minLr,
    warmup: s.warmup,
    steps: s.steps,
    decay: s.decay,
  });
  return { rate, live: new Map([...livePoints(s)].map(([name, points]) => [name, piecewiseLinear(points)])) };
}

/** The values that each live parameter has, and when. */
export const livePoints = ({
  live,
  steps,
}: Pick<TrainSettings, "live" | "steps">): ReadonlyMap<string, readonly Point[]> =>
  new Map(liveLines(live).map(([name, text]) => [name, parsePoints(text.includes("@") ? text : `${text}@0`, steps)]));

/** The largest value that each live parameter that is given has. */
export const largestLive = (settings: Pick<TrainSettings, "live" | "steps">): Readonly<Record<string, number>> =>
  Object.fromEntries(
    [...livePoints(settings)].map(([name, points]) => [name, Math.max(...points.map((p) => p.value))]),
  );

/** Steps that are done when every live parameter has the value that it keeps to the end. */
export const settledFrom = (settings: Pick<TrainSettings, "live" | "steps">): number =>
  Math.max(0, ...[...livePoints(settings)].map(([, points]) => lastChange(points)));

/** The step of the first of those points at the end that have one value. */
function lastChange(points: readonly Point[]): number {
  const before = points.findLastIndex(({ value }) => value !== points.at(-1)!.value);
  return before < 0 ? 0 : points[before + 1]!.step;
}

/** The settings of the step after so many. */
export function stepSettings(settings: TrainSettings): (done: number) => StepSettings {
  const { rate, live } = schedulesOf(settings);
  if (live.size === 0) return (done) => ({ learningRate: rate(done) });
  return (done) => ({
    learningRate: rate(done),
    live: Object.fromEntries([...live].map(([name, at]) => [name, at(done)])),
  });
}

/** Names and schedules of live parameters. */
function liveLines(text: string): readonly (readonly [string, string])[] {
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const at = line.indexOf("=");
      if (at <= 0) throw new TrainError("bad-option", `${JSON.stringify(line)} gives no live parameter a value`);
      return [line.slice(0, at).trim(), line.slice(at + 1).trim()] as const;
    });
}

/** Settings that change nothing of what was learned so far. */
const FREE: ReadonlySet<keyof TrainSettings> = new Set([
  "steps",
  "decay",
  "recompute",
  "memory",
  "validateEvery",
  "validationWindows",
  "checkpointEvery",
  "keep",
]);

/**
 * The settings of a run that goes on: those of its checkpoint, and of what is given only what may change: its length
 * and how often it validates and saves. Throws TrainError for anything else that differs.
 */
export function resumed(kept: Settings, given: Partial<TrainSettings>): TrainSettings {
  const usual = withDefaults({ context: 1 });
  const known: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(usual)) {
    if (typeof kept[name] !== typeof value)
      throw new TrainError("bad-checkpoint", `the checkpoint does not say what ${name} was`);
    known[name] = kept[name];
  }
  const before = known as unknown as TrainSettings; // every field is there and of its type
  const changed = (Object.keys(given) as (keyof TrainSettings)[]).filter(
    (name) => given[name] !== undefined && given[name] !== before[name] && !FREE.has(name),
  );
  if (changed.length > 0) throw contradiction(changed, before, given);
  return withDefaults({ ...before, ...given });
}

/** Names the options as they are written on the command line, and what the run was begun with in their place. */
function contradiction(
  changed: readonly (keyof TrainSettings)[],
  before: TrainSettings,
  given: Partial<TrainSettings>,
): TrainError {
  const words = changed.map((name) => (given[name] === "" ? `no ${flagOf(name)}` : written(name, given[name]!)));
  const begun = changed.map((name) =>
    before[name] === "" ? `without ${flagOf(name)}` : `with ${written(name, before[name])}`,
  );
  const verb = changed.length === 1 ? "contradicts" : "contradict";
  return new TrainError(
    "bad-option",
    `${words.join(" and ")} ${verb} the run, which was begun ${begun.join(" and ")}`,
    {
      hint:
        `leave ${changed.map(flagOf).join(" and ")} out to go on as it was, or begin another run from the ` +
        "checkpoint's weights: --weights; " +
        `only ${[...FREE].map(flagOf).join(", ")} may change`,
    },
  );
}

/** The option of a setting: `--min-lr`. */
const flagOf = (name: keyof TrainSettings): string =>
  FLAGS[name] ?? `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** Options that are not called as their settings are. */
const FLAGS: { readonly [N in keyof TrainSettings]?: string } = { context: "--length", validationWindows: "--windows" };

/** An option with its value: `--lr 0.001`; of live parameters one for each. */
function written(name: keyof TrainSettings, value: string | number): string {
  if (name !== "live") return `${flagOf(name)} ${value}`;
  return liveLines(String(value))
    .map(([live, text]) => `${text.includes("@") ? "--live-schedule" : "--live"} ${live}=${text}`)
    .join(" ");
}

/** As a checkpoint keeps them. */
export const settingsRecord = (settings: TrainSettings): Settings => ({ ...settings });

/** The names of all settings. */
export const SETTING_NAMES: ReadonlySet<string> = new Set(Object.keys(withDefaults({ context: 1 })));
