// Collects the results of finished runs from their logs.
import { join } from "node:path";
import type { LoadWindow } from "../../src/tools/train/loads.js";
import { readLog, type LogEntry } from "../../src/tools/train/log-node.js";
import { spreadOf, type Spread } from "../statistics.js";
import type { Costs, PlannedRun, VariantName } from "./plan.js";

export type Rule = "top-k" | "causal";
export const RULES: readonly Rule[] = ["top-k", "causal"];

export interface Validation {
  readonly step: number;
  /** Nats a byte. Models without routes have one rule. */
  readonly loss: Readonly<Record<Rule, number>>;
}

export interface RunResult {
  readonly run: PlannedRun;
  readonly validations: readonly Validation[];
  /** The share of all choices in training that were no-op experts; null: the model has none. */
  readonly noOps: number | null;
}

export async function readRun(run: PlannedRun, folder: string): Promise<RunResult> {
  const validations: Validation[] = [];
  const path = join(folder, "log.jsonl");
  const noOps = { steps: 0, share: 0 };
  for await (const entry of readLog(path)) {
    if (entry.kind === "experts") {
      // as the loop writes them: the loads of the last steps, so many
      const { over, mixtures } = entry as LogEntry & LoadWindow;
      const shares = mixtures.map((m) => total(m.shares.slice(m.shares.length - (run.variant.noOps ?? 0))));
      noOps.share += (over * total(shares)) / mixtures.length;
      noOps.steps += over;
    }
    if (entry.kind !== "validation") continue;
    // as the loop writes them
    const rules = entry["rules"] as Readonly<Partial<Record<Rule, { readonly loss: number }>>>;
    const topK = numberOf(rules["top-k"]?.loss, path);
    validations.push({
      step: entry.step,
      loss: { "top-k": topK, causal: rules.causal ? numberOf(rules.causal.loss, path) : topK },
    });
  }
  if (validations.at(-1)?.step !== run.steps)
    throw new Error(`${path}: the last validation is not that of step ${run.steps}`);
  return {
    run,
    validations,
    noOps: run.variant.noOps === undefined ? null : numberOf(noOps.share / noOps.steps, path),
  };
}

const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

function numberOf(value: unknown, path: string): number {
  if (typeof value !== "number" || !Number.isFinite(value))
    throw new Error(`${path}: ${JSON.stringify(value)} is no number`);
  return value;
}

/** The runs of one size and variant: all seeds that are finished. */
export interface Group {
  readonly costs: Costs;
  readonly steps: number;
  readonly results: readonly RunResult[];
}

/** In the order of the plan; those without a finished run have no results. */
export function groupsOf(runs: readonly PlannedRun[], results: readonly RunResult[]): readonly Group[] {
  const groups = new Map<string, Group>();
  for (const run of runs) {
    const key = `${run.size.name} ${run.variant.name}`;
    const found = results.filter((r) => r.run.id === run.id);
    const before = groups.get(key);
    groups.set(key, { costs: run, steps: run.steps, results: [...(before?.results ?? []), ...found] });
  }
  return [...groups.values()];
}

/** The loss at the end, over seeds; null: no run is finished. */
export function finalLoss({ results }: Group, rule: Rule): Spread | null {
  return results.length === 0 ? null : spreadOf(results.map((r) => r.validations.at(-1)!.loss[rule]));
}

export type Verdict = "lower" | "higher" | "not distinguishable";

/**
 * Compares two losses: lower or higher for all seeds, or undecided, as two seeds allow no finer test. Null where either
 * has fewer than two.
 */
export function compared(a: Group, b: Group, rule: Rule): Verdict | null {
  const [x, y] = [finalLoss(a, rule), finalLoss(b, rule)];
  if (!x || !y || a.results.length < 2 || b.results.length < 2) return null;
  return x.high < y.low ? "lower" : x.low > y.high ? "higher" : "not distinguishable";
}

/** The group of another variant of the same size. */
export const beside = (groups: readonly Group[], { costs }: Group, variant: VariantName): Group =>
  groups.find((g) => g.costs.size.name === costs.size.name && g.costs.variant.name === variant)!;
