// `modc profile`: measures a run kernel by kernel and layer by layer, and compares it with the device's roofline.
import { inDeclaredOrder, MODEL_GROUP } from "../../../compiler/cost/group.js";
import type { Program } from "../../../runtime/program/program.js";
import {
  chromeTrace,
  type Device,
  measureRoofline,
  type Profile,
  type ProfiledWork,
  type Roofline,
  type RoutedRows,
  timeAtBest,
} from "../../../runtime/index.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import { checkLive } from "../../../runtime/run/extents.js";
import { mainStep } from "../../../runtime/profile/profile.js";
import { parseAxes } from "../../../runtime/steps/sizes.js";
import { type ExitCode, misuse } from "../terminal/exit.js";
import { onDevice } from "../run/execute.js";
import { chosenExtents, printExtents } from "../source/extents.js";
import { ensureWritable, writeText } from "../source/files.js";
import { programName } from "../source/frontend.js";
import { type GivenInputs, readInputs, madeInputs } from "../run/inputs.js";
import { layerOf, pathOf, sourcesOf } from "./planned.js";
import { profiledStep, roomForAll } from "./profiled-generation.js";
import { faultOf, programOf } from "../source/program.js";
import { table, milliseconds, operations, percent, withPrefix } from "../terminal/units.js";
import { columns, printReport, Progress, say } from "../terminal/terminal.js";
import type { Flags } from "../tree/declare.js";
import type { runningCommands } from "../tree/running.js";

type ProfileFlags = Flags<typeof runningCommands.profile>;

/** The default length of a run in tokens. */
const USUAL_TOKENS = 512;

/** The measurements. */
interface Measured {
  readonly program: Program;
  readonly profile: Profile;
  readonly roofline: Roofline;
  readonly device: string;
  readonly extents: ReadonlyMap<string, number>;
}

export async function profile(opened: OpenedModel, flags: ProfileFlags): Promise<ExitCode> {
  if (flags.program === "draft" || flags.program === "verify-draft")
    throw misuse(
      `--program ${flags.program} reads caches in pages, which profile does not fill`,
      "measure --program step",
    );
  const repeat = flags.repeat ?? 9;
  // A step is measured after a prompt.
  const step = flags.program === "step" ? await programOf(opened, flags) : null;
  const source = await programOf(opened, step ? { ...flags, program: "prompt" } : flags);
  const [seed, live] = [flags.seed ?? 0, flags.live ?? {}];
  const asked = await inputsOf(source.program, opened, step ? { ...flags, program: "prompt" } : flags, { live, seed });
  // Report a path that cannot be written before minutes of measuring.
  if (flags.trace !== undefined) ensureWritable(flags.trace);
  const progress = new Progress();
  const job = {
    ...source,
    tunings: flags.tunings,
    extents: asked.extents,
    weights: opened.weights,
    live,
    seed,
    progress,
  };
  const measured = await onDevice(
    job,
    flags.device ?? null,
    async ({ session, program, device }): Promise<Measured> => {
      const inputs = asked.inputs();
      progress.report("measuring what the device can do");
      await roofline(device);
      progress.report("profiling");
      const lengths = inputs.lengths ? { lengths: inputs.lengths } : {};
      const extents = flags.program === "prompt" ? { extents: Object.fromEntries(inputs.extents) } : {};
      const ofStep = step ? await profiledStep(step, job, { session, device }, inputs, repeat) : null;
      const runProfile = ofStep?.profile ?? (await session.profile(inputs.inputs, { repeat, ...lengths, ...extents }));
      return {
        program: ofStep?.program ?? program,
        profile: runProfile,
        roofline: await roofline(device),
        device: device.info.name,
        extents: ofStep?.extents ?? inputs.extents,
      };
    },
  ).catch((fault: unknown) => {
    throw faultOf(opened.path, source, fault);
  });
  if (flags.trace !== undefined) {
    writeText(flags.trace, `${JSON.stringify(chromeTrace(measured.program, measured.profile))}\n`);
    say(`${flags.trace}: open it at https://ui.perfetto.dev or in chrome://tracing`);
  }
  return printReport(flags, {
    json: { ...(flags.program && { program: flags.program }), ...asJson(measured) },
    text: printed(measured, programName(flags, measured.program), columns()),
  });
}

/** The measurements of a device in this process. */
const rooflines = new WeakMap<GPUDevice, readonly Roofline[]>();

/** The better of two measurements, for other processes may use the device: one now, unless there were two. */
async function roofline(device: Device): Promise<Roofline> {
  const known = rooflines.get(device.gpu) ?? [];
  const all = known.length < 2 ? [...known, await measureRoofline(device)] : known;
  rooflines.set(device.gpu, all);
  return all.reduce(better);
}

const better = (a: Roofline, b: Roofline): Roofline => ({
  flops: Math.max(a.flops, b.flops),
  readBytes: Math.max(a.readBytes, b.readBytes),
  copyBytes: Math.max(a.copyBytes, b.copyBytes),
});

/** Inputs of known sizes; those that are made are made once the device has room for them. */
interface AskedInputs {
  readonly extents: ReadonlyMap<string, number>;
  readonly inputs: () => GivenInputs;
}

/** The inputs of the flags, or random values. */
async function inputsOf(
  program: Program,
  opened: OpenedModel,
  flags: ProfileFlags,
  { live, seed }: { readonly live: Readonly<Record<string, string>>; readonly seed: number },
): Promise<AskedInputs> {
  if (flags.input === undefined && flags.text === undefined) {
    if (flags.lengths !== undefined) throw misuse("--lengths needs --input");
    const extents = chosenExtents(parseAxes(program), flags, USUAL_TOKENS);
    const run = {
      extents: flags.program === "prompt" ? roomForAll(extents) : extents,
      lengths: new Map(),
      live: checkLive(program, live, null),
    };
    return { extents: run.extents, inputs: () => madeInputs(program, run, seed) };
  }
  const sizes = [flags.batch, flags.length, flags.at].some((size) => size !== undefined);
  if (sizes)
    throw misuse(
      "--batch, --length and --at have no effect on given inputs",
      "leave them out: the inputs have their own sizes",
    );
  const given = await readInputs(program, flags, opened);
  return { extents: given.extents, inputs: () => given };
}

// --- what the works come to

/** Time and work of several works together. */
interface Part {
  readonly name: string;
  readonly works: readonly ProfiledWork[];
  readonly ms: number;
  readonly flops: number;
  readonly bytes: number;
  readonly denseFlops: number;
  /** The roofline time: the sum over its works. */
  readonly bestMs: number;
  /** The limiting resource of the larger part of it. */
  readonly by: "arithmetic" | "memory";
  /** Rows of the routed axis that it computes; null without one. */
  readonly rows: RoutedRows | null;
}

function partOf(name: string, works: readonly ProfiledWork[], roofline: Roofline): Part {
  const sum = (of: (work: ProfiledWork) => number): number => works.reduce((n, w) => n + of(w), 0);
  const best = works.map((w) => timeAtBest(w.cost, roofline));
  const limited = (by: "arithmetic" | "memory"): number => best.reduce((n, b) => n + (b.by === by ? b.ms : 0), 0);
  return {
    name,
    works,
    ms: sum((w) => w.ms),
    flops: sum((w) => w.cost.flops),
    bytes: sum((w) => w.cost.bytes),
    denseFlops: sum((w) => w.cost.denseFlops),
    bestMs: best.reduce((n, b) => n + b.ms, 0),
    by: limited("arithmetic") >= limited("memory") ? "arithmetic" : "memory",
    rows: works.find((w) => w.cost.rows !== null)?.cost.rows ?? null,
  };
}

/** Works by a name, in order of first appearance. */
function partsBy({ profile: { works }, roofline }: Measured, nameOf: (work: ProfiledWork) => string): readonly Part[] {
  const groups = new Map<string, ProfiledWork[]>();
  for (const work of works) {
    const name = nameOf(work);
    groups.set(name, [...(groups.get(name) ?? []), work]);
  }
  return [...groups].map(([name, list]) => partOf(name, list, roofline));
}

function kernelOf(program: Program, work: ProfiledWork): string {
  const step = mainStep(program, work);
  return step.kind === "dispatch" ? program.kernels[step.kernel]!.name : step.kind;
}

const kernelsOf = (measured: Measured): readonly Part[] =>
  partsBy(measured, (w) => kernelOf(measured.program, w)).toSorted((a, b) => b.ms - a.ms);
const layersOf = (measured: Measured): readonly Part[] =>
  inDeclaredOrder(
    partsBy(measured, (w) => layerOf(measured.program, w.work)),
    measured.program.weights.map(({ path }) => path),
  );

// --- as text

function printed(measured: Measured, name: string, width: number): string {
  const { program, profile: found, roofline, device, extents } = measured;
  const total = partOf("total", found.works, roofline);
  const clock =
    found.clock === "timestamps"
      ? "time stamps of the device"
      : "the device has no time stamps: each step was submitted and timed alone";
  const layers = layersOf(measured);
  return [
    `${program.model}, ${name}, ${printExtents(extents)}, on ${device}: ${milliseconds(found.wholeMs)} ms a run, ` +
      `the median of ${found.repeat}`,
    `kernels ${milliseconds(total.ms)} ms (${clock})`,
    `peak, measured here: ${withPrefix(roofline.flops)}FLOP/s, ${withPrefix(roofline.readBytes)}B/s read, ` +
      `${withPrefix(roofline.copyBytes)}B/s copied`,
    "",
    partsTable("kernel", [...kernelsOf(measured), total], total.ms),
    "",
    partsTable("layer", [...layers, total], total.ms, (part) =>
      part === total ? "" : part.rows ? `${part.rows.exact ? "" : "~"}${part.rows.kept}/${part.rows.of}` : "all",
    ),
    ...routedAgainstDense(layers),
    "",
    slowest(measured, total.ms, width),
  ].join("\n");
}

/** A table with a row for each part; `rows` adds columns for its routed rows and its share of operations. */
function partsTable(
  heading: string,
  parts: readonly Part[],
  totalMs: number,
  rows: ((part: Part) => string) | false = false,
): string {
  const rate = (amount: number, ms: number): string =>
    amount === 0 || ms === 0 ? "-" : (amount / ms / 1e6).toFixed(2);
  return table(parts, [
    [heading, (p) => p.name],
    rows ? ["rows", rows] : ["calls", (p) => p.works.length],
    ["ms", (p) => milliseconds(p.ms)],
    ["of all", (p) => percent(p.ms, totalMs)],
    ["GFLOP/s", (p) => rate(p.flops, p.ms)],
    ["GB/s", (p) => rate(p.bytes, p.ms)],
    ["of best", (p) => percent(p.bestMs, p.ms)],
    ["limited by", (p) => p.by],
    rows && ["of dense", (p) => (p.denseFlops === 0 ? "-" : (p.flops / p.denseFlops).toFixed(4))],
  ]);
}

/** Compares routed layers with dense layers of the same list. */
function routedAgainstDense(layers: readonly Part[]): readonly string[] {
  const routed = layers.filter((l) => l.rows !== null && l.name !== MODEL_GROUP);
  if (routed.length === 0) return [];
  const family = (name: string): string => name.replace(/\.\d+$/, "");
  const families = new Set(routed.map((l) => family(l.name)));
  const dense = layers.filter((l) => l.rows === null && families.has(family(l.name)));
  const mean = (of: (part: Part) => number, parts: readonly Part[]): number =>
    parts.reduce((n, p) => n + of(p), 0) / parts.length;
  const [ms, flops, denseFlops] = [
    mean((p) => p.ms, routed),
    mean((p) => p.flops, routed),
    mean((p) => p.denseFlops, routed),
  ];
  const lines = [
    `a routed layer: ${milliseconds(ms)} ms, ${operations(flops)}, ${percent(flops, denseFlops)} of the ` +
      "operations with nothing skipped",
  ];
  if (dense.length > 0) {
    const against = mean((p) => p.ms, dense);
    lines.push(
      `a dense one:    ${milliseconds(against)} ms, ${operations(mean((p) => p.flops, dense))}; the routed layer ` +
        `takes ${percent(ms, against)} of this time`,
    );
  }
  return ["", ...lines];
}

const SLOWEST = 10;

/** The slowest works, with their source locations. */
function slowest({ program, profile: { works }, roofline }: Measured, totalMs: number, width: number): string {
  const rows = works
    .toSorted((a, b) => b.ms - a.ms)
    .slice(0, SLOWEST)
    .map((work) => {
      const workOfStep = work.work === null ? null : program.works[work.work]!;
      const lines = workOfStep
        ? sourcesOf(program, { ...workOfStep, ops: workOfStep.ops.slice(workOfStep.main, workOfStep.main + 1) })
        : [];
      return { ...work, layer: workOfStep ? pathOf(program, workOfStep) || "(model)" : "", place: lines.join(" ") };
    });
  return table(rows, [
    ["slowest ms", (r) => milliseconds(r.ms)],
    ["of all", (r) => percent(r.ms, totalMs)],
    ["of best", (r) => percent(timeAtBest(r.cost, roofline).ms, r.ms)],
    ["kernel", (r) => kernelOf(program, r)],
    ["in", (r) => r.layer],
    ["source", (r) => r.place],
  ])
    .split("\n")
    .map((line) => (line.length > width ? `${line.slice(0, width - 1)}…` : line))
    .join("\n");
}

// --- as JSON

function asJson(measured: Measured): Readonly<Record<string, unknown>> {
  const { program, profile: found, roofline, device, extents } = measured;
  const summary = (part: Part): unknown => {
    const { works: _works, ...rest } = part;
    return { ...rest, ofBest: part.ms > 0 ? part.bestMs / part.ms : null };
  };
  return {
    model: program.model,
    phase: program.phase,
    entry: program.entry,
    device,
    target: program.target,
    extents: Object.fromEntries(extents),
    clock: found.clock,
    repeat: found.repeat,
    wholeMs: found.wholeMs,
    roofline,
    kernels: kernelsOf(measured).map(summary),
    layers: layersOf(measured).map(summary),
    works: found.works.map((work) => {
      const described = work.work === null ? null : program.works[work.work]!;
      return {
        ...work,
        kernel: kernelOf(program, work),
        layer: layerOf(program, work.work),
        path: described ? pathOf(program, described) : null,
        ops: described?.ops.map((o) => o.op) ?? [],
        sources: described ? sourcesOf(program, described) : [],
        ofBest: work.ms > 0 ? timeAtBest(work.cost, roofline).ms / work.ms : null,
      };
    }),
  };
}
