// `modc plan`: prints the kernels of a model, with the fused operators and source lines, tuning, slots and cost of
// each.
import {
  type DeviceClass,
  type Target,
  DEFAULT_LIMITS,
  pinnedWidth,
  PORTABLE,
} from "../../../runtime/program/target.js";
import type { CacheParts } from "../../../compiler/cost/caches.js";
import type { Program } from "../../../runtime/program/program.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import { formatBytes } from "../../../runtime/device/errors.js";
import { checkLive } from "../../../runtime/run/extents.js";
import { memoryOf, openDevice, type MemoryUse } from "../../../runtime/index.js";
import { roomFor } from "../../../runtime/run/memory.js";
import { parseAxes } from "../../../runtime/steps/sizes.js";
import { wantedDevice } from "../source/device.js";
import { type ExitCode, misuse } from "../terminal/exit.js";
import { chosenExtents, printExtents } from "../source/extents.js";
import { programName } from "../source/frontend.js";
import { planHardware } from "./hardware.js";
import { memoryLines, operations, percent, plural, wrap } from "../terminal/units.js";
import { cacheLines } from "./cache-lines.js";
import { planCaches, planWorks, USUAL_TOKENS, type PlannedWork } from "./planned.js";
import { programOf, type Given } from "../source/program.js";
import { columns, printReport, say } from "../terminal/terminal.js";
import type { Flags } from "../tree/declare.js";
import type { sourceCommands } from "../tree/source.js";

export async function plan(opened: OpenedModel, flags: Flags<typeof sourceCommands.plan>): Promise<ExitCode> {
  const source = await programOf(opened, flags);
  if (flags.hardware !== undefined) return planHardware(opened.path, source, flags.hardware, flags);
  const program = await planned(opened.path, source, flags.target ?? null);
  const extents = chosenExtents(parseAxes(program), flags, USUAL_TOKENS);
  const live = flags.live ?? {};
  const works = planWorks(program, extents, live);
  const caches = planCaches(program, extents, live);
  const memory = memoryOf(program, { max: Object.fromEntries(extents), live });
  const { bufferBytes, storageBindingBytes } = program.target.limits;
  const tooLarge = roomFor(
    program,
    { maxBufferSize: bufferBytes, maxStorageBufferBindingSize: storageBindingBytes },
    { extents, lengths: new Map(), live: checkLive(program, live, null) },
  );
  if (tooLarge) say(`warning: it does not run at these sizes: ${tooLarge.message}`);
  return printReport(flags, {
    json: {
      model: program.model,
      phase: program.phase,
      ...(flags.program && { program: flags.program }),
      entry: program.entry,
      precision: program.precision,
      target: program.target,
      extents: Object.fromEntries(extents),
      works,
      caches,
      memory,
      tooLarge: tooLarge?.message ?? null,
    },
    text:
      `${program.model}, ${programName(flags, program)}, ${heading(program, extents)}\n` +
      printed(works, { caches, memory }, columns()),
  });
}

/** The program for the requested class of device, else for the device of this machine, else for any. */
async function planned(file: string, { program, forTarget }: Given, target: DeviceClass | null): Promise<Program> {
  if (forTarget === null) {
    if (target !== null)
      throw misuse(`${file} is already compiled, for ${program.target.device}: --target has no effect`);
    return program;
  }
  if (target === null) return forTarget(await ownTarget(program.target));
  return target === "portable" ? program : forTarget(targetOf(target));
}

async function ownTarget(otherwise: Target): Promise<Target> {
  try {
    const device = await openDevice(wantedDevice({}));
    const { target } = device;
    device.destroy();
    return target;
  } catch (fault) {
    // an error of the runtime has a code
    if (!(fault instanceof Error && (fault as { readonly code?: unknown }).code === "no-device")) throw fault;
    say(`note: no device was found: planned for any device (${fault.message})`);
    return otherwise;
  }
}

const heading = (program: Program, extents: ReadonlyMap<string, number>): string =>
  `${printExtents(extents)}, for ${printTarget(program.target)}${program.precision === "f16" ? ", values in f16" : ""}`;

function printed(works: readonly PlannedWork[], held: Held, width: number): string {
  const lines: string[] = [];
  let path: string | null = null;
  const names = works.reduce((most, w) => w.steps.reduce((m, s) => Math.max(m, s.name.length), most), 0);
  for (const work of works) {
    if (work.steps.length === 0) continue;
    if (work.path !== path) lines.push("", work.path === "" ? "(model)" : work.path);
    path = work.path;
    lines.push(...describe(work, Math.min(names, 32), width));
  }
  return [...lines, "", ...totals(works, held, width)].join("\n");
}

const INDENT = "      ";

function describe(work: PlannedWork, names: number, width: number): readonly string[] {
  // The cost belongs to the work and is printed at its first kernel.
  const costly = Math.max(
    0,
    work.steps.findIndex((s) => s.kind === "dispatch"),
  );
  const lines = work.steps.map(({ kind, name, tuning, workgroups }, i) => {
    const groups = kind === "dispatch" ? plural(workgroups, "workgroup") : "";
    const { flops, bytes } = work.cost;
    const cost = i !== costly ? ["", ""] : [flops === 0 ? "" : operations(flops), formatBytes(bytes)];
    const number = i === 0 ? String(work.number) : "";
    const line = (
      `${number.padStart(4)}  ${name.padEnd(names)}  ${groups.padStart(17)}  ${cost[0]!.padStart(12)}  ` +
      cost[1]!.padStart(9)
    ).trimEnd();
    const text = `${line}  ${tuning}`.trimEnd();
    return text.length <= width ? [text] : [line, ...labelled("tuning", tuning, width)];
  });
  const { rows, flops, denseFlops } = work.cost;
  const routed =
    rows === null
      ? ""
      : `${rows.exact ? "" : "about "}${rows.kept} of ` +
        `${rows.of}${flops < denseFlops ? `, ${percent(flops, denseFlops)} of the operations of all` : ""}`;
  const computed = work.ops.map((op, i) => (i === work.main && work.ops.length > 1 ? `[${op}]` : op)).join(" → ");
  const others = work.alternatives > 1 ? `1 of ${work.alternatives}, by the number of rows` : "";
  return [
    ...lines.flat(),
    ...labelled("computes", computed, width),
    ...labelled("from", work.sources.join(", "), width),
    ...labelled("rows", routed, width),
    ...labelled("tunings", others, width),
    ...labelled("reads", work.reads.join(", "), width),
    ...labelled("writes", work.writes.join(", "), width),
  ];
}

/** A labelled text, broken between its words. */
const labelled = (label: string, text: string, width: number): readonly string[] =>
  text === "" ? [] : wrap(`${INDENT}${label.padEnd(9)} `, text.split(" "), " ", width);

interface Held {
  readonly caches: CacheParts;
  readonly memory: MemoryUse;
}

function totals(works: readonly PlannedWork[], { caches, memory }: Held, width: number): readonly string[] {
  const steps = works.flatMap((w) => w.steps);
  const dispatches = steps.filter((s) => s.kind === "dispatch");
  const others = steps.length - dispatches.length;
  const kernels = new Set(dispatches.map((s) => s.name)).size;
  const sum = (of: (work: PlannedWork) => number): number =>
    works.reduce((n, w) => n + (w.steps.length > 0 ? of(w) : 0), 0);
  const [flops, dense] = [sum((w) => w.cost.flops), sum((w) => w.cost.denseFlops)];
  return [
    `${plural(dispatches.length, "dispatch")} of ` +
      `${plural(kernels, "kernel")}${others > 0 ? `, and ${others} of the device's own copies and clears` : ""}`,
    `${operations(flops)}, ${percent(flops, dense)} of the count with nothing skipped; ` +
      `${formatBytes(sum((w) => w.cost.bytes))} read and written`,
    ...cacheLines(caches, width),
    ...memoryLines(memory, width),
  ];
}

/**
 * Mesa 25 and SwiftShader as they report; GPUs as is typical: subgroups of 32 on discrete ones, of varying size on
 * integrated ones.
 */
const TARGETS: { readonly [C in DeviceClass]: Target } = {
  portable: PORTABLE,
  "mesa-software": {
    device: "mesa-software",
    subgroups: [8, 8],
    f16: true,
    textures: true,
    limits: {
      ...DEFAULT_LIMITS,
      storageBuffersPerStage: 16,
      invocationsPerWorkgroup: 1024,
      workgroupStorageBytes: 32_768,
      bufferBytes: 4_294_967_295,
    },
  },
  swiftshader: {
    device: "swiftshader",
    subgroups: [4, 4],
    f16: false,
    limits: { ...DEFAULT_LIMITS, storageBuffersPerStage: 12, workgroupStorageBytes: 32_768 },
  },
  integrated: { device: "integrated", subgroups: [8, 32], f16: true, limits: DEFAULT_LIMITS },
  discrete: {
    device: "discrete",
    subgroups: [32, 32],
    f16: true,
    limits: { ...DEFAULT_LIMITS, invocationsPerWorkgroup: 1024, workgroupStorageBytes: 32_768 },
  },
};

export const targetOf = (device: DeviceClass): Target => TARGETS[device];

/**
 * `mesa-software, subgroups of 8, shader-f16`: the last says what the device has, not what a program uses. `discrete,
 * subgroups of 32 to 64 pinned at 32`: what kernels rely on.
 */
function printTarget(target: Target): string {
  const { device, subgroups, f16 } = target;
  const pinned = pinnedWidth(target);
  const width =
    subgroups === null
      ? []
      : [
          `subgroups of ${subgroups[0] === subgroups[1] ? subgroups[0] : subgroups.join(" to ")}` +
            (pinned === null ? "" : ` pinned at ${pinned}`),
        ];
  return [device, ...width, ...(f16 ? ["shader-f16"] : [])].join(", ");
}
