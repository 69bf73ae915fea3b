// Tunings of products on matrix units: how subgroups share a tile, checked against what a device has.
import { whole } from "../../program/reader.js";
import { printShape, sameShape, subgroupWidth, type MatrixShape, type Target } from "../../program/target.js";

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
} as const;

/** The unit's product that a tuning takes. */
export const shapeOf = ({ m, n, k }: MatrixTuning): MatrixShape => ({ m, n, k, input: "f16", output: "f32" });

/** Halves that pad a row in workgroup memory, and words that pad a row of sums, as in the kernel. */
const PAD = 8;
const PAD_SUMS = 4;

/** Workgroup memory of the kernel: the tiles of both operands, and one row of matrices of sums of each subgroup. */
export const matrixBytes = ({ m, rows, columns, depth, down }: MatrixTuning): number =>
  2 * rows * (depth + PAD) + 2 * depth * (columns + PAD) + 4 * down * m * (columns + PAD_SUMS);

/** The most matrices of sums a subgroup may own: beyond, they leave the registers of any GPU. */
const MOST_OWNED = 32;

/** Why a tuning is wrong on every device; null where it is right. */
export function matrixFault({ m, n, k, rows, columns, depth, down, across }: MatrixTuning): string | null {
  if (rows % (m * down) !== 0) return `${rows} rows are not whole matrices of ${m} for each of ${down} subgroups`;
  if (columns % (n * across) !== 0)
    return `${columns} columns are not whole matrices of ${n} for each of ${across} subgroups`;
  // Eight lanes share a row of a, and a load of b gives up to eight k, of four columns.
  if (depth % k !== 0 || depth % 8 !== 0) return `a depth of ${depth} is no multiple of ${k} and of 8`;
  if (columns % 4 !== 0) return `${columns} columns are no whole vectors`;
  const owned = (rows / (m * down)) * (columns / (n * across));
  return owned > MOST_OWNED ? `${owned} matrices of sums are too many for a subgroup's registers` : null;
}

/** Why a device cannot run a tuning; null where it can. */
export function matrixMisfit(tuning: MatrixTuning, target: Target): string | null {
  const width = subgroupWidth(target);
  const shape = shapeOf(tuning);
  if (!target.f16 || width === null || !target.matrices?.some((own) => sameShape(own, shape)))
    return `products need matrix units of ${printShape(shape)}, which the target has not`;
  const lanes = width * tuning.down * tuning.across;
  if (lanes > target.limits.invocationsPerWorkgroup) return `products need workgroups of ${lanes}`;
  const bytes = matrixBytes(tuning);
  return bytes > target.limits.workgroupStorageBytes ? `products need ${bytes} bytes of workgroup memory` : null;
}

/** Subgroups of a workgroup, and matrices that each owns: those of published kernels, and less where rows are few. */
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

/** Tunings for the device's matrix units, which fit it; none where it has none that sum f16 in f32. */
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
        })).filter((t) => matrixFault(t) === null && matrixMisfit(t, target) === null),
      ),
    ),
  );
}
