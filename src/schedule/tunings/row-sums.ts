// Tunings of row sums: how many lanes share a row, and how many rows they process at once.
import { among, variant, whole } from "../../program/reader.js";
import { subgroupWidth, type DeviceClass, type Target } from "../../program/target.js";
import type { Family } from "./family.js";

/** The order in which a row is summed depends on the lanes, never on the rows beside it. */
export type RowSumsTuning =
  /** `row_sums.wgsl`: `lanes` of 64 invocations share `rows` rows. */
  | { readonly kind: "workgroup"; readonly lanes: number; readonly rows: number }
  /** `row_sums_subgroup.wgsl`: a subgroup of this width shares them. */
  | { readonly kind: "subgroup"; readonly width: number; readonly rows: number };

const LANES = [1, 4, 8, 16, 32, 64] as const;
const ROWS = [1, 2, 4, 8] as const;
const WIDTHS = { least: 4, most: 128 } as const;

/** Coalesced reads. Not measured on GPUs. */
const PORTABLE: RowSumsTuning = { kind: "workgroup", lanes: 16, rows: 4 };
/** Each row is read by one warp or wave of the narrower kind. Not measured. */
const GPU: RowSumsTuning = { kind: "workgroup", lanes: 32, rows: 2 };

/**
 * Measured with a score and a sum of squares over 512 columns of 2048 rows. Mesa 25.0.7, two Zen 4 cores: 0.46 ms by
 * subgroups of 4 rows, 0.39 by 8, which take 50 ms longer to compile; 0.57 by 2; 0.53 by one lane and 2 rows, 1.0 and
 * more where lanes meet in workgroup memory. SwiftShader: 15 ms by one lane and 4 rows, which leaves too few workgroups
 * for short inputs, 18 by four lanes, 25 by sixteen.
 */
const BY_CLASS: { readonly [C in DeviceClass]: RowSumsTuning } = {
  portable: PORTABLE,
  "mesa-software": { kind: "subgroup", width: 8, rows: 4 },
  swiftshader: { kind: "workgroup", lanes: 4, rows: 4 },
  integrated: GPU,
  discrete: GPU,
};

export const rowSums: Family<RowSumsTuning> = {
  defaults(target) {
    const own = BY_CLASS[target.device];
    return rowSums.incompatibility(own, target) === null ? own : PORTABLE;
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
    return [...byWorkgroup, ...bySubgroup].map((tunings) => ({ name: rowSumsName(tunings), tunings }));
  },
  read: variant({
    workgroup: { lanes: among(LANES), rows: among(ROWS) },
    subgroup: { width: whole(WIDTHS.least, WIDTHS.most), rows: among(ROWS) },
  }),
  incompatibility(tuning, target) {
    if (tuning.kind === "workgroup" || tuning.width === subgroupWidth(target)) return null;
    return `sums over rows need subgroups of ${tuning.width}, which the target does not have in one width`;
  },
};

/** `workgroup 16 × 4`, `subgroup 4` */
export const rowSumsName = (tuning: RowSumsTuning): string =>
  tuning.kind === "workgroup" ? `workgroup ${tuning.lanes} × ${tuning.rows}` : `subgroup ${tuning.rows}`;
