// The settings of a new or resumed run, and the settings of each step derived from them.
import { TrainError } from "./errors.js";
import type { Settings } from "../../models/runs/manifest.js";
import {
  faultOf,
  TRAIN_OPTIONS,
  trainOptions,
  type SettingName,
  type TrainOption,
  type TrainSettings,
} from "./options.js";
import { learningRate, parsePoints, piecewiseLinear, type Point, type Schedule } from "./schedule.js";
import type { StepSettings } from "./types.js";

/** Completes settings with defaults, some of which depend on other settings. Throws TrainError for invalid values. */
export function withDefaults(given: Partial<TrainSettings> & { readonly context: number }): TrainSettings {
  const all: Record<string, unknown> = {};
  const settings = all as unknown as TrainSettings; // filled in the order of the table, each setting by its option
  for (const [name, option] of TRAIN_OPTIONS) {
    const { usual } = option;
    const value = Object.hasOwn(given, name) ? given[name] : typeof usual === "function" ? usual(settings) : usual;
    const fault = faultOf(option, value);
    if (fault !== null) throw new TrainError("bad-option", `${name} is ${shown(value)}: ${fault}`);
    all[name] = value;
  }
  schedulesOf(settings);
  return settings;
}

/** Checks that each specified option has an effect with the other settings. Throws TrainError. */
export function expectEffects(given: Partial<TrainSettings>, settings: TrainSettings): void {
  if (settings.patience > 0 && settings.validation === 0)
    throw new TrainError("bad-option", "patience has no effect: nothing is held out for validation", {
      hint: "leave it out, or hold out a share of the text with --validation",
    });
  if (settings.sample === "" && given.sampleEvery)
    throw new TrainError("bad-option", "sampleEvery has no effect: there is no prompt", {
      hint: "give the prompt with --sample",
    });
  if (settings.sample !== "" && settings.sampleEvery === 0 && settings.validation === 0)
    throw new TrainError("bad-option", "sample has no effect: nothing is held out for validation", {
      hint: "choose the steps with --sample-every",
    });
  for (const [name, { needs }] of TRAIN_OPTIONS) {
    if (needs === null || !Object.hasOwn(given, name) || needs.values.includes(settings[needs.option])) continue;
    throw new TrainError("bad-option", `${name} has no effect: ${needs.option} is ${settings[needs.option]}`, {
      hint: `leave it out, or choose --${needs.option} ${needs.values.join(", ")}`,
    });
  }
}

const shown = (value: unknown): string =>
  typeof value === "number" ? String(value) : (JSON.stringify(value) ?? "missing");

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

/** The points of each live parameter's schedule. */
export const livePoints = ({
  live,
  steps,
}: Pick<TrainSettings, "live" | "steps">): ReadonlyMap<string, readonly Point[]> =>
  new Map(liveLines(live).map(([name, text]) => [name, parsePoints(text.includes("@") ? text : `${text}@0`, steps)]));

/** The largest value of each live parameter that is set. */
export const largestLive = (settings: Pick<TrainSettings, "live" | "steps">): Readonly<Record<string, number>> =>
  Object.fromEntries(
    [...livePoints(settings)].map(([name, points]) => [name, Math.max(...points.map((p) => p.value))]),
  );

/** The number of steps after which no live parameter changes. */
export const settledFrom = (settings: Pick<TrainSettings, "live" | "steps">): number =>
  Math.max(0, ...[...livePoints(settings)].map(([, points]) => lastChange(points)));

/** The step at which the final value is reached. */
function lastChange(points: readonly Point[]): number {
  const before = points.findLastIndex(({ value }) => value !== points.at(-1)!.value);
  return before < 0 ? 0 : points[before + 1]!.step;
}

/** The settings of the step that follows `done` steps. */
export function stepSettings(settings: TrainSettings): (done: number) => StepSettings {
  const { rate, live } = schedulesOf(settings);
  const { lr, routerLr, predictorLr, muonLr } = settings;
  // Each group follows the schedule, at its own height.
  const rates = (done: number): StepSettings => ({
    learningRate: rate(done),
    ownRates: {
      router: rate(done) * (routerLr / lr),
      predictor: rate(done) * (predictorLr / lr),
      muon: rate(done) * (muonLr / lr),
    },
  });
  if (live.size === 0) return rates;
  return (done) => ({
    ...rates(done),
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
      if (at <= 0) throw new TrainError("bad-option", `${JSON.stringify(line)} sets no live parameter`);
      return [line.slice(0, at).trim(), line.slice(at + 1).trim()] as const;
    });
}

/**
 * The settings of a resumed run: the checkpoint's settings, with changes to resumable options only (the length of the
 * run, and the intervals of validation and checkpoints). Throws TrainError for any other difference.
 */
export function resumedSettings(kept: Settings, given: Partial<TrainSettings>): TrainSettings {
  const all: Record<string, unknown> = {};
  for (const [name, option] of TRAIN_OPTIONS) {
    all[name] = kept[name] ?? absentOf(option, all as unknown as TrainSettings);
    if (!option.has(all[name])) throw new TrainError("bad-checkpoint", `the checkpoint does not record ${name}`);
  }
  const before = all as unknown as TrainSettings; // each value was just checked against its option
  const changed = TRAIN_OPTIONS.filter(
    ([name, { resumable }]) => given[name] !== undefined && given[name] !== before[name] && !resumable,
  ).map(([name]) => name);
  if (changed.length > 0) throw contradiction(changed, before, given);
  return withDefaults({ ...before, ...given });
}

/** The value in a run whose checkpoints are older than the option, from the settings before it in the table. */
export const absentOf = ({ absent }: TrainOption, before: TrainSettings): string | number | boolean | null =>
  typeof absent === "function" ? absent(before) : absent;

/** The error for changed options: it names their flags, and their values at the start of the run. */
function contradiction(
  changed: readonly SettingName[],
  before: TrainSettings,
  given: Partial<TrainSettings>,
): TrainError {
  const none = (value: Value | undefined): boolean => value === "" || value === false;
  const words = changed.map((name) => (none(given[name]) ? `no ${flagOf(name)}` : written(name, given[name]!)));
  const begun = changed.map((name) =>
    none(before[name]) ? `without ${flagOf(name)}` : `with ${written(name, before[name])}`,
  );
  const verb = changed.length === 1 ? "contradicts" : "contradict";
  return new TrainError("bad-option", `${words.join(" and ")} ${verb} the run, which started ${begun.join(" and ")}`, {
    hint:
      `leave out ${changed.map(flagOf).join(" and ")} to continue the run, or start another run from the ` +
      "checkpoint's weights: --weights; " +
      `only ${TRAIN_OPTIONS.flatMap(([name, o]) => (o.resumable ? [flagOf(name)] : [])).join(", ")} may change`,
  });
}

type Value = TrainSettings[SettingName];

/** The option of a setting: `--min-lr`. */
const flagOf = (name: SettingName): string => trainOptions[name].flag.split(" ")[0]!;

/** An option with its value: `--lr 0.001`; one for each live parameter. */
function written(name: SettingName, value: Value): string {
  if (value === true) return flagOf(name);
  if (name !== "live") return `${flagOf(name)} ${value}`;
  return liveLines(String(value))
    .map(([live, text]) => `${text.includes("@") ? "--live-schedule" : "--live"} ${live}=${text}`)
    .join(" ");
}

/** The settings in the form a checkpoint stores. */
export const settingsRecord = (settings: TrainSettings): Settings => ({ ...settings });
