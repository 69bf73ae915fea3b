// Tunings of row sums: how many lanes share a row, and how many rows they process at once.
import { among, variant, whole } from "../../../runtime/program/reader.js";
import { subgroupWidth, type DeviceClass, type Target } from "../../../runtime/program/target.js";
import type { Family } from "./family.js";

/** The order in which a row is summed depends on the lanes, never on other rows. */
export type RowSumsTuning =
  /** `row_sums.wgsl`: `lanes` of 64 invocations share `rows` rows. */
  | { readonly kind: "workgroup"; readonly lanes: number; readonly rows: number }
  /** `row_sums_wide.wgsl`: at most `lanes` of 256 invocations share a row, fewer of short rows. */
  | { readonly kind: "wide"; readonly lanes: number }
  /** `row_sums_subgroup.wgsl`: a subgroup of this width shares them. */
  | { readonly kind: "subgroup"; readonly width: number; readonly rows: number };

const LANES = [1, 4, 8, 16, 32, 64] as const;
const ROWS = [1, 2, 4, 8] as const;
const WIDE = [16, 64, 256] as const;
/** Invocations of a workgroup whose lanes have eight values in flight. */
export const WIDE_INVOCATIONS = 256;
const WIDTHS = { least: 4, most: 128 } as const;

/** Coalesced reads. Not measured on GPUs. */
const PORTABLE: RowSumsTuning = { kind: "workgroup", lanes: 16, rows: 4 };
/**
 * Estimated from the machine code of Mesa's compiler for RDNA 3, not measured: a row of 512 columns takes 1,900 cycles,
 * where 32 lanes with one value in flight take 12,000.
 */
const GPU: RowSumsTuning = { kind: "wide", lanes: 256 };

/**
 * Measured with a score and a sum of squares over 512 columns of 2048 rows. Mesa 25.0.7, two Zen 4 cores: 0.46 ms by
 * subgroups of 4 rows, 0.39 by 8, which take 50 ms longer to compile; 0.57 by 2; 0.53 by one lane and 2 rows, 1.0 and
 * more where lanes meet in workgroup memory. SwiftShader: 15 ms by one lane and 4 rows, which leaves too few workgroups
 * for short inputs, 18 by four lanes, 25 by sixteen.
 */
const BY_CLASS: { readonly [C in DeviceClass]: RowSumsTuning } = {
  portable: GPU,
  "mesa-software": { kind: "subgroup", width: 8, rows: 4 },
  swiftshader: { kind: "workgroup", lanes: 4, rows: 4 },
  integrated: GPU,
  discrete: GPU,
};

export const rowSums: Family<RowSumsTuning> = {
  defaults(target) {
    const ofClass = BY_CLASS[target.device];
    return rowSums.incompatibility(ofClass, target) === null ? ofClass : PORTABLE;
  },
  candidates(target: Target) {
    const width = subgroupWidth(target);
    const bySubgroup =
      width === null || width < WIDTHS.least || width > WIDTHS.most
        ? []
        : ROWS.map((rows): RowSumsTuning => ({ kind: "subgroup", width, rows }));
    const byWorkgroup = LANES.flatMap((lanes) =>
      ROWS.map((rows): RowSumsTuning => ({ kind: "workgroup", lanes, rows })),
    );
    const wide = WIDE.map((lanes): RowSumsTuning => ({ kind: "wide", lanes })).filter(
      (w) => misfit(w, target) === null,
    );
    return [...byWorkgroup, ...wide, ...bySubgroup].map((tunings) => ({ name: rowSumsName(tunings), tunings }));
  },
  read: variant({
    workgroup: { lanes: among(LANES), rows: among(ROWS) },
    wide: { lanes: among(WIDE) },
    subgroup: { width: whole(WIDTHS.least, WIDTHS.most), rows: among(ROWS) },
  }),
  incompatibility: misfit,
};

function misfit(tuning: RowSumsTuning, target: Target): string | null {
  if (tuning.kind === "wide")
    return target.limits.invocationsPerWorkgroup >= WIDE_INVOCATIONS
      ? null
      : `sums over rows need workgroups of ${WIDE_INVOCATIONS}`;
  if (tuning.kind === "workgroup" || tuning.width === subgroupWidth(target)) return null;
  return `sums over rows need subgroups of ${tuning.width}, which the target does not have in one width`;
}

/** `workgroup 16 × 4`, `wide 256`, `subgroup 4` */
export function rowSumsName(tuning: RowSumsTuning): string {
  switch (tuning.kind) {
    case "workgroup":
      return `workgroup ${tuning.lanes} × ${tuning.rows}`;
    case "wide":
      return `wide ${tuning.lanes}`;
    case "subgroup":
      return `subgroup ${tuning.rows}`;
    default:
      return tuning satisfies never;
  }
}
