// `modc tune --hardware`: what holds up the kernels that were found best, on a card that is not there, by the machine
// code that its compiler makes of them.
import { gpuOf, type Card, type CardId } from "../../hardware/cards.js";
import type { Bound } from "../../hardware/estimate.js";
import { labOf } from "../../hardware/lab.js";
import { NullDevice } from "../../hardware/null-device-node.js";
import { misfitOf, tuningsFor } from "../../../compiler/schedule/tunings/index.js";
import { extentsAt, programOf } from "../../tune/bound.js";
import type { TunedLine } from "../../tune/tune.js";
import { io } from "../terminal/io.js";
import { table } from "../terminal/table.js";
import { columns } from "../terminal/terminal.js";
import { wrap } from "../terminal/units.js";
import { childScript, NOTE } from "./hardware.js";

/** What a card's compiler makes of the best kernels of a line. */
export interface Reading {
  readonly card: CardId;
  readonly workload: string;
  readonly size: number;
  readonly counts: string;
  readonly best: string;
  /** By estimates; empty where the card cannot run these tunings. */
  readonly kernels: readonly {
    readonly kernel: string;
    readonly tuning: string;
    readonly by: Bound;
    readonly us: number;
    readonly roofUs: number;
    /** Whether loops of unknown length were counted once. */
    readonly least: boolean;
  }[];
  /** Why the card cannot run them, as a clause; null where it can. */
  readonly misfit: string | null;
}

export const openLab = (id: CardId): Promise<NullDevice> => NullDevice.open(gpuOf(id) as Card, childScript(), io().env);

export async function readingsOf(lab: NullDevice, lines: readonly TunedLine[]): Promise<readonly Reading[]> {
  const readings: Reading[] = [];
  for (const { of, tunings, told: line } of lines) {
    const { workload, size, counts, best } = line;
    const own = { ...tuningsFor(lab.target), [of.family]: tunings[of.family] };
    const misfit = misfitOf(own, lab.target);
    const told = { card: lab.card.id, workload, size, counts, best };
    if (misfit !== null) {
      readings.push({ ...told, kernels: [], misfit });
      continue;
    }
    const program = programOf(of, lab.target, own);
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

export function readingsText(readings: readonly Reading[]): string {
  const [first] = readings;
  if (!first) return "";
  const rows = readings.flatMap(({ kernels, misfit, ...line }): readonly Shown[] =>
    misfit === null
      ? kernels.map((made) => ({ ...line, name: made.kernel, made }))
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
