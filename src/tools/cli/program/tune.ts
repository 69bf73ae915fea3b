// `modc tune`: measures kernels and tiles on this device, and stores the best for later runs on it.
import type { Graph } from "../../../compiler/ir/graph.js";
import { measureBest, openDevice, type Device, type DeviceBest } from "../../../runtime/index.js";
import { printTunings, tuningsFile } from "../../../compiler/schedule/tunings/file.js";
import { tuningsDigest } from "../../../compiler/schedule/tunings/file.js";
import { tuningsFor, misfitOf } from "../../../compiler/schedule/tunings/index.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import { linesOf, tune as measure, type TunedLine, type Tuned, type TunedSize } from "../../tune/tune.js";
import { wantedDevice } from "../source/device.js";
import { onInterrupt } from "../terminal/ending.js";
import { EXIT, UserError, type ExitCode, misuse } from "../terminal/exit.js";
import { ensureWritable, writeText } from "../source/files.js";
import { compileFile } from "../source/frontend.js";
import { table, withPrefix, wrap } from "../terminal/units.js";
import { out, outJson, Progress, say, columns } from "../terminal/terminal.js";
import { found, makeTuningsFolder, tuningsPath } from "../source/tunings.js";
import type { Flags } from "../tree/declare.js";
import type { runningCommands } from "../tree/running.js";
import { expectNone } from "../tree/usage.js";
import { type Bound, extentsAt, programOf } from "../../tune/bound.js";
import { gpuOf, type Card, type CardId } from "../../hardware/isa/cards.js";
import type { Estimate } from "../../hardware/estimate.js";
import { labOf } from "../../hardware/lab.js";
import { NullDevice } from "../../hardware/null-device-node.js";
import { io } from "../terminal/io.js";
import { childScript, NOTE } from "./hardware.js";

type TuneFlags = Flags<typeof runningCommands.tune>;

const USUAL_SECONDS = 60;

export async function tune(opened: OpenedModel | undefined, flags: TuneFlags): Promise<ExitCode> {
  if (opened === undefined) expectNone(flags, ["set", "phase", "enter", "model"], "without a model");
  const budgetSeconds = flags.budget ?? USUAL_SECONDS;
  const graph = opened === undefined ? null : await graphOf(opened, flags);
  if (flags.output !== undefined) ensureWritable(flags.output);
  const lab = flags.hardware === undefined ? null : await openLab(flags.hardware);
  const device = await openDevice({ ...wantedDevice(flags), spare: false }).catch((fault: unknown) => {
    lab?.close();
    throw fault;
  });
  const progress = new Progress();
  const stop = new AbortController();
  const restore = onInterrupt(() => stop.abort());
  try {
    const base = (flags.fresh ? null : found(device)?.tunings) ?? tuningsFor(device.target);
    const tuned = await measure(device, {
      graph,
      base,
      budgetSeconds,
      signal: stop.signal,
      onProgress: (stage, detail) => progress.report(stage, detail),
    });
    const linesBy = (best: DeviceBest | null): readonly TunedLine[] =>
      tuned.measured.flatMap((m) => linesOf(m, device.target, best));
    if (linesBy(null).length === 0) {
      progress.clear();
      if (stop.signal.aborted) return EXIT.interrupted;
      throw nothingMeasured(tuned, budgetSeconds);
    }
    const path = store(device, tuned, flags.output);
    const continues = (): boolean => tuned.fault === null && !stop.signal.aborted;
    if (continues()) progress.report("measuring what the device can do");
    const { best, fault } = continues() ? await bestOf(device) : { best: null, fault: null };
    const lines = linesBy(best);
    const reader = continues() && fault === null ? lab : null;
    if (reader) progress.report("following kernels");
    const readings = reader ? await readingsOf(reader, lines) : null;
    progress.clear();
    const stored = { path, changed: tuningsDigest(base) !== tuningsDigest(tuned.tunings) };
    report(device, tuned, { lines, best, readings, stored }, flags.json ?? false);
    // The tunings are stored and reported even if the device fails after they are found.
    if (tuned.fault !== null || fault !== null) throw tuned.fault ?? fault;
    return stop.signal.aborted ? EXIT.interrupted : EXIT.fine;
  } finally {
    restore();
    progress.clear();
    device.destroy();
    lab?.close();
  }
}

/** The device's rates, or the fault of a device that cannot measure them. */
async function bestOf(
  device: Device,
): Promise<{ readonly best: DeviceBest; readonly fault: null } | { readonly best: null; readonly fault: unknown }> {
  try {
    return { best: await measureBest(device), fault: null };
  } catch (fault) {
    return { best: null, fault };
  }
}

async function graphOf(opened: OpenedModel, flags: TuneFlags): Promise<Graph> {
  if (opened.kind === "program")
    throw misuse(`${opened.path} is already compiled: its kernels are chosen`, "give `modc tune` the model's source");
  return (await compileFile(opened, flags)).graph;
}

function nothingMeasured({ workloads, measured, fault }: Tuned, budgetSeconds: number): unknown {
  if (fault !== null) return fault;
  if (workloads === 0)
    return new UserError("the model has neither matmuls with weights nor attention, so there is nothing to tune");
  const why =
    measured.flatMap((m) => m.refused.slice(0, 1).map(({ name, why: what }) => ` (${name} ${what})`))[0] ?? "";
  return new UserError(`nothing could be compared in ${budgetSeconds} s${why}`, "give it more time: --budget 2m");
}

function store(device: Device, { tunings }: Tuned, output: string | undefined): string {
  if (output === undefined) makeTuningsFolder();
  const path = output ?? tuningsPath(device.info);
  const text = printTunings(tuningsFile(device.info, device.target, tunings));
  writeText(path, text);
  return path;
}

interface Reported {
  readonly lines: readonly TunedLine[];
  /** The measured limits of the device; null if they were not measured. */
  readonly best: DeviceBest | null;
  readonly readings: readonly Reading[] | null;
  readonly stored: { readonly path: string; readonly changed: boolean };
}

function report(
  device: Device,
  { measured, workloads }: Tuned,
  { lines, best, readings, stored: { path, changed } }: Reported,
  json: boolean,
): void {
  const refused = measured.flatMap((m) => m.refused.map(({ name, why }) => ({ workload: m.workload.name, name, why })));
  if (json) {
    const { name, vendor, architecture, driver } = device.info;
    outJson({
      path,
      changed,
      device: { name, vendor, architecture, driver },
      best,
      workloads,
      measured: lines.map(({ told }) => told),
      refused,
      ...(readings && { hardware: readings }),
    });
    return;
  }
  for (const { workload, name, why } of refused) say(`warning: ${workload}: ${name} ${why}`);
  const told = lines.map((line) => line.told);
  const text = table(told, [
    ["workload", (r) => r.workload],
    ["size", (r) => `${r.size} ${r.counts}`],
    ["best", (r) => r.best],
    ["µs", (r) => (1e6 * r.seconds).toFixed(1)],
    ["GFLOP/s", (r) => (r.flops === null ? "" : (r.flops / r.seconds / 1e9).toFixed(1))],
    ["before, µs", (r) => (r.baselineSeconds === null ? "" : (1e6 * r.baselineSeconds).toFixed(1))],
    ["ratio", (r) => (r.baselineSeconds === null ? "" : (r.baselineSeconds / r.seconds).toFixed(2))],
    ["bound", (r) => boundText(r.bound)],
  ]);
  out(text);
  if (best) out(`\n${deviceText(best, told)}`);
  if (readings) out(`\n${readingsText(readings)}`);
  for (const { workload, tried, of } of measured)
    if (tried < of) say(`note: ${workload.name}: only ${tried} of ${of} candidates were measured in the time`);
  if (measured.length < workloads)
    say(`note: only ${measured.length} of ${workloads} workloads were measured in the time`);
  const { name } = device.info;
  out(`\n${path}: ${changed ? `tunings for ${name}` : `no kernel beats the present choices for ${name}`}`);
}

/** `memory 81%`: the share of the time that it takes at the device's best. */
function boundText(bound: Bound | null): string {
  if (bound === null) return "";
  const { by, shares } = bound;
  const share = by === "other" ? null : shares[by];
  return share === null ? by : `${by} ${(100 * share).toFixed(0)}%`;
}

const OTHER =
  "other: neither arithmetic, memory nor dispatches take half of the time at this rate. The kernel waits, " +
  "issues other instructions, or is limited by workgroup memory; its time does not show which (docs/cli.md).";

/** Noise may take a share a little above 1; a larger share means that the rate is not the device's best. */
const BEYOND_NOISE = 1.1;

const OVER =
  "over 100%: the kernel is faster than the measured rate, so the rate is not the device's peak. Software " +
  "devices measure slow reads.";

const isOver = ({ by, shares }: Bound): boolean => by !== "other" && (shares[by] ?? 0) > BEYOND_NOISE;

/** The device's measured rates, and notes if no rate bounds some kernel, or if a kernel is faster than its rate. */
function deviceText({ flops, reads, dispatchSeconds }: DeviceBest, lines: readonly TunedSize[]): string {
  const read = reads.map(({ bytes, seconds }) => `${withPrefix(bytes / seconds)}B/s of ${bytes / 2 ** 20} MiB`);
  const rates = [
    "peak rates of this device, measured now:",
    `${withPrefix(flops)}FLOP/s,`,
    `reads ${read.join(", ")},`,
    `${(1e6 * dispatchSeconds).toFixed(1)} µs for a dispatch`,
  ];
  const notes = [
    ...(lines.some(({ bound }) => bound?.by === "other") ? [OTHER] : []),
    ...(lines.some(({ bound }) => bound && isOver(bound)) ? [OVER] : []),
  ];
  return [
    ...wrap(
      "",
      rates.flatMap((part) => part.split(" ")),
      " ",
      columns(),
    ),
    ...notes.flatMap((note) => wrap("", note.split(" "), " ", columns())),
  ].join("\n");
}

/** The analysis of a card's machine code for the best kernels of a line. */
interface Reading {
  readonly card: CardId;
  readonly workload: string;
  readonly size: number;
  readonly counts: string;
  readonly best: string;
  /** By estimates; empty where the card cannot run these tunings. */
  readonly kernels: readonly {
    readonly kernel: string;
    readonly tuning: string;
    readonly by: Estimate["by"];
    readonly us: number;
    readonly roofUs: number;
    /** Whether loops of unknown length were counted once. */
    readonly least: boolean;
  }[];
  /** Why the card cannot run them, as a clause; null where it can. */
  readonly misfit: string | null;
}

const openLab = (id: CardId): Promise<NullDevice> => NullDevice.open(gpuOf(id) as Card, childScript(), io().env);

async function readingsOf(lab: NullDevice, lines: readonly TunedLine[]): Promise<readonly Reading[]> {
  const readings: Reading[] = [];
  for (const { of, tunings, told: line } of lines) {
    const { workload, size, counts, best } = line;
    const combined = { ...tuningsFor(lab.target), [of.family]: tunings[of.family] };
    const misfit = misfitOf(combined, lab.target);
    const told = { card: lab.card.id, workload, size, counts, best };
    if (misfit !== null) {
      readings.push({ ...told, kernels: [], misfit });
      continue;
    }
    const program = programOf(of, lab.target, combined);
    const half = of.precision.weights === "f16" || of.precision.products === "f16";
    const { rows } = await labOf(lab, program, { extents: extentsAt(program, size), half });
    const kernels = rows.map(({ kernel, tuning, estimate: { by, us, roofUs, ground } }) => ({
      kernel: kernel.replace(/\.\d+$/, ""),
      tuning,
      by,
      us,
      roofUs,
      least: ground === "least",
    }));
    readings.push({ ...told, kernels, misfit });
  }
  return readings;
}

/** A row of the table; `made` is null for a line that the card cannot run. */
type Shown = Pick<Reading, "workload" | "size" | "counts"> & {
  readonly name: string;
  readonly made: Reading["kernels"][number] | null;
};

function readingsText(readings: readonly Reading[]): string {
  const [first] = readings;
  if (!first) return "";
  const rows = readings.flatMap(({ kernels, misfit, ...line }): readonly Shown[] =>
    misfit === null
      ? kernels.map((kernel) => ({ ...line, name: kernel.kernel, made: kernel }))
      : [{ ...line, name: `not on this card: ${misfit}`, made: null }],
  );
  const name = gpuOf(first.card).name;
  return [
    ...wrap("", `on a ${name} that is not present. ${NOTE}`.split(" "), " ", columns()),
    table(rows, [
      ["workload", (r) => r.workload],
      ["size", (r) => `${r.size} ${r.counts}`],
      ["kernel", (r) => r.name],
      ["µs", ({ made }) => (made ? `${made.least ? "≥ " : ""}${made.us.toFixed(1)}` : "")],
      ["roof", ({ made }) => made?.roofUs.toFixed(1) ?? ""],
      ["limited by", ({ made }) => made?.by ?? ""],
    ]),
  ].join("\n");
}
