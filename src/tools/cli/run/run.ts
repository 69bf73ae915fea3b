// `modc run`: runs a model, from its source or compiled, on a device or on the reference.
import type { Graph } from "../../../compiler/ir/graph.js";
import {
  fileDtype,
  toBytes,
  writeSafetensors,
  type DeviceInfo,
  type DeviceKind,
  type Words,
} from "../../../runtime/index.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import { EXIT, type ExitCode, misuse } from "../terminal/exit.js";
import { runOnDevice, runOnReference, type Job, type Times } from "./execute.js";
import { writeText } from "../source/files.js";
import { expectWeights } from "../source/model-file.js";
import { readInputs } from "./inputs.js";
import { faultOf, programOf } from "../source/program.js";
import { showRun } from "./show.js";
import { columns, out, outJson, Progress, say } from "../terminal/terminal.js";
import { milliseconds } from "../terminal/units.js";
import { compareRun, type Value, type Values, type Verdict } from "../../verify/compare.js";
import type { Flags } from "../tree/declare.js";
import type { runningCommands } from "../tree/running.js";

/** Number of runs after the first, of which `--time` reports the median. */
const STEADY_RUNS = 9;

export async function run(opened: OpenedModel, flags: Flags<typeof runningCommands.run>): Promise<ExitCode> {
  expectWeights(opened);
  const kind = flags.device ?? null;
  if (flags.time && kind === "reference") throw misuse("--time measures a device, but --device reference uses none");
  if (flags.time) await import("../../../compiler/compile.js"); // loading the compiler is not compiling
  const started = performance.now();
  if (flags.tunings !== undefined && kind === "reference")
    throw misuse("--tunings chooses kernels, but --device reference has none");
  if (flags.activationsAs !== undefined && kind === "reference")
    throw misuse("--activations-as sets how a device stores values, but --device reference keeps 64 bits");
  if (flags.weightsAs !== undefined && kind === "reference")
    throw misuse("--weights-as sets how a device stores weights, but --device reference keeps 64 bits");
  const source = await programOf(opened, flags);
  const compileMs = source.graph === null ? 0 : performance.now() - started;
  const { program, graph, forTarget } = source;
  const onReference = kind === "reference" ? needGraph(graph, "--device reference") : null;
  const checked = flags.check ? needGraph(graph, "--check") : null;
  const job: Job = {
    program,
    forTarget,
    tunings: flags.tunings,
    given: await readInputs(program, flags, opened),
    weights: opened.weights,
    live: flags.live ?? {},
    seed: flags.seed ?? 0,
    progress: new Progress(),
  };
  if (job.weights === null && program.weights.some((w) => w.init.kind !== "ones" && w.init.kind !== "zeros"))
    say(`note: no --weights: the model starts from seed ${job.seed} and is untrained`);
  const done = await runOn(job, kind === "reference" ? null : kind, onReference, flags.time ? STEADY_RUNS : 0).catch(
    (fault: unknown) => {
      throw faultOf(opened.path, source, fault);
    },
  );
  const verdict = checked ? await verifyRun(job, checked, done.values) : null;
  if (flags.output !== undefined) save(flags.output, done.values);
  const times = flags.time && done.times ? { ...done.times, compile: done.times.compile + compileMs } : null;
  report(job, done, times, verdict, flags.json ?? false);
  return verdict === null || verdict.agrees ? EXIT.fine : EXIT.check;
}

function needGraph(graph: Graph | null, option: string): Graph {
  if (graph) return graph;
  throw misuse(`${option} needs the model's source: a compiled program has only kernels`);
}

/** The outcome of a run; the device is null for the reference. */
interface Done {
  readonly values: Values;
  readonly device: DeviceInfo | null;
  readonly times: Times | null;
}

/** Runs the graph on the reference if there is one, else the program on a device of this kind. */
async function runOn(job: Job, kind: DeviceKind | null, graph: Graph | null, steadyRuns: number): Promise<Done> {
  if (graph === null) return runOnDevice(job, kind, steadyRuns);
  const { outputs } = await runOnReference(job, graph);
  return {
    values: new Map(job.program.outputs.flatMap(({ name }) => (outputs.has(name) ? [[name, outputs.get(name)!]] : []))),
    device: null,
    times: null,
  };
}

/** Results and losses by name, observed routes as `<path>.index` and `<path>.count`. */
function save(path: string, values: Values): void {
  const bytes = writeSafetensors(
    [...values].map(([key, v]) => ({
      key,
      dtype: fileDtype(v.dtype),
      shape: v.shape,
      data: toBytes(words(v), fileDtype(v.dtype)),
    })),
  );
  writeText(path, bytes);
}

function words({ dtype, data }: Value): Words {
  switch (dtype) {
    case "f32":
    case "f16":
      return Float32Array.from(data);
    case "i32":
      return Int32Array.from(data);
    case "u32":
    case "bool":
      return Uint32Array.from(data);
    default:
      return dtype satisfies never;
  }
}

function report(
  { program, given }: Job,
  { values, device }: Done,
  times: Times | null,
  verdict: Verdict | null,
  json: boolean,
): void {
  if (json) {
    outJson({
      model: program.model,
      phase: program.phase,
      entry: program.entry,
      device: device ? { name: device.name, software: device.software } : { name: "reference", software: true },
      outputs: Object.fromEntries(
        [...values].map(([name, v]) => [name, { dtype: v.dtype, shape: v.shape, data: Array.from(v.data) }]),
      ),
      ...(times ? { milliseconds: times } : {}),
      ...(verdict ? { check: { ...verdict, differences: Object.fromEntries(verdict.differences) } } : {}),
    });
    return;
  }
  say(
    `${program.model}, ${program.phase} ${program.entry}, on ${device ? device.name : "the reference"}: ` +
      [...given.extents].map(([name, n]) => `${name}=${n}`).join(" "),
  );
  out(showRun(program, given, values, columns()));
  if (times) say(timesText(times));
  if (verdict) out(`\n${verdictText(verdict)}`);
}

/** `compile 21.3 ms, device 180 ms, load 95 ms, first run 410 ms, then 12.1 ms (the middle of 9)` */
const timesText = ({ compile, device, load, first, steady, runs }: Times): string =>
  `time: compile ${milliseconds(compile)} ms, open the device ${milliseconds(device)} ms, load ` +
  `${milliseconds(load)} ms, first run ${milliseconds(first)} ms, then ${milliseconds(steady)} ms a run (the ` +
  `median of ${runs})`;

/** One line, or one for each fault. */
export function verdictText({ agrees, ties, differences, faults }: Verdict): string {
  const near = ties === 0 ? "" : `; ${ties} near-tie${ties === 1 ? "" : "s"} decided differently and followed`;
  if (!agrees) return `check: the device disagrees with the reference\n${faults.map((f) => `  ${f}`).join("\n")}`;
  return (
    `check: agrees with the reference: largest difference ${Math.max(0, ...differences.values()).toExponential(1)} ` +
    `of the largest magnitude${near}`
  );
}

export const verifyRun = (job: Job, graph: Graph, values: Values): Promise<Verdict> =>
  compareRun(job.program, job.given, values, (forced) => runOnReference(job, graph, forced));
