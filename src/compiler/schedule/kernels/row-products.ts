// Sizes of the kernel of products of few rows: k of a round, and lanes.
import { invariant } from "../../../ground/base/invariant.js";
import { DEFAULT_LIMITS } from "../../../runtime/program/target.js";
import type { Size } from "../../../ground/size/size.js";
import { NO_SCALE, type Codec, type MatrixCodec } from "../codecs/codec.js";
import type { RowSumsTuning } from "../tunings/row-sums.js";
import { wideLanes } from "./rows.js";

/** The most k of a round. */
const MOST_CHUNK = 1024;
/** The fewest: a value for each lane. */
const LEAST_CHUNK = 128;

/** The declarations of products that compute no sum over their rows. */
export const NO_SUM = `fn summedRow(row: u32) -> u32 { return row; }
alias RowX = u32;
fn rowX(row: u32) -> RowX { return row; }
alias ColX = u32;
fn colX(k: u32) -> ColX { return k; }
fn valueX(r: RowX, c: ColX, k: u32) -> f32 { return 0.0; }`;

/** Lanes of the kernel of sums over rows, in whose order a product sums: a row has the same bits either way. */
export function summedLanes(tuning: RowSumsTuning, depth: Size): number {
  invariant(tuning.kind === "wide", "sums of a product's own are in the order of wide sums");
  return wideLanes(tuning.lanes, depth);
}

/** Lanes with a block each, if there are enough blocks. Every device has workgroups of 128. */
export function rowLanes(depth: Size, vectors: number, block: number, chunk: number): number {
  const blocks = Math.ceil(Math.min(chunk, typeof depth === "number" ? depth : 0) / block);
  return blocks * vectors > 64 ? 128 : 64;
}

/** The most columns of which a lane sums one alone. */
const NARROW = 128;

/** Columns that a lane sums: four, but one of one row by a narrow f32 matrix, so that many loads are on their way. */
export const rowWidth = (rows: number, columns: Size, { encoding, four }: Codec): 1 | 4 =>
  rows === 1 && typeof columns === "number" && columns <= NARROW && encoding === "word" && four === "vec4f" ? 1 : 4;

/** How values of b come: four columns of a k or more, or one value. */
export const FOUR_COLUMNS = "fn loadedB(at: u32, c: u32) -> Loaded { return loadB(at); }";
export const ONE_COLUMN = `alias Loaded = f32;
fn loadedB(at: u32, c: u32) -> Loaded { return b[at][c]; }
fn columnsB(x: Loaded, i: u32) -> vec4f { return vec4f(x, 0.0, 0.0, 0.0); }
${NO_SCALE}`;

/**
 * The largest power of two of k whose values, sums and scales leave room in workgroup memory. No more than there are,
 * for the memory is zeroed before.
 */
export function rowChunk(depth: Size, rows: number, vectors: number, { block, scaled }: MatrixCodec): number {
  // Each block of values has four more.
  const perBlock = 4 * (rows * block + 4) + 16 * vectors * (rows + (scaled ? 1 : 0));
  const bytes = (chunk: number): number => (chunk / block) * perBlock + 16 * vectors * rows;
  let chunk = MOST_CHUNK;
  while (bytes(chunk) > DEFAULT_LIMITS.workgroupStorageBytes) chunk /= 2;
  const reached = typeof depth === "number" ? depth : Infinity;
  while (chunk > LEAST_CHUNK && chunk / 2 >= reached) chunk /= 2;
  // Compilers make no loop of two rounds, and the registers of both together do not suffice on Intel's GPUs.
  if (!scaled && reached === 2 * chunk) chunk /= 2;
  return chunk;
}
