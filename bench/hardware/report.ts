// hardware.md: what GPUs' compilers make of modc's kernels; and hardware-kernels.md, each kernel by itself.
import { CARDS, INTEL, isCard, type Card, type Gpu } from "../../src/tools/hardware/isa/cards.js";
import type { Lab } from "../../src/tools/hardware/lab.js";
import { table } from "../tables.js";
import type { RunCounts } from "./commands.js";
import { countsTable, INTEL_NOTE, spillingTable, type CountedKernel } from "./intel.js";
import { PEERS_COUNTS_NOTE, PEERS_NOTE } from "./peers/table.js";
import { alikeIn, cardLine, estimatesTable, factsTable, micros, totalOf } from "./tables.js";

const NOTE =
  "**All times here are estimates from machine code, not measurements.** No card was there. Registers, spills,\n" +
  "code, instructions, loads and waits are what the card's own compiler made; microseconds come from a simple model\n" +
  "of the card. A factor of two may be wrong.";
const WRITTEN = "Written by `npm run bench -- hardware`; Mesa's RADV, whose compiler is ACO, and Mesa's ANV for Intel.";
const STAND_INS = "Kernels that stand in for others (for a single row, for greedy choice) are left out.";
const EXPLAINED = "[docs/hardware.md](../docs/hardware.md) explains columns, model and limits";

export interface CaseLab {
  readonly name: string;
  readonly lab: Lab;
}

export interface Report {
  readonly cards: ReadonlyMap<Card, readonly CaseLab[]>;
  readonly counted: ReadonlyMap<Gpu, readonly CountedKernel[]>;
  readonly runs: readonly RunCounts[];
  /** Sentences about drivers that were not there. */
  readonly missing: readonly string[];
  /** Tables of peers. */
  readonly peers: ReadonlyMap<Gpu, string>;
}

export function report({ cards, counted, runs, peers, missing }: Report): string {
  const parts = [
    "# What GPUs' compilers make of modc's kernels",
    `${NOTE} ${EXPLAINED}; [hardware-kernels.md](hardware-kernels.md) has each kernel.`,
    [WRITTEN, ...missing].join(" "),
    STAND_INS,
  ];
  for (const [card, cases] of cards) {
    const picture = card === CARDS[0] && cards.size > 1 ? ["![Estimates and roofs](hardware.svg)"] : [];
    parts.push(`## ${card.name}`, cardLine(card), ...picture, summary(cases));
  }
  if (counted.size > 0) parts.push("## Intel", INTEL_NOTE, spillingTable(counted));
  for (const [gpu, text] of peers)
    parts.push(`## Peers on ${gpu.name}`, isCard(gpu) ? PEERS_NOTE : PEERS_COUNTS_NOTE, text);
  if (runs.length > 0) parts.push("## What is encoded at run time", NOTE_RUNS, runsTable(runs));
  return `${parts.join("\n\n")}\n`;
}

/** The first card of each vendor, kernel by kernel. */
export function kernelReport({ cards, counted }: Report): string {
  const parts = ["# Each kernel", `${NOTE} ${EXPLAINED}; [hardware.md](hardware.md) has sums.`];
  const [card, cases] = [...cards][0] ?? [null, []];
  if (card) parts.push(`## ${card.name}`, cardLine(card));
  for (const { name, lab } of cases) {
    const rows = alikeIn(lab.rows);
    parts.push(
      `### ${name}`,
      "Facts for one subgroup at these sizes:",
      factsTable(rows),
      "Estimates from machine code, not measurements:",
      estimatesTable(rows),
    );
  }
  const shown = counted.has(INTEL[1]!) ? INTEL[1]! : [...counted.keys()][0];
  if (shown)
    parts.push(`## ${shown.vendor}'s ${shown.name} (\`${shown.id}\`)`, INTEL_NOTE, countsTable(counted.get(shown)!));
  return `${parts.join("\n\n")}\n`;
}

const NOTE_RUNS =
  "Facts: commands that the runtime encodes, counted before the driver. `barriers` are the driver's own too.";

function summary(cases: readonly CaseLab[]): string {
  const head = [
    "case",
    "estimated µs",
    "with gaps",
    "roof",
    "dispatches",
    "of one workgroup",
    "kernels with spills or scratch",
    "largest code",
    "compiler ms of all",
  ];
  return table(
    head,
    cases.map(({ name, lab }) => {
      const total = totalOf(lab);
      const facts = [...new Map(lab.rows.map((r) => [r.kernel, r.facts])).values()];
      return [
        name,
        `${total.least ? "≥ " : ""}${micros(total.us)}`,
        micros(total.withGaps),
        micros(total.roofUs),
        String(total.dispatches),
        String(total.alone),
        String(facts.filter((f) => f.spills + f.scratchBytes > 0).length),
        Math.max(...facts.map((f) => f.codeBytes)).toLocaleString("en"),
        facts.reduce((n, f) => n + f.compileMs, 0).toFixed(0),
      ];
    }),
  );
}

const runsTable = (counts: readonly RunCounts[]): string =>
  table(
    [
      "run",
      "dispatches",
      "of one workgroup",
      "barriers",
      "sets",
      "submits",
      "copies",
      "pipelines compiled",
      "compiler ms",
    ],
    counts.map((c) => [
      c.name,
      String(c.dispatches),
      String(c.alone),
      String(c.barriers),
      String(c.sets),
      String(c.submits),
      String(c.copies),
      String(c.pipelines),
      c.compileMs.toFixed(0),
    ]),
  );
