// Divides the rows of a product into tiles: every batch has the same number of rows, or each group has its own number.
import { addSizes, type Size } from "../../../ground/size/size.js";
import type { Extents } from "../analysis/extents.js";
import { input, type KernelBuilder } from "./spec.js";

/** Which rows of which batch a tile computes, and where a batch's matrix b begins. */
export interface Tiles {
  /** Row tiles of all batches, of `height` rows each. */
  count(height: number, extents: Extents): Size;
  /** Declares `Tile`, `tileAt` and `reach`; `tiles` is how many the grid has room for. */
  declare(kernel: KernelBuilder, order: TileOrder): void;
  /** Whether every tile sums over the whole depth. */
  readonly whole: boolean;
  /** `fn firstB(matrix: u32) -> u32`: where a matrix b begins that is not packed, in elements. */
  readonly firstB: string;
  /** A row's number in the result, by `batch` and `row`. */
  readonly row: string;
}

/** Neighbours run down the rows first, or across the columns. "few": down, for a GPU, which divides slowly. */
export type TileOrder = "down" | "across" | "few";

const TILE = "struct Tile { batch: u32, first: u32, end: u32, place: u32 }";
const FIRST_B = "fn firstB(matrix: u32) -> u32 { return matrix * depth() * columnCount(); }";
const WHOLE = { reach: "fn reach(batch: u32) -> u32 { return depth(); }", firstB: FIRST_B, whole: true };

/**
 * Batches of `rows` rows. A batch has as many tiles as the grid has room for, not as its rows fill where the device
 * counts them: a software device gives each of its threads a stretch of workgroups, and all that have rows must not be
 * one's.
 */
export const evenTiles = (batches: Size, rows: Size, { reach, firstB, whole } = WHOLE): Tiles => ({
  count: (height, extents) => extents.times(batches, extents.ceilDivide(rows, height)),
  declare(kernel, order) {
    const [row, place] = order === "across" ? ["n / across % down", "n % across"] : ["n % down", "n / down % across"];
    if (order === "few" && batches === 1)
      kernel.function(`${TILE}
fn tileAt(n: u32, tiles: u32, across: u32, height: u32) -> Tile {
  let down = tiles / across;
  return Tile(0u, n % down * height, select(0u, rowCount(), n < across * down), n / down % across);
}
${reach}`);
    else
      kernel.function(`${TILE}
fn tileAt(n: u32, tiles: u32, across: u32, height: u32) -> Tile {
  let down = tiles / (across * batchCount());
  let batch = n / (across * down);
  return Tile(batch, ${row} * height, select(0u, rowCount(), batch < batchCount()), ${place});
}
${reach}`);
  },
  whole,
  firstB,
  row: "batch * rowCount() + row",
});

/**
 * Group g has the rows from `starts[g]` on. The rows before the first group and behind the last are two more, which sum
 * over nothing. The tiles of a group begin at number (start + number of groups before it · (height − 1)) / height,
 * whatever those have: that leaves room for all its rows, so no table of tiles is needed. `unread`: nothing reads the
 * rows behind the last group, and no tile has them. Down the rows first is down all for which the grid has room: a
 * software device gives each of its threads a stretch of workgroups, and all that have rows must not be one's.
 */
export const groupedTiles = (groups: number, rows: Size, starts: number, unread: boolean): Tiles => ({
  count: (height, extents) => extents.ceilDivide(addSizes(rows, (groups + 1) * (height - 1)), height),
  declare(kernel, order) {
    const [tile, place] = order === "across" ? ["n / across", "n % across"] : ["n % down", "n / down"];
    kernel.read("starts", "u32", input(starts)).count("groupCount", groups).function(`${TILE}
fn startOf(group: u32) -> u32 {
  if (group == 0u) { return 0u; }
  return select(rowCount(), starts[min(group - 1u, groupCount())], group <= groupCount() + 1u);
}
fn tilesBefore(group: u32, height: u32) -> u32 { return (startOf(group) + group * (height - 1u)) / height; }
fn tileAt(n: u32, tiles: u32, across: u32, height: u32) -> Tile {
  var group = 0u;
  var beyond = groupCount() + ${unread ? 1 : 2}u;
  let count = tilesBefore(beyond, height);
  let down = max(1u, tiles / across);
  let tile = ${tile};
  if (tile >= count || ${place} >= across) { return Tile(); }
  while (group + 1u < beyond) {
    let middle = (group + beyond) / 2u;
    if (tilesBefore(middle, height) <= tile) { group = middle; } else { beyond = middle; }
  }
  let first = startOf(group) + (tile - tilesBefore(group, height)) * height;
  return Tile(group - 1u, first, startOf(group + 1u), ${place});
}
fn reach(batch: u32) -> u32 { return select(0u, depth(), batch < groupCount()); }`);
  },
  whole: false,
  firstB: FIRST_B,
  row: "row",
});

/** Batch g sums over the rows of group g, which begin at `starts[g]` in both a and b. */
export function contractedTiles(groups: number, rows: Size, starts: number): Tiles {
  const tiles = evenTiles(groups, rows, {
    reach: "fn reach(batch: u32) -> u32 { return starts[batch + 1u] - starts[batch]; }",
    whole: false,
    firstB: "fn firstB(matrix: u32) -> u32 { return starts[matrix] * columnCount(); }",
  });
  return {
    ...tiles,
    declare(kernel, order) {
      kernel.read("starts", "u32", input(starts));
      tiles.declare(kernel, order);
    },
  };
}
