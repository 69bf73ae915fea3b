// Tunings of attention on matrix units: how subgroups share a tile of queries, checked against what a device has.
import { flag, whole } from "../../../runtime/program/reader.js";
import {
  printShape,
  sameShape,
  subgroupWidth,
  type MatrixShape,
  type Target,
} from "../../../runtime/program/target.js";

/**
 * `attention_matrix.wgsl` and its gradient: each of some subgroups has as many rows of a tile as a matrix, and goes
 * through blocks of rows of the other side.
 */
export interface MatrixTiling {
  readonly kind: "matrix";
  /** The unit's product, f16 by f16 with sums in f32: m × k by k × n. */
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** Invocations of a subgroup, and subgroups of a workgroup. */
  readonly width: number;
  readonly subgroups: number;
  /** Keys of a block. */
  readonly keys: number;
  /** Workgroup memory that a kernel may take: wider heads take smaller blocks and tiles, or go without the units. */
  readonly bytes: number;
  /** Whether the units load vectors of eight halves; else halves alone. */
  readonly vectors: boolean;
}

const size = whole(1, 1024);
export const matrixAttentionFields = {
  m: size,
  n: size,
  k: size,
  width: whole(4, 128),
  subgroups: size,
  keys: size,
  bytes: whole(1, 1_048_576),
  vectors: flag,
} as const;

type Shape = Omit<MatrixTiling, "kind" | "bytes">;

const shapeOf = ({ m, n, k }: Shape): MatrixShape => ({ m, n, k, input: "f16", output: "f32" });

/** Why a tuning is wrong on every device; null where it is right. */
export function matrixAttentionFault({ m, n, k, width, keys }: Shape): string | null {
  if (k % 8 !== 0) return `matrices of ${k} k are no whole eights`;
  if (keys % n !== 0 || keys % k !== 0) return `${keys} keys are not whole matrices of ${n} across and of ${k} down`;
  return width % m !== 0 && m % width !== 0 ? `${width} lanes cannot share ${m} queries` : null;
}

/** Why a device cannot run a tuning; null where it can. */
export function matrixAttentionMisfit(tuning: MatrixTiling, target: Target): string | null {
  const { width, subgroups, bytes } = tuning;
  const shape = shapeOf(tuning);
  if (width !== subgroupWidth(target))
    return `attention needs subgroups of ${width}, which the target does not have in one width`;
  if (!target.f16 || !target.matrices?.some((supported) => sameShape(supported, shape)))
    return `attention needs matrix units of ${printShape(shape)}, which the target has not`;
  if (tuning.vectors && target.matrixVectors !== true)
    return "attention needs matrix units that load vectors, which the target's do not";
  const lanes = width * subgroups;
  if (lanes > target.limits.invocationsPerWorkgroup) return `attention needs workgroups of ${lanes}`;
  return bytes > target.limits.workgroupStorageBytes ? `attention needs ${bytes} bytes of workgroup memory` : null;
}

/** Columns that a kernel works on: a head's columns, padded to whole matrices, across and down, and to vectors. */
export function columnsOf({ n, k }: Shape, width: number): number {
  const multiple = [n, k, 4].reduce((a, b) => (a * b) / gcd(a, b));
  return Math.ceil(width / multiple) * multiple;
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

/** Halves that pad a row in workgroup memory, and words that pad a row of sums, as in the kernels. */
const PAD = 8;
const PAD_SUMS = 4;

/**
 * Workgroup memory of `attention_matrix.wgsl` for heads of so many columns: queries, whose memory then has keys and
 * values and, in vectors, weights over the sums.
 */
export function attentionBytes(tuning: Shape, width: number, valueWidth: number): number {
  const { m, subgroups, keys, vectors } = tuning;
  const [columns, values] = [columnsOf(tuning, width), columnsOf(tuning, valueWidth)];
  const tile = m * subgroups;
  const [queries, both] = [2 * tile * (columns + PAD), 2 * keys * (columns + PAD) + 2 * values * (keys + PAD)];
  const [weights, sums] = [2 * tile * (keys + PAD), 4 * tile * (keys + PAD_SUMS)];
  const tiles = vectors ? Math.max(queries, both + sums) : Math.max(queries, both + weights) + sums;
  return tiles + 4 * keys + 4 * subgroups;
}

/**
 * Workgroup memory for `attention_matrix_grad.wgsl`, with heads of `width` columns: rows of the other side, also
 * turned, with sums, or weights over them; the own rows use the same memory before if registers hold them, otherwise
 * separate memory. `both`: whether values are turned too.
 */
export function gradientBytes(tuning: Shape, width: number, valueWidth: number, both: boolean): number {
  const { m, subgroups, keys, vectors } = tuning;
  const [columns, values] = [columnsOf(tuning, width), columnsOf(tuning, valueWidth)];
  const tile = m * subgroups;
  const ownBytes = 2 * tile * (columns + values + 2 * PAD);
  const otherBytes = 2 * keys * (columns + values + 2 * PAD) + 2 * (columns + (both ? values : 0)) * (keys + PAD);
  const [weightBytes, sumBytes] = [4 * tile * (keys + PAD), 8 * tile * (keys + PAD_SUMS)];
  const all = otherBytes + (vectors ? sumBytes : weightBytes);
  const tiles = holdsOwn(tuning, columns, values) ? Math.max(ownBytes, all) : ownBytes + all;
  return tiles + (vectors ? 0 : sumBytes) + 12 * keys;
}

/** The most registers of a lane for its own rows and sums, as matrices; the gradient needs the others. */
const MOST_OWN = 160;

/** Whether a subgroup of the gradient has registers for both its own rows and its sums. */
export const holdsOwn = ({ m, width }: Shape, columns: number, values: number): boolean =>
  2 * m * (columns + values) <= MOST_OWN * width;

/** The most fours of columns of a head that a lane may have in registers. */
const MOST_FOURS = 32;

/** Registers of a lane for queries and for sums of values, as matrices: beyond, they leave the registers of any GPU. */
const MOST_HELD = 192;

/** Whether a subgroup has room for its queries and its sums of values. */
export const holdsQueries = ({ m, width }: Shape, columns: number, values: number): boolean =>
  m * (columns + values) <= MOST_HELD * width;

/** Whether a lane has registers for its queries, its sums of values, its loads of a block and its scores. */
export function holdsBlock(tuning: Shape, columns: number, values: number): boolean {
  const { m, width, subgroups, keys } = tuning;
  const lanes = width * subgroups;
  const loads = 8 * Math.ceil((keys * columns) / 8 / lanes) + 32 * Math.ceil((keys * values) / 32 / lanes);
  return (m * (columns + values + keys)) / width + loads < MOST_HELD;
}

/** Whether a lane has few enough columns of its rows. */
export function fitsRegisters(tuning: Shape, columns: number): boolean {
  const { m, width } = tuning;
  return (m * columns) / 4 <= MOST_FOURS * width;
}

/** Smaller and smaller tilings of a tuning, of whole matrices: the first that fits is taken. */
export function tilingsOf<T extends Shape>(tuning: T): readonly T[] {
  const least = columnsOf(tuning, 1);
  const keys = [tuning.keys, tuning.keys / 2].filter((n) => n % least === 0);
  const subgroups = [1, 2, 4, 8].map((n) => tuning.subgroups / n).filter(Number.isInteger);
  return subgroups.flatMap((s) => keys.map((n) => ({ ...tuning, subgroups: s, keys: n })));
}

const SUBGROUPS = [2, 4, 8] as const;
const KEYS = [16, 32, 64] as const;

/** Tilings for the device's matrix units, which fit it; none if no unit sums f16 in f32. */
export function matrixAttentions(target: Target): readonly MatrixTiling[] {
  const width = subgroupWidth(target);
  if (width === null) return [];
  const shapes = (target.matrices ?? []).filter(({ input, output }) => input === "f16" && output === "f32");
  return shapes.flatMap(({ m, n, k }) =>
    SUBGROUPS.flatMap((subgroups) =>
      KEYS.map((keys): MatrixTiling => {
        const bytes = target.limits.workgroupStorageBytes;
        const vectors = target.matrixVectors === true;
        return { kind: "matrix", m, n, k, width, subgroups, keys, bytes, vectors };
      }).filter((t) => matrixAttentionFault(t) === null && matrixAttentionMisfit(t, target) === null),
    ),
  );
}
