// Tunings of attention: the kernel, and the number of queries in a tile.
import { among, variant, whole } from "../../program/reader.js";
import { subgroupWidth, type DeviceClass, type Target } from "../../program/target.js";
import type { Family } from "./family.js";

/**
 * `tile`: queries that are processed together, fewer for wide heads. A row has the same bits in a tile of any height.
 */
export type AttentionTuning = SharedAttention | SubgroupAttention;

/**
 * `attention.wgsl`: `lanes` invocations in a workgroup, more for wide heads. Operands may have any width and layout.
 */
export interface SharedAttention {
  readonly kind: "workgroup";
  readonly lanes: number;
  readonly tile: number;
}
/**
 * `attention_subgroup.wgsl`: a workgroup is a subgroup of this size. Rows that are not whole vectors use
 * `PORTABLE_ATTENTION`.
 */
export interface SubgroupAttention {
  readonly kind: "subgroup";
  readonly width: number;
  readonly tile: number;
}

const LANES = [8, 16, 32] as const;
const TILES = [1, 2, 4, 8, 16] as const;
const HALVED = [2, 4, 8, 16] as const;
/** Smaller tiles are useful only if there are no more queries. */
const TRIED = [4, 8, 16] as const;
const WIDTHS = { least: 4, most: 128 } as const;

/** Few lanes, as on a software GPU the cost of barriers grows with the invocations. */
export const PORTABLE_ATTENTION: SharedAttention = { kind: "workgroup", lanes: 8, tile: 8 };
/** The lanes fill a warp, and a workgroup is a warp, in which barriers cost almost nothing. Not measured. */
const GPU: SharedAttention = { kind: "workgroup", lanes: 32, tile: 8 };

/**
 * Measured with 512 causal rows, 8 heads of 64 columns, Mesa 25.0.7, processor time on two Zen 4 cores: 9.7 ms by
 * subgroups in tiles of 16, 12.7 in tiles of 8, 33 by `PORTABLE_ATTENTION`. Tiles of 24 or 32 gain nothing and take
 * longer to compile.
 */
const BY_CLASS: { readonly [C in DeviceClass]: AttentionTuning } = {
  portable: PORTABLE_ATTENTION,
  "mesa-software": { kind: "subgroup", width: 8, tile: 16 },
  swiftshader: PORTABLE_ATTENTION,
  integrated: GPU,
  discrete: GPU,
};

export const attention: Family<AttentionTuning> = {
  defaults(target) {
    const own = BY_CLASS[target.device];
    return attention.incompatibility(own, target) === null ? own : PORTABLE_ATTENTION;
  },
  candidates(target: Target) {
    const width = subgroupWidth(target);
    const byWorkgroup = LANES.flatMap((lanes) =>
      TRIED.map((tile): AttentionTuning => ({ kind: "workgroup", lanes, tile })),
    );
    const bySubgroup =
      width === null || width < WIDTHS.least || width > WIDTHS.most
        ? []
        : TRIED.map((tile): AttentionTuning => ({ kind: "subgroup", width, tile }));
    return [...byWorkgroup, ...bySubgroup].map((tunings) => ({
      name: tunings.kind === "workgroup" ? `workgroup ${tunings.lanes} × ${tunings.tile}` : `subgroup ${tunings.tile}`,
      tunings,
    }));
  },
  read: variant({
    workgroup: { lanes: among(LANES), tile: among(TILES) },
    subgroup: { width: whole(WIDTHS.least, WIDTHS.most), tile: among(HALVED) },
  }),
  incompatibility(tuning, target) {
    if (tuning.kind === "workgroup" || tuning.width === subgroupWidth(target)) return null;
    return `attention needs subgroups of ${tuning.width}, which the target does not have in one width`;
  },
};
