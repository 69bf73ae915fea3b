// Runs a program on a device, or its graph on the reference, with the same interface for both.
import type { Graph } from "../../../compiler/ir/graph.js";
import type { Program } from "../../../runtime/program/program.js";
import type { Forced, Evaluation } from "../../../compiler/reference/evaluate.js";
import { checkLengths, checkLive, type LiveValue } from "../../../runtime/run/extents.js";
import {
  type Device,
  type DeviceInfo,
  type DeviceKind,
  load,
  openDevice,
  type Session,
  type Words,
} from "../../../runtime/index.js";
import type { ModelWeights } from "../../../models/opened/model.js";
import { median } from "../../../runtime/profile/statistics.js";
import { locateWeights } from "../../../runtime/weights/weights.js";
import { asStored } from "../../../runtime/weights/stored.js";
import { parseAxes } from "../../../runtime/steps/sizes.js";
import type { Tunings } from "../../../compiler/schedule/tunings/index.js";
import { wantedDevice } from "../source/device.js";
import type { ForTarget } from "../source/frontend.js";
import type { GivenInputs } from "./inputs.js";
import { showLoading, type Progress } from "../terminal/terminal.js";
import type { Values } from "../../verify/compare.js";

export interface Job {
  readonly program: Program;
  /** Compiles the program for the opened device; null: the program is compiled already. */
  readonly forTarget: ForTarget | null;
  /** A tunings file, or `none`; undefined: the user's tunings for the device. */
  readonly tunings?: string | undefined;
  readonly given: GivenInputs;
  /** Null: weights are initialized from the seed. */
  readonly weights: ModelWeights | null;
  readonly live: Readonly<Record<string, LiveValue>>;
  readonly seed: number;
  readonly progress: Progress;
  /** An open device for which the program is compiled; it stays open. */
  readonly device?: Device;
  /** A session of the same model on that device, whose weights are shared. */
  readonly weightsOf?: Session;
}

/** Times in milliseconds. */
export interface Times {
  /** Compilation of the source for the opened device; 0 if it was compiled already. */
  compile: number;
  device: number;
  /** Buffers, kernels and weights. */
  load: number;
  /** The first run: a software device compiles its kernels then. */
  first: number;
  /** The median of the later runs, and their number. */
  steady: number;
  runs: number;
}

/** A device with a loaded program. */
export interface Loaded {
  readonly session: Session;
  readonly program: Program;
  readonly device: Device;
  readonly times: Pick<Times, "compile" | "device" | "load">;
}

/**
 * Opens a device of this kind (null: the best available), loads the job's program, and calls `body`; then destroys the
 * device.
 */
export async function onDevice<T>(
  job: Omit<Job, "given"> & { readonly extents: ReadonlyMap<string, number> },
  kind: DeviceKind | null,
  use: (loaded: Loaded) => Promise<T>,
): Promise<T> {
  const { progress } = job;
  const weights = await job.weights?.fitted(job.program);
  if (!job.device) progress.report("opening the device");
  const started = performance.now();
  const device = job.device ?? (await openDevice(wantedDevice(kind === null ? {} : { device: kind })));
  try {
    const opened = performance.now();
    const program = job.forTarget ? job.forTarget(device.target, await tuningsFor(device, job)) : job.program;
    const compiled = performance.now();
    const session = await load(program, device, weights, {
      max: Object.fromEntries(job.extents),
      live: job.live,
      seed: job.seed,
      ...(job.weightsOf && { weightsOf: job.weightsOf }),
      onProgress: (event) => showLoading(event, progress, { given: job.weights !== null }),
    });
    const times = {
      compile: job.forTarget ? compiled - opened : 0,
      device: opened - started,
      load: performance.now() - compiled,
    };
    try {
      return await use({ session, program, device, times });
    } finally {
      session.dispose();
    }
  } finally {
    progress.clear();
    if (!job.device) device.destroy();
  }
}

/**
 * The tunings of a file; undefined: those of the device's class. The compiler is imported only for a program that is
 * compiled here.
 */
async function tuningsFor(device: Device, job: Pick<Job, "tunings">): Promise<Tunings | undefined> {
  const { tuningsOn } = await import("../source/tunings.js");
  return tuningsOn(device, job) ?? undefined;
}

/** Runs on a device of this kind (null: the best available), and `steadyRuns` more times to measure. */
export function runOnDevice(
  job: Job,
  kind: DeviceKind | null,
  steadyRuns = 0,
): Promise<{ readonly values: Values; readonly device: DeviceInfo; readonly times: Times }> {
  const { given: inputs, progress } = job;
  const options = inputs.lengths ? { lengths: inputs.lengths } : {};
  return onDevice({ ...job, extents: inputs.extents }, kind, async ({ session, program, device, times }) => {
    progress.report("running");
    const time = async <T>(body: () => Promise<T>): Promise<readonly [T, number]> => {
      const before = performance.now();
      return [await body(), performance.now() - before];
    };
    const [results, first] = await time(() => session.run(inputs.inputs, { observe: true, ...options }));
    const steady: number[] = [];
    for (let i = 0; i < steadyRuns; i++) steady.push((await time(() => session.run(inputs.inputs, options)))[1]);
    const values = new Map(program.outputs.flatMap(({ name }) => (results[name] ? [[name, results[name]]] : [])));
    return { values, device: device.info, times: { ...times, first, steady: median(steady), runs: steadyRuns } };
  });
}

/** Runs a program's graph on the reference, in f64. `forced`: choices of another run. */
export async function runOnReference(job: Job, graph: Graph, forced: Forced = {}): Promise<Evaluation> {
  const { program, given: inputs, progress } = job;
  const axes = parseAxes(program);
  checkLengths(inputs.lengths ?? undefined, axes, inputs.extents);
  const { evaluateInTurns } = await import("../../../compiler/reference/evaluate.js");
  progress.report("running the reference");
  const weights = await readWeights(job);
  const options = {
    inputs: inputs.inputs,
    weights,
    live: checkLive(program, job.live, null),
    seed: job.seed,
    ...(inputs.lengths ? { lengths: inputs.lengths } : {}),
    ...forced,
  };
  // In turns, so that an interrupt is handled in between.
  const evaluation = await evaluateInTurns(graph, options, () => new Promise((resolve) => void setImmediate(resolve)));
  progress.clear();
  return evaluation;
}

/** Values of every weight, given or initialized, rounded to the program's storage type. */
export async function readWeights({
  program,
  weights,
  seed,
}: Pick<Job, "program" | "weights" | "seed">): Promise<
  ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Words }>
> {
  const located = await locateWeights(program, await weights?.fitted(program), seed);
  try {
    const values = new Map<string, { readonly shape: readonly number[]; readonly data: Words }>();
    for (const weight of program.weights)
      values.set(weight.path, { shape: weight.shape, data: asStored(weight, await located.values(weight)) });
    return values;
  } finally {
    await located.close();
  }
}
