// Schedules of the learning rate and of live parameters, as pure functions of the step.
import { TrainError } from "./errors.js";

export const LEARNING_RATES = ["cosine", "constant", "linear", "wsd"] as const;
export type LearningRateKind = (typeof LEARNING_RATES)[number];

/**
 * Steps are counted from 0. Every kind rises to `peak` during the first `warmup` steps, and reaches it at step `warmup`
 * − 1.
 */
export interface LearningRateOptions {
  /**
   * `constant` stays at `peak`; `cosine` and `linear` fall to `minimum` at the last step; `wsd` (warm-up, stable,
   * decay; Hu et al. 2024, arXiv 2404.06395) stays at `peak` and falls linearly to `minimum` over the last `decay`
   * steps.
   */
  readonly kind: LearningRateKind;
  readonly peak: number;
  readonly minimum: number;
  readonly warmup: number;
  /** Number of steps of the whole run. */
  readonly steps: number;
  /** Decay steps of `wsd`, at least 1. */
  readonly decay: number;
}

/** A value as a function of the step. */
export type Schedule = (step: number) => number;

/** The learning rate of each step, constant after the last. Throws TrainError for invalid options. */
export function learningRate(options: LearningRateOptions): Schedule {
  checkLearningRate(options);
  const { kind, peak, minimum, warmup, steps, decay } = options;
  const falling = kind === "wsd" ? decay : steps - warmup;
  const from = steps - falling;
  return (step) => {
    if (step < warmup) return (peak * (step + 1)) / warmup;
    if (kind === "constant") return peak;
    // 0 at the last step of the peak, 1 at the last step of the run
    const x = Math.min(1, Math.max(0, (step - from + 1) / falling));
    return kind === "cosine"
      ? minimum + ((peak - minimum) * (1 + Math.cos(Math.PI * x))) / 2
      : peak + (minimum - peak) * x;
  };
}

function checkLearningRate({ kind, peak, minimum, warmup, steps, decay }: LearningRateOptions): void {
  const fail = (message: string, hint: string | null = null): never => {
    throw new TrainError("bad-option", message, { hint });
  };
  if (!LEARNING_RATES.includes(kind))
    fail(`${JSON.stringify(kind)} is not a schedule of the learning rate`, `choose ${LEARNING_RATES.join(", ")}`);
  if (!(peak > 0 && Number.isFinite(peak))) fail(`the learning rate is ${peak}: it must be above 0`);
  if (!(minimum >= 0 && minimum <= peak))
    fail(`the least learning rate is ${minimum}: it must be between 0 and the peak, ${peak}`);
  if (!(Number.isSafeInteger(steps) && steps >= 1)) fail(`${steps} steps cannot be trained: at least 1`);
  if (!(Number.isSafeInteger(warmup) && warmup >= 0 && warmup <= steps))
    fail(`the warm-up takes ${warmup} steps: it must be from 0 to all of the ${steps}`);
  if (kind === "wsd" && !(Number.isSafeInteger(decay) && decay >= 1 && decay <= steps - warmup))
    fail(`the decay takes ${decay} steps: it must be from 1 to the ${steps - warmup} that follow the warm-up`);
}

/** A value at a step. */
export interface Point {
  readonly step: number;
  readonly value: number;
}

/**
 * Linear interpolation between the points; constant before the first and after the last. Throws TrainError if the steps
 * do not increase.
 */
export function piecewiseLinear(points: readonly Point[]): Schedule {
  if (points.length === 0) throw new TrainError("bad-option", "a schedule needs at least one point");
  for (const [i, { step, value }] of points.entries()) {
    if (!(Number.isSafeInteger(step) && step >= 0))
      throw new TrainError("bad-option", `a point of a schedule is at step ${step}: steps count from 0`);
    if (!Number.isFinite(Math.fround(value))) throw new TrainError("bad-option", `a schedule has the value ${value}`);
    if (i > 0 && step <= points[i - 1]!.step)
      throw new TrainError(
        "bad-option",
        `the points of a schedule must rise in step: ${step} follows ${points[i - 1]!.step}`,
      );
  }
  return (step) => {
    const after = points.findIndex((p) => p.step > step);
    if (after === 0) return points[0]!.value;
    if (after < 0) return points.at(-1)!.value;
    const [a, b] = [points[after - 1]!, points[after]!];
    return a.value + ((b.value - a.value) * (step - a.step)) / (b.step - a.step);
  };
}

/**
 * Parses `100%@0,12.5%@2000`: values with their steps, which may be shares of the run (`12.5%@50%`). Throws
 * TrainError.
 */
export function parsePoints(text: string, steps: number): readonly Point[] {
  return text.split(",").map((part) => {
    const match = /^\s*([^@\s]+)\s*@\s*(\d+|\d+(?:\.\d+)?%)\s*$/.exec(part);
    const value = match ? parseRatio(match[1]!) : null;
    if (!match || value === null)
      throw new TrainError("bad-option", `${JSON.stringify(part.trim())} is not a value at a step`, {
        hint: "write 100%@0,12.5%@2000, or shares of the run: 12.5%@50%",
      });
    const at = match[2]!;
    return { step: at.endsWith("%") ? Math.round((Number(at.slice(0, -1)) / 100) * steps) : Number(at), value };
  });
}

/** `0.5`, `12.5%`, `1/8`; null for anything else. */
export function parseRatio(text: string): number | null {
  const number = /^-?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;
  if (number.test(text)) return Number(text);
  if (text.endsWith("%") && number.test(text.slice(0, -1))) return Number(text.slice(0, -1)) / 100;
  const [a, b, ...rest] = text.split("/");
  return rest.length === 0 && b !== undefined && number.test(a!) && number.test(b) && Number(b) !== 0
    ? Number(a) / Number(b)
    : null;
}
