// Tunings of attention: the kernel, and the number of queries in a tile.
import { among, variant, whole, type Read } from "../../program/reader.js";
import { subgroupWidth, type DeviceClass, type Target } from "../../program/target.js";
import {
  matrixAttentionFault,
  matrixAttentionFields,
  matrixAttentionMisfit,
  matrixAttentions,
  type MatrixTiling,
} from "./attention-matrix.js";
import {
  queryCandidates,
  queryDefault,
  queryMisfit,
  queryName,
  readQueryAttention,
  type QueryAttention,
} from "./attention-query.js";
import type { Family } from "./family.js";

/**
 * `tile`: queries that are processed together, fewer for wide heads. A row has the same bits in a tile of any height;
 * on matrix units it has others, for they round operands to f16.
 */
export type AttentionTuning = TiledAttention & {
  /** What computes few queries; left out: what computes many. */
  readonly few?: QueryAttention;
};
type TiledAttention = SharedAttention | SubgroupAttention | MatrixAttention;

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

/** On matrix units, which round operands to f16. */
export interface MatrixAttention extends MatrixTiling {
  /** What computes operands that must not be rounded, queries too few for a matrix, and heads too wide. */
  readonly other: SharedAttention | SubgroupAttention;
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
const BY_CLASS: { readonly [C in DeviceClass]: SharedAttention | SubgroupAttention } = {
  portable: PORTABLE_ATTENTION,
  "mesa-software": { kind: "subgroup", width: 8, tile: 16 },
  swiftshader: PORTABLE_ATTENTION,
  integrated: GPU,
  discrete: GPU,
};

export const attention: Family<AttentionTuning> = {
  defaults(target) {
    const few = queryDefault(target);
    const own = tiledDefault(target);
    return few === undefined ? own : { ...own, few };
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
    const byQuery = queryCandidates(target).map((few): AttentionTuning => ({ ...exactDefault(target), few }));
    return [...byWorkgroup, ...bySubgroup, ...byQuery].map((tunings) => ({ name: attentionName(tunings), tunings }));
  },
  read(r) {
    const found = r.get("few").value === undefined ? readTiled(r) : readWithFew(r);
    const fault = found.kind === "matrix" ? matrixAttentionFault(found) : null;
    return fault === null ? found : r.fail(`is matrix: ${fault}`);
  },
  incompatibility: (tuning, target) =>
    (tuning.few === undefined ? null : queryMisfit(tuning.few, target)) ?? tiledMisfit(tuning, target),
};

function tiledMisfit(tuning: TiledAttention, target: Target): string | null {
  if (tuning.kind === "matrix") return matrixAttentionMisfit(tuning, target) ?? tiledMisfit(tuning.other, target);
  if (tuning.kind === "workgroup" || tuning.width === subgroupWidth(target)) return null;
  return `attention needs subgroups of ${tuning.width}, which the target does not have in one width`;
}

function tiledDefault(target: Target): TiledAttention {
  const own = exactDefault(target);
  return target.device === "integrated" || target.device === "discrete" ? (onUnits(target) ?? own) : own;
}

/** The default whose operands are not rounded. */
function exactDefault(target: Target): SharedAttention | SubgroupAttention {
  const own = BY_CLASS[target.device];
  return tiledMisfit(own, target) === null ? own : PORTABLE_ATTENTION;
}

const KINDS = {
  workgroup: { lanes: among(LANES), tile: among(TILES) },
  subgroup: { width: whole(WIDTHS.least, WIDTHS.most), tile: among(HALVED) },
} as const;
const readOther: Read<SharedAttention | SubgroupAttention> = variant(KINDS);
const MATRIX = { ...matrixAttentionFields, other: readOther };
const FEW = { few: readQueryAttention };
const readTiled: Read<AttentionTuning> = variant({ ...KINDS, matrix: MATRIX });
const readWithFew: Read<AttentionTuning> = variant({
  workgroup: { ...KINDS.workgroup, ...FEW },
  subgroup: { ...KINDS.subgroup, ...FEW },
  matrix: { ...MATRIX, ...FEW },
});

/** `subgroup 16`, `workgroup 32 × 8, query 256` */
export const attentionName = (tuning: AttentionTuning): string =>
  `${tiledName(tuning)}${tuning.few === undefined ? "" : `, ${queryName(tuning.few)}`}`;

function tiledName(tuning: TiledAttention): string {
  switch (tuning.kind) {
    case "workgroup":
      return `workgroup ${tuning.lanes} × ${tuning.tile}`;
    case "subgroup":
      return `subgroup ${tuning.tile}`;
    case "matrix": {
      const { m, n, k, subgroups, keys } = tuning;
      return `matrix ${m * subgroups} × ${keys} by ${subgroups} of ${m} × ${n} × ${k}`;
    }
    default:
      return tuning satisfies never;
  }
}

/** Tunings on the device's matrix units, which round operands; none where it has none for attention. */
export function attentionOnUnits(target: Target): readonly MatrixAttention[] {
  const other = exactDefault(target);
  return matrixAttentions(target).map((tiling) => ({ ...tiling, other }));
}

/** Of the kernels that any head and layout can have. */
export function sharedAttention(tuning: AttentionTuning): SharedAttention {
  const own = exactAttention(tuning);
  return own.kind === "workgroup" ? own : PORTABLE_ATTENTION;
}

/**
 * On a GPU that lists matrix units: the largest product that it does, for eight subgroups where a workgroup may have so
 * many, which share what they bring of keys and values, else four; blocks of 32 keys. Not measured: by what a compiler
 * for RDNA 3 makes of them, eight take 94% of the time of four, and blocks of 64 keys leave room for fewer workgroups.
 * Null where it has none.
 */
function onUnits(target: Target): MatrixAttention | null {
  const of = (count: number): readonly MatrixAttention[] =>
    attentionOnUnits(target).filter(({ subgroups, keys }) => subgroups === count && keys === 32);
  const all = [...of(8), ...of(4)];
  const size = Math.max(0, ...all.map(({ m, n, k }) => m * n * k));
  return all.find(({ m, n, k }) => m * n * k === size) ?? null;
}

/** The kernel where the units' cannot be taken. */
export const exactAttention = (tuning: AttentionTuning): SharedAttention | SubgroupAttention =>
  tuning.kind === "matrix" ? tuning.other : tuning;
