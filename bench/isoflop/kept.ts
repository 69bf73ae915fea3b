// Stores the experiment's records: the plan at the start of the first run, the result of each run, and times of steps.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { RunResult, Validation } from "./collect.js";
import type { ComparisonName, PlannedRun } from "./plan.js";

/**
 * The plan in a folder, so that a later compiler changes neither steps nor costs of compared models. If the folder has
 * no plan, returns this one, and stores it if `begins`.
 */
export function keptPlan(folder: string, planned: readonly PlannedRun[], begins: boolean): readonly PlannedRun[] {
  const path = join(folder, "plan.json");
  if (existsSync(path)) {
    const kept = readJson(path) as readonly PlannedRun[]; // written below
    const [a, b] = [kept, planned].map((plan) => plan.map((run) => run.id).join());
    if (a !== b) throw new Error(`${path} plans other runs (${a}): move the folder away to begin again`);
    return kept;
  }
  if (begins) writeJson(path, planned);
  return planned;
}

/** The result of a finished run; null if the run is not finished or had another number of steps. */
export function keptResult(folder: string, run: PlannedRun): RunResult | null {
  const path = join(folder, `${run.id}.json`);
  if (!existsSync(path)) return null;
  const { steps, validations, noOps } = readJson(path) as {
    readonly steps: number;
    readonly validations: readonly Validation[];
    readonly noOps: number | null;
  }; // written below
  return steps === run.steps ? { run, validations, noOps } : null;
}

export function keepResult(folder: string, { run, validations, noOps }: RunResult): void {
  writeJson(join(folder, `${run.id}.json`), { steps: run.steps, validations, noOps });
}

/** Milliseconds of a step by variant and size, and the device. */
export interface StepTimes {
  readonly device: string;
  readonly medians: Readonly<Record<string, number>>;
}

export type TimesOf = Readonly<Partial<Record<ComparisonName, StepTimes>>>;

/** The times of the measured comparisons. */
export function keptTimes(folder: string): TimesOf {
  const path = join(folder, "step-times.json");
  return existsSync(path) ? (readJson(path) as TimesOf) : {}; // written below
}

export function keepTimes(folder: string, name: ComparisonName, times: StepTimes): void {
  writeJson(join(folder, "step-times.json"), { ...keptTimes(folder), [name]: times });
}

const readJson = (path: string): unknown => JSON.parse(readFileSync(path, "utf8"));

/** All of it or nothing. */
function writeJson(path: string, value: unknown): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.draft`, `${JSON.stringify(value, null, 1)}\n`);
  renameSync(`${path}.draft`, path);
}
