// Compares a run on a device with the reference: routing choices must be equal, then values close.
import type { ActivationType } from "../../runtime/program/target.js";
import type { Program } from "../../runtime/program/program.js";
import { observedEntries, observedRoute } from "../../runtime/program/observed.js";
import type { Choice, Evaluation, Forced } from "../../compiler/reference/evaluate.js";
import { existingEntries, packRoute, packRows } from "../../compiler/reference/pack.js";
import type { Tensor } from "../../compiler/ops/define.js";
import { chosenFrom } from "../../ground/size/count-rules.js";
import type { DType } from "../../ground/base/dtype.js";
import { invariant } from "../../ground/base/invariant.js";
import { resolveSizes } from "../../ground/size/axes.js";
import { parseAxes } from "../../runtime/steps/sizes.js";
import { lengthsByAxis, type Lengths } from "../../ground/size/lengths.js";

/** A result of a run: row-major, with sequences padded to a common length. */
export interface Value {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/** Results, losses and observed values by name. */
export type Values = ReadonlyMap<string, Value>;

/** The inputs of a run by name, and the lengths of sequences; null: all sequences are full. */
export interface RunInputs {
  readonly inputs: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: ArrayLike<number> }>;
  readonly lengths: Lengths | null;
}

/** Tolerances for comparing a run with the reference. */
export interface Allowed {
  /** The largest difference, as a share of a result's largest magnitude. */
  readonly values: number;
  /** Routing choices may differ if their scores are closer than this. */
  readonly scores: number;
}

/**
 * Through a few layers, f32 sums over thousands of terms and exponentials with relative errors of 1e-6 differ by about
 * 1e-5. f32 scores are inexact too.
 */
const BY_F32: Allowed = { values: 1e-4, scores: 1e-3 };

/**
 * Each store in f16 rounds by 2^-11: weights once, activations some five times in a layer. The examples with random
 * weights differ by half of this. Choices by the sum of several layers may differ by twice as much, and by ranks.
 */
const BY_F16: Allowed = { values: 16 * 2 ** -11, scores: 64 * 2 ** -11 };

const ALLOWED: Readonly<Record<ActivationType, Allowed>> = { f32: BY_F32, f16: BY_F16 };

export const allowedBy = (precision: ActivationType): Allowed => ALLOWED[precision];

/**
 * Whether an output is a gradient. Names of results in a source have no dot, and an objective has no results; values
 * observed within a block `grad` are not results.
 */
const isGradient = ({ name, role }: Program["outputs"][number]): boolean =>
  role === "result" && name.startsWith("grad.");
/**
 * If a gradient is below this share of the largest gradient, its difference is measured against this share: if its
 * terms cancel, as for a router whose only gate is divided by itself, the remainder is rounding error of the terms.
 */
const LEAST_GRADIENT = 1e-3;

export interface Verdict {
  readonly agrees: boolean;
  /**
   * Number of sequences whose route differs from the reference's by a near-tie. For these the reference used the
   * device's choices.
   */
  readonly ties: number;
  /** The largest difference of each result and loss, as a share of its largest magnitude. */
  readonly differences: ReadonlyMap<string, number>;
  /** The disagreements, in words. */
  readonly faults: readonly string[];
}

/**
 * Compares the values of a run with the reference. `evaluate` runs the reference, with forced choices if the call
 * passes any.
 */
export async function compareRun(
  program: Pick<Program, "axes" | "inputs" | "outputs" | "precision">,
  given: RunInputs,
  values: Values,
  evaluate: (forced?: Forced) => Evaluation | Promise<Evaluation>,
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
      // A choice that differs may change later choices: those are compared only if no earlier choice differs.
      else if (ties === 0)
        faults.push(`the route on ${axis} differs in sequence ${b}, though its scores are ${margin} apart`);
    }
  }
  const entries = entriesOf(program, given, values, free, forced);
  const others = [...entries].some(([name, own]) => rowsApart(own, free.entries.get(name)?.chosen).length > 0);
  const reference = ties > 0 || others ? await evaluate({ forced, forcedEntries: entries }) : free;
  // With the run's choices forced, the reference reports for each choice of entries the entries that its scores imply,
  // and their margin.
  for (const [name, indices] of entries) {
    const { chosen, margins } = reference.entries.get(name)!;
    const apart = rowsApart(indices, chosen);
    const most = apart.reduce((margin, row) => Math.max(margin, margins[row]!), 0);
    if (most <= allowed.scores) ties += apart.length;
    else faults.push(`the entries of ${name} differ, though their scores are ${most} apart`);
  }
  const differences = new Map<string, number>();
  const compared = program.outputs.filter(({ role }) => role !== "observe");
  const gradients = compared.filter(isGradient).map(({ name }) => name);
  const least = LEAST_GRADIENT * Math.max(0, ...gradients.map((name) => magnitude(reference.outputs.get(name)!.data)));
  for (const output of compared) {
    const { name } = output;
    const [found, wanted] = [values.get(name)!, reference.outputs.get(name)!];
    const difference = largestDifference(found.data, wanted.data, isGradient(output) ? least : 0);
    differences.set(name, difference);
    if (!(difference <= allowed.values))
      faults.push(`${name} differs by ${difference.toExponential(1)} of its largest magnitude`);
  }
  return { agrees: faults.length === 0, ties, differences, faults };
}

/** The choices of entries that a run observed, by their names, in packed rows. */
function entriesOf(
  program: Pick<Program, "axes" | "inputs" | "outputs">,
  given: RunInputs,
  values: Values,
  free: Evaluation,
  routes: ReadonlyMap<string, Choice>,
): ReadonlyMap<string, Tensor> {
  const entries = new Map<string, Tensor>();
  for (const output of program.outputs) {
    const path = observedEntries(output);
    const [value, count] = [values.get(output.name), values.get(`${path}.count`)];
    if (path === null || !value || !count || !free.entries.has(path)) continue;
    const { packing } = output;
    const whole = existingEntries(value, count.data);
    const starts = packing && startsOfAxis(packing.axis, program, given, free, routes);
    entries.set(path, packing && starts ? packRows(whole, packing, starts) : whole);
  }
  return entries;
}

/** Row offsets of an axis in the run: from the observed route, the reference's route, or the inputs. */
const startsOfAxis = (
  axis: string,
  program: Pick<Program, "axes" | "inputs">,
  given: RunInputs,
  free: Evaluation,
  routes: ReadonlyMap<string, Choice>,
): ArrayLike<number> =>
  routes.get(axis)?.starts.data ?? free.routes.get(axis)?.used.starts.data ?? startsOfInputs(program, given, axis);

/** Row offsets of an axis whose counts follow from the shapes of the inputs and the lengths. */
function startsOfInputs(program: Pick<Program, "axes" | "inputs">, given: RunInputs, axis: string): Uint32Array {
  const axes = parseAxes(program);
  const extents = new Map(
    program.inputs.flatMap(({ name, shape }) =>
      shape.flatMap((size, dim) =>
        typeof size === "string" ? [[size, given.inputs.get(name)!.shape[dim]!] as const] : [],
      ),
    ),
  );
  const lengths = lengthsByAxis(given.lengths, axes, extents);
  invariant(!("code" in lengths), "the run has checked its lengths");
  return resolveSizes(axes, { extents, lengths, live: new Map() }).sequence(axis).starts();
}

/** The rows in which two choices have different entries; all rows of the first if there is no second. */
function rowsApart(a: Tensor, b: Tensor | undefined): readonly number[] {
  const k = a.shape.at(-1)!;
  return Array.from({ length: a.data.length / k }, (_, row) => row).filter((row) =>
    a.data.subarray(row * k, (row + 1) * k).some((entry, j) => entry !== b?.data[row * k + j]),
  );
}

/**
 * The choices of observed routes, packed as the reference expects. A parent route comes before the routes that choose
 * from it.
 */
function choicesOf(
  program: Pick<Program, "axes" | "inputs" | "outputs">,
  given: RunInputs,
  values: Values,
  free: Evaluation,
): ReadonlyMap<string, Choice> {
  const choices = new Map<string, Choice>();
  for (const axis of program.axes) {
    const parent = axis.role === "sequence" ? chosenFrom(axis.count) : null;
    if (parent === null) continue;
    const output = program.outputs.find((o) => o.packing?.axis === axis.name && observedRoute(o) !== null);
    const [index, count] = output
      ? [values.get(output.name), values.get(`${output.name.slice(0, -".index".length)}.count`)]
      : [];
    if (!index || !count) continue;
    const starts = startsOfAxis(parent, program, given, free, choices);
    choices.set(axis.name, packRoute(index.data, index.shape[1] ?? 0, count.data, starts));
  }
  return choices;
}

/** The sequences in which two choices select different rows. */
function differing(a: Choice, b: Choice): readonly number[] {
  const rows = ({ index, starts }: Choice, s: number): string =>
    index.data.slice(starts.data[s], starts.data[s + 1]).join();
  return Array.from({ length: a.starts.data.length - 1 }, (_, s) => s).filter((s) => rows(a, s) !== rows(b, s));
}

/** The largest magnitude of finite values. */
function magnitude(values: ArrayLike<number>): number {
  let most = 0;
  for (let i = 0; i < values.length; i++) {
    const absolute = Math.abs(values[i]!);
    if (absolute > most && absolute < Infinity) most = absolute;
  }
  return most;
}

/**
 * max |a − b| / max(|b|, least, 1e-30); equal infinities and two NaN do not differ, one NaN differs by NaN.
 */
export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>, least = 0): number {
  let [most, scale] = [0, Math.max(least, 1e-30)];
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
