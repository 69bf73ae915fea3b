// hardware.md: what cards' compilers make of modc's kernels.
import type { Lab } from "../../src/hardware/lab.js";
import { table } from "../tables.js";
import type { RunCounts } from "./commands.js";
import { alikeIn, cardLine, estimatesTable, factsTable, micros, totalOf } from "./tables.js";

export const NOTE =
  "**All times here are estimates from machine code, not measurements.** No card was there. Registers, spills,\n" +
  "code, instructions, loads and waits are what the card's own compiler made; microseconds come from a simple model\n" +
  "of the card. A factor of two may be wrong.";

export interface CaseLab {
  readonly name: string;
  readonly lab: Lab;
}

export function report(given: {
  readonly cards: ReadonlyMap<string, readonly CaseLab[]>;
  readonly counts: readonly RunCounts[];
  readonly others: readonly string[];
  readonly driver: string;
}): string {
  const parts = [
    "# What cards' compilers make of modc's kernels",
    `${NOTE} [docs/hardware.md](../docs/hardware.md) explains columns, model and limits.`,
    `Written by \`npm run bench -- hardware\`; ${given.driver}.`,
  ];
  for (const [index, [, cases]] of [...given.cards].entries())
    parts.push(...cardPart(cases, index === 0 ? "![Estimates and roofs](hardware.svg)" : null));
  if (given.counts.length > 0) parts.push("## What is encoded at run time", NOTE_COUNTS, countsTable(given.counts));
  parts.push(...given.others);
  return `${parts.join("\n\n")}\n`;
}

const NOTE_COUNTS =
  "Facts: commands that the runtime encodes, counted before the driver. `barriers` are the driver's own too.";

function cardPart(cases: readonly CaseLab[], picture: string | null): readonly string[] {
  const { card } = cases[0]!.lab;
  const parts = [`## ${card.name}`, cardLine(card), ...(picture === null ? [] : [picture]), summary(cases)];
  // Each kernel of each case is told for the first card, and of the others what they come to.
  if (picture === null) return parts;
  for (const { name, lab } of cases) {
    const rows = alikeIn(lab.rows);
    parts.push(
      `### ${name}`,
      "Facts, of one subgroup at these sizes:",
      factsTable(rows),
      "Estimates from machine code, not measurements:",
      estimatesTable(rows),
    );
  }
  return parts;
}

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

const countsTable = (counts: readonly RunCounts[]): string =>
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
