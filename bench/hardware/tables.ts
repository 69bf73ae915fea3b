// Tables of the machine code that a card's compiler makes of programs. Facts and estimates have separate tables.
import type { Card } from "../../src/tools/hardware/isa/cards.js";
import type { Lab, Row } from "../../src/tools/hardware/lab.js";
import { table } from "../tables.js";

/** Dispatches that are alike: of one kernel, by as many workgroups, with the same estimate. */
export interface Alike {
  readonly row: Row;
  readonly times: number;
}

export function alikeIn(rows: readonly Row[]): readonly Alike[] {
  const groups = new Map<string, { row: Row; times: number }>();
  for (const row of rows) {
    const key = `${row.kernel} ${row.workgroups} ${row.estimate.us.toPrecision(3)} ${row.estimate.by}`;
    const known = groups.get(key);
    if (known) known.times++;
    else groups.set(key, { row, times: 1 });
  }
  return [...groups.values()];
}

const sum = (all: readonly number[]): number => all.reduce((a, b) => a + b, 0);
export const percent = (share: number): string => (Number.isFinite(share) ? `${(100 * share).toFixed(0)}%` : "");
export const micros = (us: number): string => (us >= 100 ? us.toFixed(0) : us.toPrecision(2));
export const thousand = (n: number): string => n.toLocaleString("en");
const short = (tuning: string): string => tuning.replaceAll(/(BLOCK=\d+|K_PER_LOAD=1|ROW_SUMS=0) ?/g, "").trim();
export const kernelName = ({ kernel, tuning }: { readonly kernel: string; readonly tuning: string }): string =>
  `${kernel.replace(/\.\d+$/, "")} ${short(tuning)}`.trim();
const named = ({ row, times }: Alike): string => kernelName(row) + (times > 1 ? ` (×${times})` : "");

/** The compiler's report, and instruction counts for one workgroup at these sizes. */
export function factsTable(rows: readonly Alike[]): string {
  const head = [
    "kernel",
    "workgroups",
    "lanes",
    "registers",
    "subgroups a SIMD holds",
    "workgroup memory",
    "spills, scratch",
    "code",
    "instructions of a subgroup",
    "multiply-adds or matrix products",
    "useful arithmetic cycles",
    "loads (bits × n)",
    "lines of a load",
    "passes of workgroup memory",
    "its bytes an operation",
    "waits, barriers",
  ];
  const lines = rows.map((alike) => {
    const { facts, workgroups, threads, followed } = alike.row;
    const n = sum(followed.map((f) => f.waves));
    const of = (value: (m: Row["followed"][number]["mix"]) => number): number =>
      sum(followed.map(({ mix }) => value(mix)));
    const flops = of((m) => m.flops);
    const slots = of((m) => m.slots);
    const work = of((m) => m.multiplyAdds + m.matrix);
    return [
      named(alike),
      thousand(workgroups),
      `${threads} by ${facts.wave}`,
      String(facts.vectorRegisters),
      String(facts.resident),
      thousand(facts.workgroupBytes),
      `${facts.spills}, ${facts.scratchBytes}`,
      thousand(facts.codeBytes),
      thousand(Math.round(slots / n)),
      `${thousand(Math.round(work / n))} = ${percent(work / slots)}`,
      flops > 0 ? percent(of((m) => m.usefulCycles) / of((m) => m.vectorCycles)) : "",
      widthsOf(
        followed.map(({ mix }) => mix.widths),
        n,
      ),
      ratio(
        of((m) => m.lines),
        of((m) => m.leastLines),
      ),
      ratio(
        of((m) => m.localPasses),
        of((m) => m.leastPasses),
      ),
      flops > 0 ? (of((m) => m.localBytes) / flops).toFixed(2) : "",
      `${Math.round(of((m) => m.waits) / n)}, ${Math.round(of((m) => m.barriers) / n)}`,
    ];
  });
  return table(head, lines);
}

/** How many times as many as there could be. */
const ratio = (n: number, least: number): string => (least === 0 ? "" : `× ${(n / least).toFixed(1)}`);

function widthsOf(all: readonly ReadonlyMap<number, number>[], n: number): string {
  const widths = [...new Set(all.flatMap((m) => [...m.keys()]))].sort((a, b) => a - b);
  const found = widths.map((w) => [w, sum(all.map((m) => m.get(w) ?? 0)) / n] as const);
  return found.map(([w, times]) => `${w} × ${thousand(Math.round(times))}`).join(", ") || "none";
}

export function estimatesTable(rows: readonly Alike[]): string {
  const head = [
    "kernel",
    "estimated µs",
    "held up by",
    "roof, µs",
    "busy cycles of a subgroup",
    "cycles of a workgroup alone",
    "of the peak, were there subgroups enough",
    "its loops' lengths are from",
  ];
  const lines = rows.map((alike) => {
    const { estimate: e } = alike.row;
    return [
      named(alike),
      `${e.ground === "least" ? "≥ " : ""}${micros(e.us)}`,
      e.by,
      micros(e.roofUs),
      thousand(Math.round(e.busy)),
      thousand(Math.round(e.alone)),
      e.fullShare === null ? "" : percent(e.fullShare),
      { sizes: "sizes", drawn: "sizes and drawn values", least: "sizes, some unknown and counted once" }[e.ground],
    ];
  });
  return table(head, lines);
}

export interface Total {
  readonly us: number;
  readonly withGaps: number;
  readonly roofUs: number;
  readonly dispatches: number;
  readonly alone: number;
  readonly least: boolean;
}

export function totalOf({ rows, card }: Lab): Total {
  const us = sum(rows.map((r) => r.estimate.us));
  return {
    us,
    withGaps: us + card.gap * rows.length,
    roofUs: sum(rows.map((r) => r.estimate.roofUs)),
    dispatches: rows.length,
    alone: rows.filter((r) => r.workgroups === 1).length,
    least: rows.some((r) => r.estimate.ground === "least"),
  };
}

export const cardLine = ({ name, id, simds, clock, bandwidth, gap, latency }: Card): string =>
  `${name} (\`${id}\`): ${simds} SIMDs of 32 lanes at ${clock / 1e9} GHz, ${bandwidth / 1e9} GB/s; a load is back ` +
  `after ${latency.memory} cycles, from workgroup memory after ${latency.local}; ${gap} µs between dispatches`;
