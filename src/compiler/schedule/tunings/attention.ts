// Tunings of attention: the kernel, and the number of queries in a tile.
import { among, variant, whole, type Read } from "../../../runtime/program/reader.js";
import { roomyWidth, subgroupWidth, type DeviceClass, type Target } from "../../../runtime/program/target.js";
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
  /** The tuning for few queries; by default the tuning for many. */
  readonly few?: QueryAttention;
};
export type ExactAttention = SharedAttention | SubgroupAttention | WideAttention;
type TiledAttention = ExactAttention | MatrixAttention;

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

/**
 * `attention_wide.wgsl`: 64 queries to a workgroup, each of `slices` lanes that share out its keys, `keys` at once,
 * where a subgroup reads a key once. Heads too wide use `attention.wgsl`.
 */
export interface WideAttention {
  readonly kind: "wide";
  readonly slices: number;
  readonly keys: number;
}

/** On matrix units, which round operands to f16. */
export interface MatrixAttention extends MatrixTiling {
  /** The tuning for operands that must not be rounded, for fewer queries than a matrix has, and for wide heads. */
  readonly other: ExactAttention;
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
/** Queries of a tile, and the widest subgroup that the slices of a workgroup are made for. */
export const WIDE_TILE = 64;
/** The narrowest subgroup for which to read a key once pays. */
export const WIDE_LEAST = 4;
const SLICES = [1, 2, 4, 8] as const;
const KEYS = [4, 8] as const;
/**
 * Kernels of exact products and sums on GPUs. As many lanes of a query as workgroups have room for, so that few tiles
 * fill a GPU. Not measured: by what a compiler for RDNA 3 makes of it, 2048 causal queries of 8 heads of 64 columns
 * take 87 µs, and by workgroups of 32 lanes 278.
 */
const WIDE: readonly WideAttention[] = [8, 4].map((slices) => ({ kind: "wide", slices, keys: 8 }));
/** For devices on which kernels choose narrow subgroups. On Intel, lanes lack registers for more keys. */
const NARROW: WideAttention = { kind: "wide", slices: 4, keys: 4 };

/**
 * Measured with 512 causal rows, 8 heads of 64 columns, Mesa 25.0.7, processor time on two Zen 4 cores: 9.7 ms by
 * subgroups in tiles of 16, 12.7 in tiles of 8, 33 by `PORTABLE_ATTENTION`. Tiles of 24 or 32 gain nothing and take
 * longer to compile.
 */
const BY_CLASS: { readonly [C in DeviceClass]: readonly ExactAttention[] } = {
  portable: [],
  "mesa-software": [{ kind: "subgroup", width: 8, tile: 16 }],
  swiftshader: [],
  integrated: [NARROW, GPU],
  discrete: [...WIDE, GPU],
};

export const attention: Family<AttentionTuning> = {
  defaults(target) {
    const few = queryDefault(target);
    const tiled = tiledDefault(target);
    return few === undefined ? tiled : { ...tiled, few };
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
    const isSoftware = target.device === "mesa-software" || target.device === "swiftshader";
    const byWide = (isSoftware ? [] : SLICES)
      .map((slices): WideAttention => ({ kind: "wide", slices, keys: isNarrow(target) ? NARROW.keys : 8 }))
      .filter((tuning) => wideMisfit(tuning, target) === null);
    const byQuery = queryCandidates(target).map((few): AttentionTuning => ({ ...exactDefault(target), few }));
    return [...byWorkgroup, ...bySubgroup, ...byWide, ...byQuery].map((tunings) => ({
      name: attentionName(tunings),
      tunings,
    }));
  },
  read(r) {
    const tuning = r.get("few").value === undefined ? readTiled(r) : readWithFew(r);
    const fault = tuning.kind === "matrix" ? matrixAttentionFault(tuning) : null;
    return fault === null ? tuning : r.fail(`is matrix: ${fault}`);
  },
  incompatibility: (tuning, target) =>
    (tuning.few === undefined ? null : queryMisfit(tuning.few, target)) ?? tiledMisfit(tuning, target),
};

function tiledMisfit(tuning: TiledAttention, target: Target): string | null {
  if (tuning.kind === "matrix") return matrixAttentionMisfit(tuning, target) ?? tiledMisfit(tuning.other, target);
  if (tuning.kind === "wide") return wideMisfit(tuning, target);
  if (tuning.kind === "workgroup" || tuning.width === subgroupWidth(target)) return null;
  return `attention needs subgroups of ${tuning.width}, which the target does not have in one width`;
}

function tiledDefault(target: Target): TiledAttention {
  const exact = exactDefault(target);
  return target.device === "integrated" || target.device === "discrete" ? (onUnits(target) ?? exact) : exact;
}

function wideMisfit(tuning: WideAttention, target: Target): string | null {
  const { subgroups, limits } = target;
  if (subgroups === null || subgroups[0] < WIDE_LEAST)
    return `attention needs subgroups of at least ${WIDE_LEAST}, which the target does not have`;
  // The kernel for them has no loop over slices. A program can require one size of subgroups, not a largest one.
  if (forNarrow(tuning) && !(isNarrow(target) && roomyWidth(target)! <= WIDE_TILE))
    return `attention by ${tuning.keys} keys at once needs subgroups of one size, at most ${WIDE_TILE}`;
  const lanes = WIDE_TILE * tuning.slices;
  return lanes > limits.invocationsPerWorkgroup ? `attention needs workgroups of ${lanes}` : null;
}

/** The default whose operands are not rounded. */
function exactDefault(target: Target): ExactAttention {
  const fits = (tile: ExactAttention): boolean =>
    tiledMisfit(tile, target) === null && (tile !== NARROW || isNarrow(target));
  return BY_CLASS[target.device].find(fits) ?? PORTABLE_ATTENTION;
}

/** Whether the kernel is for subgroups that are no wider than a tile. */
export const forNarrow = ({ keys }: WideAttention): boolean => keys === NARROW.keys;
const isNarrow = (target: Target): boolean => roomyWidth(target) !== null;

const KINDS = {
  workgroup: { lanes: among(LANES), tile: among(TILES) },
  subgroup: { width: whole(WIDTHS.least, WIDTHS.most), tile: among(HALVED) },
  wide: { slices: among(SLICES), keys: among(KEYS) },
} as const;
const readOther: Read<ExactAttention> = variant(KINDS);
const MATRIX = { ...matrixAttentionFields, other: readOther };
const FEW = { few: readQueryAttention };
const readTiled: Read<AttentionTuning> = variant({ ...KINDS, matrix: MATRIX });
const readWithFew: Read<AttentionTuning> = variant({
  workgroup: { ...KINDS.workgroup, ...FEW },
  subgroup: { ...KINDS.subgroup, ...FEW },
  wide: { ...KINDS.wide, ...FEW },
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
    case "wide":
      return `wide ${WIDE_TILE} by ${tuning.slices} × ${tuning.keys}`;
    case "matrix": {
      const { m, n, k, subgroups, keys } = tuning;
      return `matrix ${m * subgroups} × ${keys} by ${subgroups} of ${m} × ${n} × ${k}`;
    }
    default:
      return tuning satisfies never;
  }
}

/** Tunings on the device's matrix units, which round operands; none if no unit supports attention. */
export function attentionOnUnits(target: Target): readonly MatrixAttention[] {
  const other = exactDefault(target);
  return matrixAttentions(target).map((tiling) => ({ ...tiling, other }));
}

/** The tuning of the kernels that support any head and layout. */
export function sharedAttention(tuning: AttentionTuning): SharedAttention {
  const exact = exactAttention(tuning);
  // Lanes that have no registers for more keys have none for more queries.
  return exact.kind === "workgroup" ? exact : exact.kind === "wide" ? { ...GPU, tile: exact.keys } : PORTABLE_ATTENTION;
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
export const exactAttention = (tuning: AttentionTuning): ExactAttention =>
  tuning.kind === "matrix" ? tuning.other : tuning;
