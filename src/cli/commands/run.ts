// `modc run`: runs a model, from its source or compiled, on a device or on the reference.
import type { Graph } from "../../ir/graph.js";
import { parseProgram } from "../../program/serialize.js";
import { fileDtype, toBytes, writeSafetensors, type DeviceInfo, type DeviceKind, type Words } from "../../runtime/index.js";
import { writeWhole } from "../../runtime/node.js";
import { pairs, seedOf } from "../arguments.js";
import { deviceKind, type DeviceFlags } from "../device.js";
import { EXIT, UserError, type ExitCode } from "../exit.js";
import { runOnDevice, runOnReference, type Job, type Value, type Values } from "../execute.js";
import { readText } from "../files.js";
import { compileFile, type ModelFlags } from "../frontend.js";
import { readInputs, type InputFlags } from "../inputs.js";
import { showRun } from "../show.js";
import { columns, out, outJson, Progress, say } from "../terminal.js";
import { verifyRun, type Verdict } from "../verify.js";

export interface RunFlags extends ModelFlags, DeviceFlags, InputFlags {
  readonly weights?: string;
  readonly live?: readonly string[];
  readonly seed?: string;
  readonly output?: string;
  readonly check?: boolean;
  readonly json?: boolean;
}

export async function run(file: string, flags: RunFlags): Promise<ExitCode> {
  const kind = deviceKind(flags);
  const { program, graph, forTarget } = await programOf(file, flags);
  const onReference = kind === "reference" ? needGraph(graph, "--device reference") : null;
  const checked = flags.check ? needGraph(graph, "--check") : null;
  const job: Job = {
    program,
    forTarget,
    given: await readInputs(program, flags),
    weights: flags.weights ?? null,
    live: pairs("--live", flags.live ?? []),
    seed: seedOf(flags.seed),
    progress: new Progress(),
  };
  if (job.weights === null && program.weights.some((w) => w.init.kind !== "ones" && w.init.kind !== "zeros"))
    say(`note: no --weights: the model starts from seed ${job.seed} and has learned nothing`);
  const done = await runOn(job, kind === "reference" ? null : kind, onReference).catch((fault: unknown) => {
    throw graph === null ? judged(file, fault) : fault;
  });
  const verdict = checked ? await verifyRun(job, checked, done.values) : null;
  if (flags.output !== undefined) await save(flags.output, done.values);
  report(job, done, verdict, flags.json ?? false);
  return verdict === null || verdict.agrees ? EXIT.fine : EXIT.check;
}

/** A compiled program has its parameters and phase built in, and no graph. */
async function programOf(file: string, flags: RunFlags): Promise<Pick<Job, "program" | "forTarget"> & { readonly graph: Graph | null }> {
  if (!file.endsWith(".json")) return compileFile(file, flags);
  const built = [
    ["--set", flags.set],
    ["--phase", flags.phase],
    ["--enter", flags.enter],
    ["--model", flags.model],
  ].find(([, value]) => value !== undefined);
  if (built) throw new UserError(`${file} is compiled already: ${String(built[0])} has no effect on it`, "give it to `modc compile`", EXIT.usage);
  return { program: parseProgram(readText(file)), graph: null, forTarget: null };
}

function needGraph(graph: Graph | null, option: string): Graph {
  if (graph) return graph;
  throw new UserError(`${option} needs the model's source: a compiled program holds kernels only`, null, EXIT.usage);
}

/** What a run gave; the device is null where it was the reference. */
interface Done {
  readonly values: Values;
  readonly device: DeviceInfo | null;
}

/** Runs on the graph where there is one, else on a device of that kind. */
async function runOn(job: Job, kind: DeviceKind | null, graph: Graph | null): Promise<Done> {
  if (graph === null) return runOnDevice(job, kind);
  const { outputs } = await runOnReference(job, graph);
  return { values: new Map(job.program.outputs.flatMap(({ name }) => (outputs.has(name) ? [[name, outputs.get(name)!]] : []))), device: null };
}

/** What no device takes of a program that this process compiled is a fault of modc; what it does not take of a file may be the file's. */
function judged(file: string, fault: unknown): unknown {
  const bug = fault instanceof Error ? /^modc bug: (.*)/.exec(fault.message) : null;
  if (!bug) return fault;
  return new UserError(`${file} does not run: ${bug[1]!}`, "compile it again from its source; where that does not run either, it is a fault of modc");
}

/** Results and losses by name, observed routes as `<path>.index` and `<path>.count`. */
async function save(path: string, values: Values): Promise<void> {
  const bytes = writeSafetensors(
    [...values].map(([key, v]) => ({ key, dtype: fileDtype(v.dtype), shape: v.shape, data: toBytes(words(v), fileDtype(v.dtype)) })),
  );
  await writeWhole(path, (write) => write(bytes));
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

function report({ program, given }: Job, { values, device }: Done, verdict: Verdict | null, json: boolean): void {
  if (json) {
    outJson({
      model: program.model,
      phase: program.phase,
      entry: program.entry,
      device: device ? { name: device.name, software: device.software } : { name: "reference", software: true },
      outputs: Object.fromEntries([...values].map(([name, v]) => [name, { dtype: v.dtype, shape: v.shape, data: Array.from(v.data) }])),
      ...(verdict ? { check: { ...verdict, differences: Object.fromEntries(verdict.differences) } } : {}),
    });
    return;
  }
  say(
    `${program.model}, ${program.phase} ${program.entry}, on ${device ? device.name : "the reference"}: ${[...given.extents].map(([name, n]) => `${name}=${n}`).join(" ")}`,
  );
  out(showRun(program, given, values, columns()));
  if (verdict) out(`\n${verdictText(verdict)}`);
}

/** One line, or one for each fault. */
export function verdictText({ agrees, ties, differences, faults }: Verdict): string {
  const near = ties === 0 ? "" : `; ${ties} near-tie${ties === 1 ? "" : "s"} chosen otherwise and followed`;
  if (!agrees) return `check: the device disagrees with the reference\n${faults.map((f) => `  ${f}`).join("\n")}`;
  return `check: agrees with the reference: largest difference ${Math.max(0, ...differences.values()).toExponential(1)} of the largest magnitude${near}`;
}
