// Intel's GPUs in the report: what their compiler says of each kernel that some case runs, without a model of time.
import type { Gpu } from "../../src/tools/hardware/isa/cards.js";
import { countsOf, type CountedRow } from "../../src/tools/hardware/counts.js";
import type { NullDevice } from "../../src/tools/hardware/null-device-node.js";
import { table } from "../tables.js";
import { compileCase, extentsOf, type HardwareCase } from "./cases.js";
import { kernelName, percent, thousand } from "./tables.js";

export interface CountedKernel extends CountedRow {
  /** The cases that run it. */
  readonly cases: readonly string[];
}

export const INTEL_NOTE =
  "Facts of the compiler, for a whole kernel as its code stands, loops once. Its own `cycles`, by which a\n" +
  "loop runs ten times and a nested one a hundred, compare kernels of like loops only; there is no model of\n" +
  "time for these GPUs. Messages are loads, stores and barriers. Live registers are units of 32 bytes, before\n" +
  "instructions are put in order: a thread has 128 of them, from Lunar Lake on 256.";

/** Kernels of the cases: kernels of one family and tuning with equal counts count once. */
export async function countKernels(
  device: NullDevice<Gpu>,
  cases: readonly HardwareCase[],
  tell: (name: string) => void,
): Promise<readonly CountedKernel[]> {
  const found = new Map<string, CountedRow & { readonly cases: Set<string> }>();
  for (const given of cases) {
    tell(given.name);
    const program = compileCase(given, device.target);
    for (const row of await countsOf(device, program, { extents: extentsOf(program, given) })) {
      const { width, instructions, cycles, liveRegisters } = row.counts;
      const key = [kernelName(row), width, instructions, cycles, liveRegisters].join(" ");
      const known = found.get(key) ?? { ...row, cases: new Set<string>() };
      found.set(key, known);
      known.cases.add(given.name);
    }
  }
  return [...found.values()].map((row) => ({ ...row, cases: [...row.cases] }));
}

export const spillsOf = ({ counts: c }: CountedRow): number => c.spills + c.fills;
export const isSpilling = (row: CountedRow): boolean => spillsOf(row) > 0 || row.counts.scratchBytes > 0;

export function countsTable(rows: readonly CountedKernel[]): string {
  const head = "kernel, cases, lanes, instructions, messages, cycles, spills, fills, scratch, live registers";
  return table(
    [...head.split(", "), "workgroup memory", "compiler ms"],
    rows.map((row) => {
      const c = row.counts;
      const numbers = [c.instructions, c.messages, c.cycles, c.spills, c.fills, c.scratchBytes, c.liveRegisters];
      return [
        kernelName(row),
        row.cases.length > 2 ? `${row.cases[0]!} and ${row.cases.length - 1} others` : row.cases.join(", "),
        String(c.width),
        ...numbers.map(thousand),
        thousand(c.workgroupBytes),
        c.compileMs.toFixed(0),
      ];
    }),
  );
}

/** A line for each GPU, and the families of kernels that spill there. */
export function spillingTable(gpus: ReadonlyMap<Gpu, readonly CountedKernel[]>): string {
  return table(
    ["GPU", "kernels", "that spill", "most spills and fills of one", "most scratch", "which"],
    [...gpus].map(([{ id, name }, rows]) => {
      const spilling = rows.filter(isSpilling);
      const families = new Set(spilling.map((row) => row.kernel.replace(/\.\d+$/, "")));
      return [
        `${name} (\`${id}\`)`,
        String(rows.length),
        spilling.length === 0 ? "0" : `${spilling.length} = ${percent(spilling.length / rows.length)}`,
        thousand(Math.max(0, ...spilling.map(spillsOf))),
        thousand(Math.max(0, ...spilling.map((row) => row.counts.scratchBytes))),
        [...families].map((f) => `\`${f}\``).join(", ") || "none",
      ];
    }),
  );
}
