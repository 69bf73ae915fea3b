// y[b, i, j] = Σ over k of a[b, i, k] · b[b, k, j], the rows of b read four columns at once.
// Method: as matmul_subgroup.wgsl, but pack_rows.wgsl packed a before. One load by all lanes returns four k for WIDTH
// rows, and a shuffle from a fixed lane broadcasts a value. So loads of a cost little, and tiles of many rows by few
// columns share loads of b.
// Grid: one workgroup for each tile, in the order of `tileAt`; neighbours share columns.
enable subgroups;

// --- parameters
struct Sizes { batches: u32, rows: u32, columns: u32, depth: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var packed: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
/** Lanes of a subgroup. */
const WIDTH = 8u;
/** Rows of a tile. */
const ROWS = 16u;
/** `vec4f` of columns that a lane owns. */
const VECTORS = 4u;
/** k is split into blocks of BLOCK; the sum of each block is added to the total. */
const BLOCK = 64u;
/** Values of k in one load of b, each with four columns. K_PER_LOAD divides BLOCK and the depth. */
const K_PER_LOAD = 1u;
fn batchCount() -> u32 { return sizes.batches; }
fn rowCount() -> u32 { return sizes.rows; }
fn columnCount() -> u32 { return sizes.columns; }
fn depth() -> u32 { return sizes.depth; }
/** A tile: rows `first` to `end` − 1 of a batch, and the tile's index among the `across` tiles side by side. */
struct Tile { batch: u32, first: u32, end: u32, place: u32 }
/**
 * Tile n of the grid's `tiles` tiles: batch by batch, down the rows first. Batches have equal shares of the tiles. A
 * tile past its batch's last row is empty.
 */
fn tileAt(n: u32, tiles: u32, across: u32, height: u32) -> Tile {
  let down = tiles / (across * batchCount());
  let batch = n / (across * down);
  return Tile(batch, n % down * height, select(0u, rowCount(), batch < batchCount()), n / down % across);
}
/** The depth that a batch sums over. */
fn reach(batch: u32) -> u32 { return depth(); }
/** The index of the matrix of b that a batch reads. */
fn matrixB(batch: u32) -> u32 { return batch; }
/** The index of the load that has the n-th four columns of a matrix at k = 0. */
fn vectorB(matrix: u32, n: u32) -> u32 {
  return (matrix * ((sizes.columns + 31u) / 32u) + n / 8u) * sizes.depth * 8u + n % 8u;
}
/** The distance, in loads, from one load of four columns to the next along k. */
fn strideB() -> u32 { return 8u; }
/** Texels of a row, padding included. */
fn packedDepth() -> u32 { return (depth() + 7u) / 8u * 2u; }
/** The index of a tile's first panel. Each batch starts a new panel. */
fn packedPanel(tile: Tile) -> u32 { return tile.first / WIDTH + tile.batch; }
/** The place of a texel in the texture. */
fn packedAt(at: u32) -> vec2u { return vec2u(at % 8192u, at / 8192u); }
/** One load of b. */
alias Loaded = vec4f;
/** Load `at` of b. */
fn loadB(at: u32) -> Loaded { return b[at]; }
/** The four columns for the i-th k of a load. */
fn columnsB(x: Loaded, i: u32) -> vec4f { return x; }
/** Adds a block's sum, scaled if b is quantized, to the total. `at`: the index of the block's first load of b. */
fn addBlock(sum: vec4f, part: vec4f, at: u32) -> vec4f { return sum + part; }
fn rounded(v: f32) -> f32 { return v; }
/** Sums over each row of the result, stored with it. */
alias Sums = f32;
/** The number of sums in `Sums`; 0 if there are none. */
const ROW_SUMS = 0u;
/** Stores four sums of a row, from `column` on. Returns their contribution to `Sums`. */
fn finish(batch: u32, row: u32, column: u32, x: vec4f) -> Sums {
  let at = (batch * rowCount() + row) * columnCount() + column;
  for (var c = column; c < min(column + 4u, columnCount()); c++) { y[at + c - column] = rounded(x[c - column]); }
  return 0.0;
}
/** Stores the sums over a row's columns in one panel. */
fn keep(batch: u32, row: u32, panel: u32, sums: Sums) {}
// --- end of parameters

/** Values of k per update of the sums. Sums are in memory, so every update costs. */
const STEP = max(4u, K_PER_LOAD);
/** Panels of WIDTH rows in a tile. */
const PANELS = ROWS / WIDTH;
/** Rows per call of `accumulate`: Mesa unrolls loops up to that size. */
const UNROLLED = select(1u, select(2u, 4u, VECTORS * STEP <= 4u), VECTORS * STEP <= 8u);
/** Columns of one `vec4f` from each lane. */
const PANEL = 4u * WIDTH;
/** `vec4f` of sums that a lane owns. */
const TILE = ROWS * VECTORS;

/** The sums of the lane: row r, vector c at r · VECTORS + c. */
alias Products = array<vec4f, TILE>;
/** For each panel, four k of the lane's row, then the next four. */
alias Values = array<vec4f, PANELS * (STEP / 4u)>;
/** For each of STEP values of k, the lane's vectors of b. */
alias Columns = array<vec4f, VECTORS * STEP>;

/** Adds STEP values of k to the sums of UNROLLED rows from `first` on. */
fn accumulate(
  part: ptr<function, Products>,
  first: u32,
  values: ptr<function, Values>,
  columns: ptr<function, Columns>,
) {
  for (var r = first; r < first + UNROLLED; r++) {
    var value: array<vec4f, STEP>;
    for (var i = 0u; i < STEP; i++) {
      value[i] = vec4f(subgroupShuffle((*values)[r / WIDTH * (STEP / 4u) + i / 4u][i % 4u], r % WIDTH));
    }
    for (var c = 0u; c < VECTORS; c++) {
      var sum = (*part)[r * VECTORS + c];
      for (var i = 0u; i < STEP; i++) { sum = fma(value[i], (*columns)[i * VECTORS + c], sum); }
      (*part)[r * VECTORS + c] = sum;
    }
  }
}

/**
 * Adds STEP values of k to the sums of four rows from `first` on. Separate calls, because Mesa does not unroll such a
 * long loop.
 */
fn accumulateFour(
  part: ptr<function, Products>,
  first: u32,
  values: ptr<function, Values>,
  columns: ptr<function, Columns>,
) {
  accumulate(part, first, values, columns);
  if (UNROLLED < 2u) { accumulate(part, first + 1u, values, columns); }
  if (UNROLLED < 4u) { accumulate(part, first + 2u, values, columns); }
  if (UNROLLED < 2u) { accumulate(part, first + 3u, values, columns); }
}

@compute @workgroup_size(WIDTH)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let panels = (columnCount() + PANEL - 1u) / PANEL;
  let across = (panels + VECTORS - 1u) / VECTORS;
  let tile = tileAt(group.x + group.y * groups.x, groups.x * groups.y, across, ROWS);
  if (tile.first >= tile.end) { return; }
  let batch = tile.batch;
  let row = tile.first;
  let panel = tile.place * VECTORS;
  let count = reach(batch);
  // The rows of the tile: fewer than ROWS at the end of a batch.
  let height = min(tile.end - row, ROWS);

  let texels = packedPanel(tile) * packedDepth() * WIDTH + lane;
  var atB: array<u32, VECTORS>;
  for (var c = 0u; c < VECTORS; c++) {
    atB[c] = vectorB(matrixB(batch), min((panel + c) * WIDTH + lane, (columnCount() + 3u) / 4u - 1u));
  }

  var sums: Products;
  for (var begin = 0u; begin < count; begin += BLOCK) {
    let end = min(begin + BLOCK, count);
    var part: Products;
    for (var r = 0u; r < ROWS; r++) {
      for (var c = 0u; c < VECTORS; c++) { part[r * VECTORS + c] = vec4f(); }
    }
    for (var k = begin; k < end; k += STEP) {
      var values: Values;
      for (var p = 0u; p < PANELS; p++) {
        for (var i = 0u; i < STEP / 4u; i++) {
          let at = texels + (p * packedDepth() + k / 4u + i) * WIDTH;
          values[p * (STEP / 4u) + i] = textureLoad(packed, packedAt(at));
        }
      }
      var columns: Columns;
      for (var i = 0u; i < STEP; i += K_PER_LOAD) {
        let beyond = i > 0u && k + i >= end;
        let at = select(k + i, k, beyond) / K_PER_LOAD * strideB();
        for (var c = 0u; c < VECTORS; c++) {
          let loaded = loadB(atB[c] + at);
          for (var j = 0u; j < K_PER_LOAD; j++) {
            // Past the last k, a is 0, and b is set to 0 because a float may be infinite or NaN. Packed integers are
            // finite.
            columns[(i + j) * VECTORS + c] = select(columnsB(loaded, j), vec4f(), K_PER_LOAD == 1u && beyond);
          }
        }
      }
      // If a tile has few rows, the missing rows are not computed. A batch's last tile often has few.
      accumulateFour(&part, 0u, &values, &columns);
      if (height > 4u) {
        accumulateFour(&part, 4u, &values, &columns);
        if (ROWS > 8u && height > 8u) {
          accumulateFour(&part, 8u, &values, &columns);
          accumulateFour(&part, 12u, &values, &columns);
          if (ROWS > 16u && height > 16u) {
            accumulateFour(&part, 16u, &values, &columns);
            accumulateFour(&part, 20u, &values, &columns);
            if (ROWS > 24u && height > 24u) {
              accumulateFour(&part, 24u, &values, &columns);
              accumulateFour(&part, 28u, &values, &columns);
            }
          }
        }
      }
    }
    for (var c = 0u; c < VECTORS; c++) {
      let first = atB[c] + begin / K_PER_LOAD * strideB();
      for (var r = 0u; r < ROWS; r++) {
        sums[r * VECTORS + c] = addBlock(sums[r * VECTORS + c], part[r * VECTORS + c], first);
      }
    }
  }

  // The bounds are not constants, so compilers do not unroll the loops. `finish` may be long.
  let bottom = min(row + ROWS, tile.end);
  let right = min(panel + VECTORS, panels);
  for (var r = row; r < bottom; r++) {
    for (var p = panel; p < right; p++) {
      let own = finish(batch, r, p * PANEL + lane * 4u, sums[(r - row) * VECTORS + p - panel]);
      if (ROW_SUMS > 0u) {
        let whole = subgroupAdd(own);
        if (lane == 0u) { keep(batch, r, p, whole); }
      }
    }
  }
}
