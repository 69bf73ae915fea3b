// Holds a run on a device against the reference: equal choices, then close values.
import type { ActivationType } from "../program/target.js";
import type { Program } from "../program/program.js";
import type { Choice, Evaluation } from "../reference/evaluate.js";
import { packRoute } from "../reference/pack.js";
import { startsOf } from "../size/counts.js";
import type { DType } from "../base/dtype.js";

/** A value as a run gives it: row-major, sequences side by side. */
export interface Value {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/** Results, losses and observed values by name. */
export type Values = ReadonlyMap<string, Value>;

/** What a run was given: inputs by name, and the tokens of each sequence; null: all are full. */
export interface RunInputs {
  readonly inputs: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: ArrayLike<number> }>;
  readonly lengths: readonly number[] | null;
}

/** What a run is held to. */
export interface Allowed {
  /** Largest difference, as a share of the largest magnitude of a result. */
  readonly values: number;
  /** A choice may differ where scores are closer than this. */
  readonly scores: number;
}

/**
 * Sums in 32 bits over thousands of terms, exponentials with relative errors of 1e-6 and a few layers on top of one
 * another come to about 1e-5; and 32-bit scores are not exact.
 */
const BY_F32: Allowed = { values: 1e-4, scores: 1e-3 };

/**
 * Values that lie in memory as f16 are rounded by 2^-11 whenever they are stored, and weights once: a layer stores some
 * five on the way to what it adds. Of examples with random weights half of this is used. What is chosen by the sum of
 * several layers may differ by as much again, and by ranks.
 */
const BY_F16: Allowed = { values: 16 * 2 ** -11, scores: 64 * 2 ** -11 };

const ALLOWED: Readonly<Record<ActivationType, Allowed>> = { f32: BY_F32, f16: BY_F16 };

export const allowedBy = (precision: ActivationType): Allowed => ALLOWED[precision];

export interface Verdict {
  readonly agrees: boolean;
  /**
   * Sequences in which a route was chosen otherwise than the reference would, by a near-tie; the reference then took
   * the device's choices.
   */
  readonly ties: number;
  /** Largest difference of each result and loss, as a share of its largest magnitude. */
  readonly differences: ReadonlyMap<string, number>;
  /** What disagrees, in words. */
  readonly faults: readonly string[];
}

/** `evaluate` runs the same on the reference, with these choices where they are given. */
export async function compareRun(
  program: Pick<Program, "axes" | "outputs" | "precision">,
  given: RunInputs,
  values: Values,
  evaluate: (forced?: ReadonlyMap<string, Choice>) => Evaluation | Promise<Evaluation>,
  allowed: Allowed = allowedBy(program.precision),
): Promise<Verdict> {
  const free = await evaluate();
  const forced = choicesOf(program, given, values, free);
  const faults: string[] = [];
  let ties = 0;
  for (const [axis, choice] of forced) {
    const route = free.routes.get(axis);
    if (!route) continue;
    for (const b of differing(choice, route.chosen)) {
      const margin = route.margins[b]!;
      if (margin <= allowed.scores) ties++;
      // Behind a choice that differs, others may too: they are judged only where nothing before them did.
      else if (ties === 0)
        faults.push(`the route on ${axis} differs in sequence ${b}, though its scores are ${margin} apart`);
    }
  }
  const reference = ties > 0 ? await evaluate(forced) : free;
  const differences = new Map<string, number>();
  for (const { name, role } of program.outputs) {
    if (role === "observe") continue;
    const [found, wanted] = [values.get(name)!, reference.outputs.get(name)!];
    const difference = largestDifference(found.data, wanted.data);
    differences.set(name, difference);
    if (!(difference <= allowed.values))
      faults.push(`${name} differs by ${difference.toExponential(1)} of its largest magnitude`);
  }
  return { agrees: faults.length === 0, ties, differences, faults };
}

/** The choices of observed routes, packed as the reference takes them. Parents stand before what is chosen on them. */
function choicesOf(
  program: Pick<Program, "axes" | "outputs">,
  given: RunInputs,
  values: Values,
  free: Evaluation,
): ReadonlyMap<string, Choice> {
  const choices = new Map<string, Choice>();
  for (const axis of program.axes) {
    if (axis.role !== "sequence" || (axis.count.kind !== "top" && axis.count.kind !== "above")) continue;
    const output = program.outputs.find(
      (o) => o.packing?.axis === axis.name && o.name.endsWith(".index") && o.role === "observe",
    );
    const [index, count] = output
      ? [values.get(output.name), values.get(`${output.name.slice(0, -".index".length)}.count`)]
      : [];
    if (!index || !count) continue;
    const { parent } = axis.count;
    const starts =
      choices.get(parent)?.starts.data ??
      free.routes.get(parent)?.used.starts.data ??
      startsOf(inputCounts(given, count.data.length));
    choices.set(axis.name, packRoute(index.data, index.shape[1] ?? 0, count.data, starts));
  }
  return choices;
}

function inputCounts(given: RunInputs, batch: number): Uint32Array {
  const [first] = [...given.inputs.values()];
  return given.lengths ? Uint32Array.from(given.lengths) : new Uint32Array(batch).fill(first?.shape[1] ?? 0);
}

/** Sequences in which two choices are not the same rows. */
function differing(a: Choice, b: Choice): readonly number[] {
  const rows = ({ index, starts }: Choice, s: number): string =>
    index.data.slice(starts.data[s], starts.data[s + 1]).join();
  return Array.from({ length: a.starts.data.length - 1 }, (_, s) => s).filter((s) => rows(a, s) !== rows(b, s));
}

/** max |a − b| / max(|b|, 1e-30); equal infinities and two NaN do not differ, one NaN differs by NaN. */
export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [most, scale] = [0, 1e-30];
  for (let i = 0; i < b.length; i++) {
    const [x, y] = [a[i]!, b[i]!];
    if (x === y || (Number.isNaN(x) && Number.isNaN(y))) {
      if (Number.isFinite(y)) scale = Math.max(scale, Math.abs(y));
      continue;
    }
    if (!Number.isFinite(x) || !Number.isFinite(y)) return NaN;
    most = Math.max(most, Math.abs(x - y));
    scale = Math.max(scale, Math.abs(y));
  }
  return most / scale;
}
