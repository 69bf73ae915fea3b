// The kernel of what is computed row by row around a choice of entries: how many invocations share a row, and how many
// rows a workgroup has.
import type { Size } from "../../../ground/size/size.js";
import type { Extents } from "../analysis/extents.js";
import type { Step } from "../plan.js";
import type { Tunings } from "../tunings/index.js";
import { KernelBuilder, WORKGROUP, type Operand } from "./spec.js";

export interface GatingShape {
  readonly rows: Size;
  /** The entries of the longest list that a step goes through. */
  readonly widest: number;
  /** Words of workgroup memory for a row. */
  readonly cells: number;
}

/** Words of workgroup memory for the values of a workgroup's rows: what every device has, less room for the lanes. */
const MOST_WORDS = 3584;

/** Fewer rows than this in a workgroup leave most of a processor's lanes idle: lanes share a row instead. */
const LEAST_ROWS = 8;

/**
 * The step. `declare` binds reads and writes and declares `compute`, with so many lanes for a row.
 */
export function gatingKernel(
  { rows, widest, cells }: GatingShape,
  declare: (kernel: KernelBuilder, lanes: number) => void,
  extents: Extents,
  { reductions }: Tunings,
): Step<Operand> {
  const together = 2 ** Math.floor(Math.log2(Math.min(WORKGROUP, MOST_WORDS / cells)));
  const alone = widest <= reductions.alone && together >= LEAST_ROWS;
  const lanes = alone ? 1 : reductions.lanes;
  const kernel = new KernelBuilder("gating", extents);
  const own = alone ? together : 1;
  declare(kernel, lanes);
  return kernel
    .function("fn larger(a: f32, b: f32) -> f32 { return modc_max(a, b); }")
    .function("fn smaller(a: f32, b: f32) -> f32 { return modc_min(a, b); }")
    .constant("INVOCATIONS", lanes * own)
    .constant("LANES", lanes)
    .constant("ROWS", own)
    .constant("CELLS", cells)
    .count("rowCount", rows)
    .dispatch(extents.ceilDivide(rows, own));
}

/** How many lanes share each of so many lists. */
export const shareOf = (lists: number, lanes: number): number => 2 ** Math.max(0, Math.floor(Math.log2(lanes / lists)));
