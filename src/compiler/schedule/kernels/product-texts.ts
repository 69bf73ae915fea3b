// WGSL of products that varies: tiles of matrix units in workgroup memory, addresses of columns of b, loads of four
// values of a, and stores of sums.
import type { Size } from "../../../ground/size/size.js";
import type { KernelBuilder } from "./spec.js";

/** Tiles whose elements are vectors of eight halves, and in turn of four sums. */
export const IN_VECTORS = `const CELLS = max((ROWS + COLUMNS) * STRIDE, DOWN * M * STRIDE_SUMS);
var<workgroup> tiles: array<vec4<u32>, CELLS>;
fn put(at: u32, x: vec4<u32>) { tiles[at] = x; }
fn putHalf(at: u32, i: u32, x: vec2u) { tiles[at][i] = x.x; tiles[at][i + 1u] = x.y; }
fn leftAt(at: u32) -> Left { return subgroupMatrixLoad<Left, row_major>(&tiles, at, STRIDE); }
fn rightAt(at: u32) -> Right { return subgroupMatrixLoad<Right, col_major>(&tiles, at, STRIDE); }
fn putSums(at: u32, x: Sum) { subgroupMatrixStore<row_major>(&tiles, at, x, STRIDE_SUMS); }
fn sumsAt(at: u32) -> vec4f { return bitcast<vec4f>(tiles[at]); }`;

/** The same where units load arrays of halves alone: sums have memory of their own. */
export const IN_HALVES = `var<workgroup> tiles: array<f16, 8u * (ROWS + COLUMNS) * STRIDE>;
var<workgroup> sums: array<f32, 4u * DOWN * M * STRIDE_SUMS>;
fn put(at: u32, x: vec4<u32>) {
  putHalf(at, 0u, x.xy);
  putHalf(at, 2u, x.zw);
}
fn putHalf(at: u32, i: u32, x: vec2u) {
  let four = bitcast<vec4<f16>>(x);
  for (var n = 0u; n < 4u; n++) { tiles[8u * at + 2u * i + n] = four[n]; }
}
fn leftAt(at: u32) -> Left { return subgroupMatrixLoad<Left, row_major>(&tiles, 8u * at, 8u * STRIDE); }
fn rightAt(at: u32) -> Right { return subgroupMatrixLoad<Right, col_major>(&tiles, 8u * at, 8u * STRIDE); }
fn putSums(at: u32, x: Sum) { subgroupMatrixStore<row_major>(&sums, 4u * at, x, 4u * STRIDE_SUMS); }
fn sumsAt(at: u32) -> vec4f {
  return vec4f(sums[4u * at], sums[4u * at + 1u], sums[4u * at + 2u], sums[4u * at + 3u]);
}`;

/** For an unpacked b: the load index of the n-th four columns, and the step to the next k. */
export const ROW_OFFSETS = `fn vectorB(matrix: u32, n: u32) -> u32 { return firstB(matrix) / 4u + n; }
fn strideB() -> u32 { return columnCount() / 4u; }`;

/** The same for panels that hold the columns of all matrices, one matrix after the other, in one row of panels. */
export const stackedOffsets = (width: number): string => `fn vectorB(matrix: u32, n: u32) -> u32 {
  let column = matrix * (columnCount() / 4u) + n;
  return column / ${width}u * (depth() / K_PER_LOAD) * ${width}u + column % ${width}u;
}
fn strideB() -> u32 { return ${width}u; }`;

/** The same in panels of each matrix. `width`: vectors of a panel. */
export const panelOffsets = (width: number): string => `fn vectorB(matrix: u32, n: u32) -> u32 {
  let panels = (columnCount() + ${4 * width - 1}u) / ${4 * width}u;
  return (matrix * panels + n / ${width}u) * (depth() / K_PER_LOAD) * ${width}u + n % ${width}u;
}
fn strideB() -> u32 { return ${width}u; }`;

/** Zeros from `end` on, which is a multiple of 4. */
export const FOUR = `fn fourA(r: RowA, k: u32, end: u32) -> vec4f {
  let at = select(min(k, end - 4u), k, WHOLE > 0u);
  return select(vec4f(), valueA(r, colA(at), at), WHOLE > 0u || k < end);
}`;
export const FOUR_OF_VALUES = `fn fourA(r: RowA, k: u32, end: u32) -> vec4f {
  var x = vec4f();
  for (var i = 0u; i < 4u; i++) {
    let at = min(k + i, end - 1u);
    x[i] = select(0.0, valueA(r, colA(at), at), k + i < end);
  }
  return x;
}`;

/** How values of a come: four k at once, or with their loads apart; null: one by one. */
export type LoadKind = "fours" | "apart" | null;

/** Loads of an unpacked a. */
export const ROWS_OF_A = `struct RowA { at: u32 }
fn rowA(batch: u32, row: u32) -> RowA { return RowA(baseA(batch) + row * depth()); }
alias ColA = u32;
fn colA(k: u32) -> ColA { return k; }`;
export const valueOf = (load: string): string => `fn valueA(r: RowA, c: ColA, k: u32) -> f32 { return ${load}; }`;
/** The same, if loads are separate from the computation. */
export const valueTaken = (load: string): string => `struct TakenA { value: f32 }
fn takeA(r: RowA, k: u32) -> TakenA { return TakenA(${load}); }
fn valueA(r: RowA, c: ColA, t: TakenA, k: u32) -> f32 { return t.value; }`;

/** A load of four values of a, for an a that is stored as vectors. */
export const VALUE_FOUR = "fn valueA(r: RowA, c: ColA, k: u32) -> vec4f { return fourIn(r.at / 4u + k / 4u); }";

/**
 * Whether a kernel calls `take` for its sums before it calls `finish`, with what that returned: when it has the sums,
 * or "ahead" of them; null: it does not.
 */
export type Taking = "with sums" | "ahead" | null;

/** Parameters of `finish` for what was taken; "ahead": and for whether the lane stores what it computes. */
export const takenParameters = (taking: Taking): string =>
  taking === null ? "" : taking === "ahead" ? ", taken: Taken, stores: bool" : ", taken: Taken";

/** The declarations if nothing is loaded before sums are stored. */
const takesNothing = (taking: Exclude<Taking, null>): string => `struct Taken { unused: u32 }
fn take(batch: u32, row: u32, column: u32${taking === "ahead" ? "" : ", x: vec4f"}) -> Taken { return Taken(0u); }`;

const ONLY_WHERE_STORED = "if (!stores) { return 0.0; }\n  ";
const FINISHED = "batch: u32, row: u32, column: u32, x: vec4f";
const eachOf = (finished: number): string => `for (var c = column; c < min(column + ${finished}u, columnCount()); c++)`;

/** Stores the result row-major; `finished`: columns of a call. */
export const storing = (row: string, finished = 4, taking: Taking = null): string => `alias Sums = f32;
const ROW_SUMS = 0u;
${taking === null ? "" : `${takesNothing(taking)}\n`}fn finish(${FINISHED}${takenParameters(taking)}) -> Sums {
  let at = (${row}) * columnCount() + column;
  ${taking === "ahead" ? ONLY_WHERE_STORED : ""}${eachOf(finished)} { y[at + c - column] = rounded(x[c - column]); }
  return 0.0;
}
fn keep(batch: u32, row: u32, panel: u32, sums: Sums) {}`;

interface Sizes {
  readonly batches: Size;
  readonly rows: Size;
  readonly columns: Size;
  readonly depth: Size;
}

/** If a kernel fixes sizes, known columns and depth become constants, so that loops over them have known lengths. */
export function declareSizes(kernel: KernelBuilder, { batches, rows, columns, depth }: Sizes): KernelBuilder {
  kernel.count("batchCount", batches).count("rowCount", rows);
  const declare = (name: string, size: Size): void => {
    if (kernel.isFixed && typeof size === "number") kernel.function(`fn ${name}() -> u32 { return ${size}u; }`);
    else kernel.count(name, size);
  };
  declare("columnCount", columns);
  declare("depth", depth);
  return kernel;
}
