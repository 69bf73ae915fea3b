// Reads the log of a run for pages: values of steps as curves of at most a few hundred points, and validations.
import type { LogEntry } from "./log-node.js";
import type { Curve, ReportedValidation, LossUnit } from "./report.js";
import type { Rule } from "./types.js";

/** The most points of a curve. */
export const MOST_POINTS = 400;

/** Values of steps, grouped into at most MOST_POINTS points. */
export class GroupedCurve {
  readonly #width: number;
  readonly #points: { step: number; x: number; sum: number; n: number; low: number; high: number }[] = [];

  constructor(steps: number) {
    this.#width = Math.max(1, Math.ceil(steps / MOST_POINTS));
  }

  /** Adds the value of a step; `x`: its place, by default the step. */
  add(step: number, value: number, x = step): void {
    if (!Number.isFinite(value)) return;
    const last = this.#points.at(-1);
    if (last && Math.floor((step - 1) / this.#width) === Math.floor((last.step - 1) / this.#width)) {
      last.step = step;
      last.x = x;
      last.sum += value;
      last.n++;
      last.low = Math.min(last.low, value);
      last.high = Math.max(last.high, value);
    } else this.#points.push({ step, x, sum: value, n: 1, low: value, high: value });
  }

  curve(): Curve {
    return { points: this.#points.map(({ x, sum, n, low, high }) => ({ x, y: sum / n, low, high })) };
  }
}

/** The loss of an entry, and its unit. */
export function shownLoss(entry: LogEntry): { readonly value: number; readonly unit: LossUnit } {
  const bits = entry["bitsPerByte"];
  return bits === null
    ? { value: numberOf(entry["loss"]), unit: "nats" }
    : { value: numberOf(bits), unit: "bits per byte of text" };
}

export function validated(entry: LogEntry): ReportedValidation {
  const { value, unit } = shownLoss(entry);
  const loss = numberOf(entry["loss"]);
  const perNat = unit === "nats" || loss === 0 ? 1 : value / loss;
  const rules = Object.entries(recordOf(entry["rules"])).filter(
    (r): r is [Rule, unknown] => r[0] === "top-k" || r[0] === "causal",
  );
  return {
    step: entry.step,
    counts: entry["counts"] !== false,
    loss: new Map(rules.map(([rule, found]) => [rule, numberOf(recordOf(found)["loss"]) * perNat])),
    shares: new Map(
      rules.map(([rule, found]) => [
        rule,
        Object.fromEntries(
          Object.entries(recordOf(recordOf(found)["shares"])).map(([path, share]) => [path, numberOf(share)]),
        ),
      ]),
    ),
  };
}

/** The value as a record; an empty record for any other value. */
export const recordOf = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {}; // an object's fields
/** The value as a number; NaN for any other value. */
export const numberOf = (value: unknown): number => (typeof value === "number" ? value : Number.NaN);
