// Builds the report of a run from its log, read as a stream: each curve has at most a few hundred points, however long
// the run.
import type { Passage } from "./events.js";
import { GroupedCurve, MOST_POINTS, numberOf, recordOf, shownLoss, validated } from "./log-curves.js";
import { readLog, type LogEntry } from "./log-node.js";
import type { MixtureLoad } from "./loads.js";
import type { ReportedLoads } from "./report-routes.js";
import { renderReport, type Curve, type LossUnit, type ReportedSample, type ReportedValidation } from "./report.js";
import type { TrainSettings } from "./options.js";
import { IN_FLIGHT } from "./types.js";

export interface ReportOptions {
  readonly log: string;
  readonly model: { readonly name: string; readonly parameters: Readonly<Record<string, string>> };
  readonly settings: TrainSettings;
  /** The text of each token. */
  readonly show: (tokens: readonly number[]) => readonly string[];
  readonly finished: boolean;
}

/** The most samples of a report: the last. */
const MOST_SAMPLES = 20;
/** Number of last steps over which the current speed is computed. */
const RECENT = 50;

export async function reportOf({ log, model, settings, show, finished }: ReportOptions): Promise<string> {
  const gather = (): GroupedCurve => new GroupedCurve(settings.steps);
  const [loss, rate, norm] = [gather(), gather(), gather()];
  let unit: LossUnit = "bits per byte of text";
  const speed = new Speed(settings.steps);
  const live = new Map<string, GroupedCurve>();
  const agreement = new Map<string, GroupedCurve>();
  const imbalance = new Map<string, GroupedCurve>();
  let loads: ReportedLoads | null = null;
  const validations: ReportedValidation[] = [];
  const samples: ReportedSample[] = [];
  const recent: Timed[] = [];
  let [step, tokens, seconds, computedShare] = [0, 0, 0, 1];
  let passage: Passage | null = null;
  const add = (to: Map<string, GroupedCurve>, at: number, name: string, value: number): void => {
    if (!to.has(name)) to.set(name, gather());
    to.get(name)!.add(at, value);
  };
  const addAll = (to: Map<string, GroupedCurve>, entry: LogEntry, field: string): void => {
    for (const [name, value] of Object.entries(recordOf(entry[field]))) add(to, entry.step, name, numberOf(value));
  };
  for await (const entry of readLog(log)) {
    if (entry.kind === "validation") {
      validations.push(validated(entry));
      passage = passageOf(entry["passage"]);
    }
    if (entry.kind === "sample") {
      samples.push({ step: entry.step, prompt: String(entry["prompt"]), text: String(entry["text"]) });
      if (samples.length > MOST_SAMPLES) samples.shift();
    }
    if (entry.kind === "experts") {
      loads = loadsOf(entry);
      for (const { path, largest } of loads.mixtures) add(imbalance, entry.step, path, largest);
    }
    if (entry.kind !== "step") continue;
    const added = { tokens: numberOf(entry["tokens"]), seconds: numberOf(entry["seconds"]) };
    step = entry.step;
    tokens += added.tokens;
    seconds += added.seconds;
    // The first step includes compilation by the driver, so its speed does not count.
    if (entry["first"] !== true) {
      recent.push(added);
      if (recent.length > RECENT) recent.shift();
      speed.add(step, added);
    }
    computedShare = numberOf(entry["computedShare"]);
    const shown = shownLoss(entry);
    unit = shown.unit;
    loss.add(step, shown.value);
    rate.add(step, numberOf(entry["learningRate"]));
    norm.add(step, numberOf(entry["gradientNorm"]));
    addAll(live, entry, "live");
    addAll(agreement, entry, "agreement");
  }
  const curves = (from: ReadonlyMap<string, GroupedCurve>): ReadonlyMap<string, Curve> =>
    new Map([...from].map(([name, g]) => [name, g.curve()]));
  return renderReport({
    model: model.name,
    parameters: model.parameters,
    settings: { ...settings },
    step,
    steps: settings.steps,
    tokens,
    seconds,
    tokensPerSecond: rateOf(recent),
    computedShare,
    unit,
    loss: loss.curve(),
    learningRate: rate.curve(),
    gradientNorm: norm.curve(),
    speed: speed.curve(),
    live: curves(live),
    agreement: curves(agreement),
    imbalance: curves(imbalance),
    loads,
    validations,
    samples,
    passage,
    shown: passage ? show(passage.tokens) : [],
    finished,
  });
}

interface Timed {
  readonly tokens: number;
  readonly seconds: number;
}

/** Tokens per second over these steps. */
function rateOf(steps: readonly Timed[]): number {
  const seconds = steps.reduce((n, step) => n + step.seconds, 0);
  return steps.reduce((n, step) => n + step.tokens, 0) / Math.max(1e-9, seconds);
}

/**
 * Tokens per second over groups of steps. If two steps end at about the same time, the first gets all the time and the
 * second none, so single steps have no speed.
 */
class Speed {
  readonly #width: number;
  readonly #groups: { x: number; readonly steps: Timed[] }[] = [];

  constructor(steps: number) {
    this.#width = Math.max(2 * IN_FLIGHT, Math.ceil(steps / MOST_POINTS));
  }

  add(step: number, timed: Timed): void {
    if (!(timed.seconds >= 0)) return;
    const last = this.#groups.at(-1);
    if (last && last.steps.length < this.#width) {
      last.x = step;
      last.steps.push(timed);
    } else this.#groups.push({ x: step, steps: [timed] });
  }

  curve(): Curve {
    const [whole, rest] = [this.#groups.filter((g) => g.steps.length === this.#width), this.#groups.at(-1)];
    const last = whole.at(-1);
    // The last steps of a run may be too few for a point of their own.
    const groups =
      !rest || rest === last
        ? whole
        : last
          ? [...whole.slice(0, -1), { x: rest.x, steps: [...last.steps, ...rest.steps] }]
          : [rest];
    return {
      points: groups.map(({ x, steps }) => {
        const y = rateOf(steps);
        return { x, y, low: y, high: y };
      }),
    };
  }
}

/** The loads of experts in a log entry. */
function loadsOf({ step, over, mixtures }: LogEntry): ReportedLoads {
  const numbers = (list: unknown): readonly number[] => (Array.isArray(list) ? list.map(numberOf) : []);
  const read = ({ path, shares, mean, largest, idle, dropped }: Readonly<Record<string, unknown>>): MixtureLoad => ({
    path: String(path),
    shares: numbers(shares),
    mean: numberOf(mean),
    largest: numberOf(largest),
    idle: numbers(idle),
    dropped: dropped === null ? null : numberOf(dropped),
  });
  return { step, over: numberOf(over), mixtures: Array.isArray(mixtures) ? mixtures.map(recordOf).map(read) : [] };
}

/** The passage in a log entry, whose masks are strings of 0 and 1; null if there is none. */
function passageOf(value: unknown): Passage | null {
  const { tokens, routes } = recordOf(value);
  if (!Array.isArray(tokens) || !Array.isArray(routes)) return null;
  return {
    tokens: tokens.map(numberOf),
    routes: routes
      .map(recordOf)
      .flatMap(({ rule, path, mask }) =>
        (rule === "top-k" || rule === "causal") && typeof path === "string" && typeof mask === "string"
          ? [{ rule, path, mask: Array.from(mask, Number) }]
          : [],
      ),
  };
}
