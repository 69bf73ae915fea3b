// `tune`: measures what a model computes on a device, and gives the tunings with what gains by it.
import type { Graph } from "../ir/graph.js";
import type { Device } from "../runtime/index.js";
import { candidates, type Candidate, type ProductTunings, type Tunings } from "../schedule/tunings/index.js";
import { adoptProducts, type ProductTimes } from "./adopt-products.js";
import { bestOf } from "./choose.js";
import { LEAST_ROUNDS, measure, type Contender, type Measured } from "./contest.js";
import { COMMON_SHAPES, productShapes, productWorkload, type ProductShape } from "./products.js";

export interface TuneOptions {
  /** The optimized graph of a model; null: shapes of models of some 512 channels. */
  readonly graph: Graph | null;
  /** What is taken without measuring: those of the device's class, or of an earlier measurement. */
  readonly base: Tunings;
  /** How long it may take; what is under way then is finished. */
  readonly budgetSeconds: number;
  /** Ends it; what was measured by then counts. */
  readonly signal: AbortSignal;
  /** Called before each step of it. */
  readonly onProgress: (stage: string, detail: string) => void;
}

export interface Tuned {
  readonly tunings: Tunings;
  readonly measured: readonly Measured[];
  /** What was to be measured, and how much of it was at least begun. */
  readonly workloads: number;
  /** What ended it before its time: the device was lost, or something else went wrong. */
  readonly fault: Error | null;
}

const ROWS = [1, 4, 8, 32, 128, 512] as const;

/** Never throws for what happens on the way: what was measured is not lost by it. */
export async function tune(device: Device, { graph, base, budgetSeconds, signal, onProgress }: TuneOptions): Promise<Tuned> {
  const shapes = graph ? productShapes(graph) : COMMON_SHAPES;
  const rows = rowsOf(graph);
  const choices = candidates("products", device.target);
  const contenders: readonly Contender[] = [
    { name: "as it is", tunings: base },
    ...likely(choices, base.products).map((c) => ({ name: c.name, tunings: { ...base, products: c.tunings } })),
  ];
  const end = performance.now() + 1000 * budgetSeconds;
  const measured: (Measured & { readonly shape: ProductShape })[] = [];
  let fault: Error | null = null;
  for (const [i, shape] of shapes.entries()) {
    const now = performance.now();
    if (signal.aborted || now >= end) break;
    const workload = productWorkload(shape, rows);
    // Each has its share of what is left, the first twice as much: kernels are compiled with it.
    const share = i === 0 ? 2 / (shapes.length + 1) : 1 / (shapes.length - i);
    const limits = { deadline: now + (end - now) * share, signal, report: (detail: string) => onProgress(`measuring ${workload.name}`, detail) };
    try {
      measured.push({ ...(await measure(device, workload, contenders, limits)), shape });
    } catch (error) {
      fault = error instanceof Error ? error : new Error(String(error));
      break;
    }
  }
  const products = adoptProducts(
    base.products,
    measured.filter((m) => m.rounds >= LEAST_ROUNDS).map((m) => productTimes(m, m.shape, choices)),
    graph === null,
  );
  return { tunings: { ...base, products }, measured, workloads: shapes.length, fault };
}

/** Up to the longest sequence of the model. */
function rowsOf(graph: Graph | null): readonly number[] {
  const bounds = (graph?.axes ?? []).flatMap((a) => (a.role === "sequence" && a.count.kind === "input" ? [a.bound ?? Infinity] : []));
  const most = Math.min(ROWS.at(-1)!, bounds.length === 0 ? Infinity : Math.max(...bounds));
  return [...ROWS.filter((n) => n < most), most];
}

/** In the order they are tried: kernels that are in use already first. */
function likely(choices: readonly Candidate<ProductTunings>[], base: ProductTunings): readonly Candidate<ProductTunings>[] {
  const used = new Set([base, ...base.shapes].flatMap((t) => t.byWeight.map((c) => c.tuning.kind)));
  const isUsed = ({ tunings }: Candidate<ProductTunings>): boolean => used.has(tunings.byWeight[0]!.tuning.kind);
  return [...choices.filter(isUsed), ...choices.filter((c) => !isUsed(c))];
}

function productTimes({ times, baseline }: Measured, { depth, columns }: ProductShape, choices: readonly Candidate<ProductTunings>[]): ProductTimes {
  const rowOf = (name: string): readonly (number | null)[] => times.seconds[times.choices.findIndex((c) => c.name === name)] ?? times.sizes.map(() => null);
  const run = choices.filter((c) => times.choices.some((t) => t.name === c.name));
  return { depth, columns, times: { sizes: times.sizes, choices: run, seconds: run.map((c) => rowOf(c.name)) }, baseline: rowOf(baseline.name) };
}

/** One line of what was found: the best of a size beside what is taken without measuring. */
export interface Found {
  readonly workload: string;
  readonly size: number;
  readonly best: string;
  readonly seconds: number;
  /** Null where the tunings so far do not run here, or give something else. */
  readonly baselineSeconds: number | null;
  readonly flops: number | null;
}

/** A line for each size at which contenders took turns. */
export function linesOf({ workload, baseline, times, rounds }: Measured): readonly Found[] {
  if (rounds < LEAST_ROUNDS) return [];
  const best = bestOf(times);
  const base = times.choices.findIndex((c) => c === baseline);
  return times.sizes.flatMap((size, s): readonly Found[] => {
    if (times.seconds.filter((row, c) => c !== base && row[s] !== null).length === 0) return [];
    const found = times.seconds.findIndex((row) => row[s] === best[s]);
    return [
      {
        workload: workload.name,
        size,
        best: times.choices[found]!.name,
        seconds: best[s]!,
        baselineSeconds: times.seconds[base]?.[s] ?? null,
        flops: workload.flops(size),
      },
    ];
  });
}
