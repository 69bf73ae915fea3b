// `modc plan --hardware`: what the compiler of a card that is not there makes of a model's kernels, with estimates of
// time from the machine code.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gpuOf, isCard, type Gpu, type GpuId } from "../../hardware/isa/cards.js";
import { countsOf, type CountedRow } from "../../hardware/counts.js";
import { labOf, type Lab, type Row } from "../../hardware/lab.js";
import { NullDevice } from "../../hardware/null-device-node.js";
import type { Program } from "../../../runtime/program/program.js";
import { formatBytes } from "../../../runtime/device/errors.js";
import { parseAxes } from "../../../runtime/steps/sizes.js";
import { chosenExtents, printExtents } from "../source/extents.js";
import { programName } from "../source/frontend.js";
import { type ExitCode, misuse } from "../terminal/exit.js";
import { io } from "../terminal/io.js";
import { columns, printReport } from "../terminal/terminal.js";
import { plural, wrap } from "../terminal/units.js";
import type { Flags } from "../tree/declare.js";
import type { sourceCommands } from "../tree/source.js";
import { USUAL_TOKENS } from "./planned.js";
import type { Given } from "../source/program.js";

export const NOTE =
  "Times are estimates from machine code, not measurements; they may be wrong by a factor of two (docs/hardware.md).";
const NOTE_COUNTS =
  "Static counts by the compiler, not measurements: it estimates cycles as if each loop ran ten times " +
  "(docs/hardware.md).";

/** Plans for a card. If its driver is missing, names the package to install and ends as for a missing device. */
export async function planHardware(
  file: string,
  { program: own, forTarget }: Given,
  id: GpuId,
  flags: Flags<typeof sourceCommands.plan>,
): Promise<ExitCode> {
  if (forTarget === null) throw misuse(`${file} is already compiled: --hardware compiles for a card`);
  if (flags.target !== undefined) throw misuse("--hardware and --target both name a device", "leave out one of them");
  const gpu = gpuOf(id);
  const extents = chosenExtents(parseAxes(own), flags, USUAL_TOKENS);
  const options = { extents, live: flags.live ?? {} };
  const device = await NullDevice.open<Gpu>(gpu, childScript(), io().env);
  try {
    const program = forTarget(device.target);
    const name = `${program.model}, ${programName(flags, program)}, ${printExtents(extents)}`;
    if (isAmd(device)) {
      const lab = await labOf(device, program, options);
      return printReport(flags, { json: asJson(program, extents, lab), text: printed(lab, name) });
    }
    const rows = await countsOf(device, program, options);
    return printReport(flags, {
      json: { ...planned(program, extents, gpu), note: NOTE_COUNTS, kernels: rows },
      text: printedCounts(gpu, rows, name),
    });
  } finally {
    device.close();
  }
}

const isAmd = (device: NullDevice<Gpu>): device is NullDevice => isCard(device.card);

function printedCounts(gpu: Gpu, rows: readonly CountedRow[], name: string): string {
  const width = columns();
  const spilling = rows.filter(({ counts: c }) => c.spills + c.fills + c.scratchBytes > 0).length;
  return [
    `${name}, for ${gpu.vendor}'s ${gpu.name}, which is not present`,
    ...wrap("", NOTE_COUNTS.split(" "), " ", width),
    "",
    ...rows.flatMap(({ kernel, tuning, workgroups, counts: c }, i) => {
      const told = [
        plural(workgroups, "workgroup"),
        `subgroups of ${c.width}`,
        `${c.instructions} instructions`,
        plural(c.messages, "message"),
        `${c.cycles} cycles`,
        c.spills + c.fills > 0 ? `${c.spills} spills and ${c.fills} fills` : "none spilled",
        c.scratchBytes > 0 ? `${formatBytes(c.scratchBytes)} of scratch` : "no scratch",
        `${c.liveRegisters} live registers`,
        ...(c.workgroupBytes > 0 ? [`${formatBytes(c.workgroupBytes)} of workgroup memory`] : []),
      ];
      return [
        ...wrap(`${String(i + 1).padStart(4)}  `, `${kernel}  ${tuning}`.trimEnd().split(" "), " ", width),
        ...wrap("      ", told.join(", ").split(" "), " ", width),
      ];
    }),
    "",
    `${plural(rows.length, "dispatch")}, of which ${spillingText(spilling)}`,
  ].join("\n");
}

const spillingText = (n: number): string =>
  n === 0 ? "none spills or has scratch" : n === 1 ? "1 spills or has scratch" : `${n} spill or have scratch`;

/** Beside this bundle; where commands run from their sources, in the build. */
export function childScript(): string {
  const candidates = ["./hardware-child.js", "../../../../dist/src/cli/hardware-child.js"];
  const paths = candidates.map((candidate) => fileURLToPath(new URL(candidate, import.meta.url)));
  return paths.find((path) => existsSync(path)) ?? paths[0]!;
}

function printed(lab: Lab, name: string): string {
  const { card, rows } = lab;
  const us = sum(rows.map((r) => r.estimate.us));
  const least = rows.some((r) => r.estimate.ground === "least");
  const width = columns();
  return [
    `${name}, for a ${card.name} that is not present`,
    ...wrap("", NOTE.split(" "), " ", width),
    "",
    ...rows.flatMap((row, i) => rowLines(row, i, width)),
    "",
    `${plural(rows.length, "dispatch")}, an estimated ${least ? "≥ " : ""}${micros(us)} without gaps and ` +
      `${micros(us + card.gap * rows.length)} with ${card.gap} µs after each`,
    `roof ${micros(sum(rows.map((r) => r.estimate.roofUs)))}: operations and bytes at the card's peak`,
  ].join("\n");
}

const sum = (all: readonly number[]): number => all.reduce((a, b) => a + b, 0);
const micros = (us: number): string => `${us >= 100 ? us.toFixed(0) : us.toPrecision(2)} µs`;

function rowLines({ kernel, tuning, workgroups, threads, facts, estimate }: Row, i: number, width: number): string[] {
  const spilled = facts.spills + facts.scratchBytes > 0 ? `${facts.spills} spilled` : "none spilled";
  const told = [
    `${plural(workgroups, "workgroup")} of ${threads}`,
    `subgroups of ${facts.wave}`,
    `${facts.vectorRegisters} registers`,
    spilled,
    `${facts.resident} subgroups a SIMD`,
    `${formatBytes(facts.codeBytes)} of code`,
    ...(facts.workgroupBytes > 0 ? [`${formatBytes(facts.workgroupBytes)} of workgroup memory`] : []),
  ];
  const ground = { sizes: "", drawn: ", loops by drawn values", least: ", some loops counted once" }[estimate.ground];
  const time =
    `estimated ${estimate.ground === "least" ? "≥ " : ""}${micros(estimate.us)}, limited by ${estimate.by}, ` +
    `roof ${micros(estimate.roofUs)}${ground}`;
  return [
    ...wrap(`${String(i + 1).padStart(4)}  `, `${kernel}  ${tuning}`.trimEnd().split(" "), " ", width),
    ...wrap("      facts     ", told.join(", ").split(" "), " ", width),
    ...wrap("      time      ", time.split(" "), " ", width),
  ];
}

const planned = (program: Program, extents: ReadonlyMap<string, number>, gpu: Gpu): object => ({
  model: program.model,
  phase: program.phase,
  card: gpu.id,
  target: program.target,
  extents: Object.fromEntries(extents),
});

const asJson = (program: Program, extents: ReadonlyMap<string, number>, { card, rows, others }: Lab): object => ({
  ...planned(program, extents, card),
  note: NOTE,
  others,
  kernels: rows.map(({ kernel, tuning, workgroups, threads, facts, estimate }) => ({
    kernel,
    tuning,
    workgroups,
    threads,
    facts,
    estimate,
  })),
});
