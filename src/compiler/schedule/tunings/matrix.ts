// Tunings of products on matrix units: how subgroups share a tile, checked against what a device has.
import { flag, whole } from "../../../runtime/program/reader.js";
import {
  printShape,
  sameShape,
  subgroupWidth,
  type MatrixShape,
  type Target,
} from "../../../runtime/program/target.js";

/** `matmul_matrix.wgsl`: a tile of `rows` × `columns`, brought to workgroup memory `depth` of k at a time. */
export interface MatrixTuning {
  readonly kind: "matrix";
  /** The unit's product, f16 by f16 with sums in f32: m × k by k × n. */
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  /** Subgroups of a workgroup below one another, and side by side. */
  readonly down: number;
  readonly across: number;
  /** Whether the units load vectors of eight halves; else halves alone, which GPUs do slower. */
  readonly vectors: boolean;
}

const size = whole(1, 1024);
export const matrixFields = {
  m: size,
  n: size,
  k: size,
  rows: size,
  columns: size,
  depth: size,
  down: size,
  across: size,
  vectors: flag,
} as const;

/** The unit's product that a tuning takes. */
export const shapeOf = ({ m, n, k }: MatrixTuning): MatrixShape => ({ m, n, k, input: "f16", output: "f32" });

/** Halves that pad a row of k in workgroup memory, and words that pad a row of sums, as in the kernel. */
const PAD = 8;
const PAD_SUMS = 4;

/**
 * Workgroup memory of the kernel: the tiles of both operands, and one row of matrices of sums of each subgroup, in the
 * memory of the tiles where their elements are vectors.
 */
export function matrixBytes({ m, rows, columns, depth, down, vectors }: MatrixTuning): number {
  const tiles = 2 * (rows + columns) * (depth + PAD);
  const sums = 4 * down * m * (columns + PAD_SUMS);
  return vectors ? Math.max(tiles, sums) : tiles + sums;
}

/** The most matrices of sums a subgroup may own: beyond, they leave the registers of any GPU. */
const MOST_OWNED = 32;

/** The most matrices of sums that leave a subgroup registers for the operands of the next step. */
const FEW_OWNED = 8;

const ownedOf = ({ m, n, rows, columns, down, across }: MatrixTuning): number =>
  (rows / (m * down)) * (columns / (n * across));

export const bringsAhead = (tuning: MatrixTuning): boolean => ownedOf(tuning) <= FEW_OWNED;

/** Why a tuning is wrong on every device; null where it is right. */
export function matrixFault(tuning: MatrixTuning): string | null {
  const { m, n, k, rows, columns, depth, down, across } = tuning;
  if (rows % (m * down) !== 0) return `${rows} rows are not whole matrices of ${m} for each of ${down} subgroups`;
  if (columns % (n * across) !== 0)
    return `${columns} columns are not whole matrices of ${n} for each of ${across} subgroups`;
  // Tiles are vectors of eight k.
  if (k % 8 !== 0) return `matrices of ${k} k are no whole eights`;
  if (depth % k !== 0) return `a depth of ${depth} is no multiple of ${k}`;
  if (columns % 4 !== 0) return `${columns} columns are no whole vectors`;
  const owned = ownedOf(tuning);
  return owned > MOST_OWNED ? `${owned} matrices of sums are too many for a subgroup's registers` : null;
}

/** Why a device cannot run a tuning; null where it can. */
export function matrixMisfit(tuning: MatrixTuning, target: Target): string | null {
  const width = subgroupWidth(target);
  const shape = shapeOf(tuning);
  if (!target.f16 || width === null || !target.matrices?.some((supported) => sameShape(supported, shape)))
    return `products need matrix units of ${printShape(shape)}, which the target has not`;
  if (tuning.vectors && target.matrixVectors !== true)
    return "products need matrix units that load vectors, which the target's do not";
  const lanes = width * tuning.down * tuning.across;
  if (lanes > target.limits.invocationsPerWorkgroup) return `products need workgroups of ${lanes}`;
  const bytes = matrixBytes(tuning);
  return bytes > target.limits.workgroupStorageBytes ? `products need ${bytes} bytes of workgroup memory` : null;
}

/** Subgroups of a workgroup, and matrices that each owns: as in published kernels, and fewer for few rows. */
const SUBGROUPS = [
  [1, 1],
  [2, 2],
  [2, 4],
] as const;
const OWNED = [
  [1, 2],
  [2, 2],
  [4, 2],
  [4, 4],
] as const;
const DEPTHS = [32, 64] as const;

/** Tunings for the device's matrix units, which fit it; none if no unit sums f16 in f32. */
export function matrixTunings(target: Target): readonly MatrixTuning[] {
  const shapes = (target.matrices ?? []).filter(({ input, output }) => input === "f16" && output === "f32");
  return shapes.flatMap(({ m, n, k }) =>
    SUBGROUPS.flatMap(([down, across]) =>
      OWNED.flatMap(([below, beside]) =>
        DEPTHS.map((depth): MatrixTuning => ({
          kind: "matrix",
          m,
          n,
          k,
          rows: m * down * below,
          columns: n * across * beside,
          depth,
          down,
          across,
          vectors: target.matrixVectors === true,
        })).filter((t) => matrixFault(t) === null && matrixMisfit(t, target) === null),
      ),
    ),
  );
}
