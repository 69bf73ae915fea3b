// Runs a program on a device, or its graph on the reference, with the same inputs, weights and results for both.
import type { Graph } from "../ir/graph.js";
import type { Program, ProgramWeight } from "../program/program.js";
import type { Target } from "../program/target.js";
import type { Choice, Evaluation } from "../reference/evaluate.js";
import { checkLengths, checkLive, type LiveValue } from "../runtime/extents.js";
import { initialValues, load, matchWeights, openDevice, readWeight, type DeviceInfo, type DeviceKind, type Words } from "../runtime/index.js";
import { openWeights } from "../runtime/node.js";
import { parseAxes } from "../runtime/sizes.js";
import type { DType } from "../size/dtype.js";
import type { GivenInputs } from "./inputs.js";
import type { Progress } from "./terminal.js";

export interface Job {
  readonly program: Program;
  /** The program for the device that was opened; null: as it is. */
  readonly forTarget: ((target: Target) => Program) | null;
  readonly given: GivenInputs;
  /** Path of a checkpoint; null: starting values from the seed. */
  readonly weights: string | null;
  readonly live: Readonly<Record<string, LiveValue>>;
  readonly seed: number;
  readonly progress: Progress;
}

/** A value as the commands show it: row-major, sequences side by side. */
export interface Value {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/** Results, losses and observed values by name, in the program's order. */
export type Values = ReadonlyMap<string, Value>;

/** Runs on a device of that kind, the best there is for null. */
export async function runOnDevice(job: Job, kind: DeviceKind | null): Promise<{ readonly values: Values; readonly device: DeviceInfo }> {
  const { given, progress } = job;
  progress.report("opening the device");
  const device = await openDevice(kind === null ? {} : { kind });
  try {
    const program = job.forTarget?.(device.target) ?? job.program;
    const session = await load(program, device, job.weights ?? undefined, {
      max: Object.fromEntries(given.extents),
      live: job.live,
      seed: job.seed,
      onProgress: (event) => {
        if (event.kind !== "grow") progress.report(event.kind === "kernels" ? "compiling kernels" : "loading weights", `${event.done}/${event.total}`);
      },
    });
    progress.report("running");
    const results = await session.run(given.inputs, {
      observe: true,
      ...(given.lengths ? { lengths: given.lengths } : {}),
    });
    session.dispose();
    return { values: new Map(program.outputs.flatMap(({ name }) => (results[name] ? [[name, results[name]]] : []))), device: device.info };
  } finally {
    progress.clear();
    device.destroy();
  }
}

/** Runs the graph a program was made from, in 64-bit floats. `forced`: choices of another run. */
export async function runOnReference(job: Job, graph: Graph, forced?: ReadonlyMap<string, Choice>): Promise<Evaluation> {
  const { program, given, progress } = job;
  const axes = parseAxes(program);
  checkLengths(given.lengths ?? undefined, axes, given.extents);
  const { evaluate } = await import("../reference/evaluate.js");
  progress.report("running the reference");
  const weights = await readWeights(job);
  const evaluation = evaluate(graph, {
    inputs: given.inputs,
    weights,
    live: checkLive(program, job.live, null),
    seed: job.seed,
    ...(given.lengths ? { lengths: given.lengths } : {}),
    ...(forced ? { forced } : {}),
  });
  progress.clear();
  return evaluation;
}

async function readWeights({ program, weights, seed }: Job): Promise<ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Words }>> {
  const entry = (w: ProgramWeight, data: Words): [string, { readonly shape: readonly number[]; readonly data: Words }] => [w.path, { shape: w.shape, data }];
  if (weights === null) return new Map(program.weights.map((w) => entry(w, initialValues(w, seed))));
  const source = await openWeights(weights);
  try {
    const matched = matchWeights(program, source);
    const values = new Map<string, { readonly shape: readonly number[]; readonly data: Words }>();
    for (const w of program.weights) values.set(...entry(w, await readWeight(w, matched.get(w)!, source)));
    return values;
  } finally {
    await source.close();
  }
}
