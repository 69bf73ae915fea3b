// The spec of sums over rows: a kernel computes up to four sums in one pass over its inputs.
import { invariant } from "../../../ground/base/invariant.js";
import type { DType } from "../../../ground/base/dtype.js";
import type { Size } from "../../../ground/size/size.js";
import { storageType } from "../codecs/words.js";
import type { Extents } from "../analysis/extents.js";
import type { Step } from "../plan/plan.js";
import { WIDE_INVOCATIONS, type RowSumsTuning } from "../tunings/row-sums.js";
import { KernelBuilder, type Operand } from "./spec.js";

/** Sums over the columns of each row. */
export interface RowSums {
  readonly rows: Size;
  readonly depth: Size;
  /**
   * Where each sum goes, f32 or f16 [rows, parts], one to four: in the first part, and zeros in the others. None is
   * read by the kernel.
   */
  readonly results: readonly { readonly operand: Operand; readonly dtype: DType; readonly parts: number }[];
  /**
   * Binds what the sums read, and declares `RowX` and `fn rowX(row: u32) -> RowX`, what a row needs whatever the
   * column; `ColX` and `fn colX(k: u32) -> ColX`, what a column needs whatever the row; `fn valueX(r: RowX, c: ColX, k:
   * u32) -> Sums`, what column k of a row adds to each sum.
   */
  readonly declare: (kernel: KernelBuilder) => void;
}

/** `Sums`, by how many there are. */
const SUMS = ["f32", "vec2f", "vec3f", "vec4f"] as const;

/** The WGSL type of `Sums` for `count` sums. */
export function sumsType(count: number): (typeof SUMS)[number] {
  const type = SUMS[count - 1];
  invariant(type, `${count} sums are none or too many`);
  return type;
}

/** The step that computes row sums. The bits of a row's sums do not depend on other rows. */
export function rowSums(
  { rows, depth, results, declare }: RowSums,
  extents: Extents,
  tuning: RowSumsTuning,
): Step<Operand> {
  const kernel = kernelOf(extents, tuning, depth);
  declare(kernel);
  kernel
    .function(`alias Sums = ${sumsType(results.length)};`)
    .count("rowCount", rows)
    .count("depth", depth);
  const stores = results.map(({ operand, dtype, parts }, i) => {
    kernel.write(`sums${i}`, storageType(dtype), operand);
    const sum = results.length === 1 ? "s" : `s[${i}]`;
    const value = dtype === "f16" ? `modc_f16(${sum})` : sum;
    if (parts === 1) return `  sums${i}[row] = ${value};\n`;
    const count = kernel.size(parts);
    return `  for (var p = 0u; p < ${count}; p++) { sums${i}[row * ${count} + p] = select(0.0, ${value}, p == 0u); }\n`;
  });
  kernel.function(`fn keep(row: u32, s: Sums) {\n${stores.join("")}}`);
  return kernel.dispatch(extents.ceilDivide(rows, rowsOf(tuning, depth)));
}

/** Rows of a workgroup. */
function rowsOf(tuning: RowSumsTuning, depth: Size): number {
  switch (tuning.kind) {
    case "workgroup":
      return (64 / tuning.lanes) * tuning.rows;
    case "wide":
      return WIDE_INVOCATIONS / wideLanes(tuning.lanes, depth);
    case "subgroup":
      return tuning.rows;
    default:
      return tuning satisfies never;
  }
}

/** Values that a lane has in flight, and the fewest lanes of a row. */
const AT_ONCE = 8;
const FEWEST_LANES = 16;

/** Lanes that share a row. If its length is known, no more lanes than have enough values each. */
export const wideLanes = (most: number, depth: Size): number =>
  typeof depth === "number"
    ? Math.max(FEWEST_LANES, Math.min(most, 2 ** Math.ceil(Math.log2(Math.max(1, depth / AT_ONCE)))))
    : most;

function kernelOf(extents: Extents, tuning: RowSumsTuning, depth: Size): KernelBuilder {
  switch (tuning.kind) {
    case "workgroup":
      return new KernelBuilder("row_sums", extents).constant("LANES", tuning.lanes).constant("ROWS", tuning.rows);
    case "wide":
      return new KernelBuilder("row_sums_wide", extents).constant("LANES", wideLanes(tuning.lanes, depth));
    case "subgroup":
      return new KernelBuilder("row_sums_subgroup", extents)
        .subgroups(tuning.width)
        .constant("WIDTH", tuning.width)
        .constant("ROWS", tuning.rows);
    default:
      return tuning satisfies never;
  }
}
