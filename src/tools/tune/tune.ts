// `tune`: measures a model's products and attention on a device, and adopts the tunings that gain.
import type { Graph } from "../../compiler/ir/graph.js";
import type { Target } from "../../runtime/program/target.js";
import type { Device, DeviceBest } from "../../runtime/index.js";
import {
  candidates,
  type Candidate,
  type ProductTunings,
  type Tunings,
} from "../../compiler/schedule/tunings/index.js";
import {
  attentionName,
  attentionOnUnits,
  exactAttention,
  type AttentionTuning,
} from "../../compiler/schedule/tunings/attention.js";
import { adoptProducts, type ProductTimes, type TimesWithBaseline } from "./adopt-products.js";
import { attentionShapes, attentionWorkload, COMMON_ATTENTION, queryShapes, queryWorkload } from "./attention.js";
import { boundOf, type Bound } from "./bound.js";
import { bestOf, chooseOne } from "./choose.js";
import { MIN_ROUNDS, measure, type Contender, type Measured } from "./tournament.js";
import { COMMON_SHAPES, productShapes, productWorkload, type ProductShape } from "./products.js";
import { adoptRounding, roundingChoices, withRounding, type RoundingTimes } from "./rounding.js";
import type { Workload } from "./workload.js";

export interface TuneOptions {
  /** The optimized graph of a model; null: weight shapes of models with some 512 channels. */
  readonly graph: Graph | null;
  /** The initial tunings: from the device's class or from an earlier measurement. */
  readonly base: Tunings;
  /** The time limit; a run that has started is finished. */
  readonly budgetSeconds: number;
  /** Ends the measurement early. Earlier results count. */
  readonly signal: AbortSignal;
  /** Called before each measurement. */
  readonly onProgress: (stage: string, detail: string) => void;
}

export interface Tuned {
  readonly tunings: Tunings;
  readonly measured: readonly Measured[];
  /** The number of workloads to measure. `measured` holds those that were at least started. */
  readonly workloads: number;
  /** The error that ended the measurement early: a lost device, or another fault. */
  readonly fault: Error | null;
}

const ROWS = [1, 4, 8, 32, 128, 512] as const;
const TOKENS = [64, 256] as const;
const KEYS = [256, 2048, 16_384] as const;
/** The least mean gain, as a logarithm, for which a family's tunings are changed. */
const MIN_GAIN = Math.log(1.03);

/** A workload and the contenders to measure on it. */
interface Job {
  readonly workload: Workload;
  readonly contenders: readonly Contender[];
  /** The weight's shape if the workload is a product; null for attention. */
  readonly shape: ProductShape | null;
  /** Whether operands may be rounded to f16. Measured if the device has matrix units. */
  readonly rounding: boolean;
  /** Whether the job measures attention of one query. */
  readonly few?: boolean;
}

/**
 * Measures and adopts tunings. Never throws for a failed measurement: the result has the fault and all earlier
 * measurements.
 */
export async function tune(
  device: Device,
  { graph, base, budgetSeconds, signal, onProgress }: TuneOptions,
): Promise<Tuned> {
  const { target } = device;
  const products = candidates("products", target);
  const roundings = roundingChoices(target);
  // The candidate in use is left out: it would compete with itself, and noise would look like a gain.
  const otherThan =
    (current: AttentionTuning) =>
    ({ tunings }: Candidate<AttentionTuning>): boolean =>
      JSON.stringify(tunings) !== JSON.stringify(current);
  const { few, ...tiled } = base.attention;
  const queries = candidates("attention", target)
    .filter((c) => c.tunings.few !== undefined)
    .map(({ name, tunings }) => ({ name, tunings: withFew(tiled, tunings.few) }))
    .filter(otherThan(base.attention));
  const attentions = candidates("attention", target)
    .filter((c) => c.tunings.few === undefined)
    .filter(otherThan(exactAttention(tiled)));
  const without = base.attention.kind === "matrix" ? [base.attention.other] : [];
  const roundingAttentions = [...without, ...attentionOnUnits(target)]
    .map((tunings): Candidate<AttentionTuning> => ({ name: attentionName(tunings), tunings }))
    .filter(otherThan(tiled));
  const shapes = graph ? attentionShapes(graph) : COMMON_ATTENTION;
  const generated = new Set(queryShapes(shapes));
  const baseline: Contender = { name: "as it is", tunings: base };
  const against = (others: readonly Contender[]): readonly Contender[] => [baseline, ...others];
  const jobs: readonly Job[] = [
    ...(graph ? productShapes(graph) : COMMON_SHAPES).flatMap((shape): readonly Job[] => {
      const sizes = sizesUpTo(ROWS, graph);
      const of = ({ name }: { readonly name: string }, own: ProductTunings): Contender => ({
        name,
        tunings: { ...base, products: own },
      });
      const exact = usedFirst(products, base.products).map((c) => of(c, c.tunings));
      const rounded = roundings.map((c) => of(c, withRounding(base.products, shape, c, target)));
      return [
        { workload: productWorkload(shape, sizes), contenders: against(exact), shape, rounding: false },
        ...(rounded.length === 0
          ? []
          : [{ workload: productWorkload(shape, sizes, true), contenders: against(rounded), shape, rounding: true }]),
      ];
    }),
    ...shapes.flatMap((shape): readonly Job[] => {
      const sizes = sizesUpTo(TOKENS, graph);
      const of = (c: Candidate<AttentionTuning>): Contender => ({
        name: c.name,
        tunings: { ...base, attention: withFew(c.tunings, few) },
      });
      const job = (all: readonly Candidate<AttentionTuning>[], rounding: boolean): Job => ({
        workload: attentionWorkload(shape, sizes, rounding),
        contenders: against(all.map(of)),
        shape: null,
        rounding,
      });
      const one: Job = {
        workload: queryWorkload(shape, sizesUpTo(KEYS, graph)),
        contenders: against(queries.map((c) => ({ name: c.name, tunings: { ...base, attention: c.tunings } }))),
        shape: null,
        rounding: false,
        few: true,
      };
      return [
        job(attentions, false),
        ...(roundingAttentions.length === 0 ? [] : [job(roundingAttentions, true)]),
        ...(queries.length > 0 && generated.has(shape) ? [one] : []),
      ];
    }),
  ];
  const end = performance.now() + 1000 * budgetSeconds;
  const measured: (Measured & Pick<Job, "shape" | "rounding" | "few">)[] = [];
  let fault: Error | null = null;
  for (const [i, { workload, contenders, ...rest }] of jobs.entries()) {
    const now = performance.now();
    if (signal.aborted || now >= end) break;
    // Each job gets an equal share of the remaining time; the first gets twice that, since it also compiles kernels.
    const share = i === 0 && jobs.length > 1 ? 2 / (jobs.length + 1) : 1 / (jobs.length - i);
    const limits = {
      deadline: now + (end - now) * share,
      signal,
      report: (detail: string) => onProgress(`measuring ${workload.name}`, detail),
    };
    try {
      measured.push({ ...(await measure(device, workload, contenders, limits)), ...rest });
    } catch (error) {
      fault = error instanceof Error ? error : new Error(String(error));
      break;
    }
  }
  const compared = measured.filter((m) => m.rounds >= MIN_ROUNDS);
  const shaped = compared.flatMap(({ shape, rounding, ...m }): readonly ProductTimes[] =>
    shape && !rounding ? [{ ...shape, ...timesOf(m, products) }] : [],
  );
  const rounded = compared.flatMap(({ shape, rounding, ...m }): readonly RoundingTimes[] =>
    shape && rounding ? [{ ...shape, ...timesOf(m, roundings) }] : [],
  );
  const ofAttention = (
    choices: readonly Candidate<AttentionTuning>[],
    rounding: boolean,
    one = false,
  ): AttentionTuning | null => {
    const ofKind = compared.filter((m) => m.shape === null && m.rounding === rounding && (m.few ?? false) === one);
    return (
      chooseOne(
        ofKind.map((m) => timesOf(m, choices)),
        MIN_GAIN,
      )?.tunings ?? null
    );
  };
  const exact = exactAttention(ofAttention(attentions, false) ?? tiled);
  const units = ofAttention(roundingAttentions, true) ?? tiled;
  const chosenFew = (ofAttention(queries, false, true) ?? base.attention).few;
  const general = graph === null;
  const tunings: Tunings = {
    ...base,
    products: adoptRounding(adoptProducts(base.products, shaped, general), rounded, general, target),
    attention: withFew(units.kind === "matrix" ? { ...units, other: exact } : exact, chosenFew),
  };
  return { tunings, measured, workloads: jobs.length, fault };
}

/** The sizes below the model's longest sequence, and the longest sequence itself. */
function sizesUpTo(sizes: readonly number[], graph: Graph | null): readonly number[] {
  const bounds = (graph?.axes ?? []).flatMap((a) =>
    a.role === "sequence" && a.count.kind === "input" ? [a.bound ?? Infinity] : [],
  );
  const most = Math.min(sizes.at(-1)!, bounds.length === 0 ? Infinity : Math.max(...bounds));
  return [...sizes.filter((n) => n < most), most];
}

/** The candidates in the order of trial, kernels already in use first. */
function usedFirst(
  choices: readonly Candidate<ProductTunings>[],
  base: ProductTunings,
): readonly Candidate<ProductTunings>[] {
  const used = new Set([base, ...base.shapes].flatMap((t) => t.byWeight.map((c) => c.tuning.kind)));
  const isUsed = ({ tunings }: Candidate<ProductTunings>): boolean => used.has(tunings.byWeight[0]!.tuning.kind);
  return [...choices.filter(isUsed), ...choices.filter((c) => !isUsed(c))];
}

/** Times of the measured candidates and of the baseline. */
function timesOf<C extends { readonly name: string }>(
  { times, baseline }: Measured,
  choices: readonly C[],
): TimesWithBaseline<C> {
  const rowOf = (name: string): readonly (number | null)[] =>
    times.seconds[times.choices.findIndex((c) => c.name === name)] ?? times.sizes.map(() => null);
  const run = choices.filter((c) => times.choices.some((t) => t.name === c.name));
  return {
    times: { sizes: times.sizes, choices: run, seconds: run.map((c) => rowOf(c.name)) },
    baseline: rowOf(baseline.name),
  };
}

/** One line of the report: a size's best contender and the baseline. */
export interface TunedSize {
  readonly workload: string;
  readonly size: number;
  /** The unit of the size: `rows`. */
  readonly counts: string;
  readonly best: string;
  readonly seconds: number;
  /** Seconds with the baseline; null if the baseline does not run on this device or gives wrong results. */
  readonly baselineSeconds: number | null;
  readonly flops: number | null;
  readonly bytes: number;
  /** The bound of the best choice at this size; null if the device's best was not measured. */
  readonly bound: Bound | null;
}

/** A line, and what was measured. */
export interface TunedLine {
  readonly told: TunedSize;
  readonly of: Workload;
  readonly tunings: Tunings;
}

/** A line for each size at which finalists were compared; `deviceBest`: if that was measured. */
export function linesOf(
  { workload, baseline, times, rounds }: Measured,
  target: Target,
  deviceBest: DeviceBest | null,
): readonly TunedLine[] {
  if (rounds < MIN_ROUNDS) return [];
  const best = bestOf(times);
  const base = times.choices.findIndex((c) => c === baseline);
  return times.sizes.flatMap((size, s): readonly TunedLine[] => {
    if (times.seconds.filter((row, c) => c !== base && row[s] !== null).length === 0) return [];
    const { name, tunings } = times.choices[times.seconds.findIndex((row) => row[s] === best[s])]!;
    const seconds = best[s]!;
    const told = {
      workload: workload.name,
      size,
      counts: workload.counts,
      best: name,
      seconds,
      baselineSeconds: times.seconds[base]?.[s] ?? null,
      flops: workload.flops(size),
      bytes: workload.bytes(size),
      bound: deviceBest && boundOf(workload, size, { target, tunings, seconds }, deviceBest),
    };
    return [{ told, of: workload, tunings }];
  });
}

const withFew = (tuning: AttentionTuning, few: AttentionTuning["few"]): AttentionTuning =>
  few === undefined ? tuning : { ...tuning, few };
