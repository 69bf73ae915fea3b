// y[b, i, j] = Σ over k of a[b, i, k] · b[b, k, j]. Strides give the layout of b, so one kernel serves plain and
// transposed b.
// Method: an invocation owns 4 rows × 8 columns in registers: 12 loads for 32 multiply-adds. Rows and columns past the
// edge repeat the last one and are not stored. k is split into blocks of 64, and the sum of each block is added to the
// total, which keeps rounding small.
// Grid: one invocation for each tile, in the order of `tileAt`.

// --- parameters
struct Sizes { batches: u32, rows: u32, columns: u32, depth: u32, depthStride: u32, columnStride: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
fn batchCount() -> u32 { return sizes.batches; }
fn rowCount() -> u32 { return sizes.rows; }
fn columnCount() -> u32 { return sizes.columns; }
fn depth() -> u32 { return sizes.depth; }
/** The distance in b from one k to the next. */
fn depthStride() -> u32 { return sizes.depthStride; }
/** The distance in b from one column to the next. */
fn columnStride() -> u32 { return sizes.columnStride; }
/** The index of the first element of a batch's matrix of a. */
fn baseA(batch: u32) -> u32 { return batch * sizes.rows * sizes.depth; }
/** The index of the first element of a batch's matrix of b. */
fn baseB(batch: u32) -> u32 { return batch * sizes.depth * sizes.columns; }
/** A tile: rows `first` to `end` − 1 of a batch, and the tile's index among the `across` tiles side by side. */
struct Tile { batch: u32, first: u32, end: u32, place: u32 }
/**
 * Tile n of the grid's `tiles` tiles, batch by batch. Batches have equal shares of the tiles. A tile past its batch's
 * last row is empty. If rows of b are contiguous, neighbouring tiles are neighbours along a row; else they share their
 * columns of b.
 */
fn tileAt(n: u32, tiles: u32, across: u32, height: u32) -> Tile {
  let down = tiles / (across * batchCount());
  let batch = n / (across * down);
  return Tile(batch, n / across % down * height, select(0u, rowCount(), batch < batchCount()), n % across);
}
/** The depth that a batch sums over. */
fn reach(batch: u32) -> u32 { return depth(); }
/** A row of a: its first element's index. */
struct RowA { at: u32 }
fn rowA(batch: u32, row: u32) -> RowA { return RowA(baseA(batch) + row * depth()); }
/** Column k's data for all rows of a; here none. */
alias ColA = u32;
fn colA(k: u32) -> ColA { return k; }
/** Element k of a row of a. */
fn valueA(r: RowA, c: ColA, k: u32) -> f32 { return a[r.at + k]; }
/** Element `at` of b. */
fn loadB(at: u32) -> f32 { return b[at]; }
fn rounded(v: f32) -> f32 { return v; }
/** Stores four sums of a row, from `column` on. */
fn finish(batch: u32, row: u32, column: u32, x: vec4f) {
  let at = (batch * rowCount() + row) * columnCount() + column;
  for (var i = 0u; i < 4u; i++) {
    if (column + i < columnCount()) { y[at + i] = rounded(x[i]); }
  }
}
// --- end of parameters

/** k is split into blocks of BLOCK; the sum of each block is added to the total. */
const BLOCK = 64u;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let n = (group.x + group.y * groups.x) * 64u + lane;
  let tile = tileAt(n, groups.x * groups.y * 64u, (columnCount() + 7u) / 8u, 4u);
  if (tile.first >= tile.end) { return; }
  let batch = tile.batch;
  let row = tile.first;
  let first = tile.place * 8u;
  let count = reach(batch);

  let last = tile.end - 1u;
  let row0 = rowA(batch, row);
  let row1 = rowA(batch, min(row + 1u, last));
  let row2 = rowA(batch, min(row + 2u, last));
  let row3 = rowA(batch, min(row + 3u, last));
  let left = min(vec4u(first) + vec4u(0u, 1u, 2u, 3u), vec4u(columnCount() - 1u));
  let right = min(vec4u(first) + vec4u(4u, 5u, 6u, 7u), vec4u(columnCount() - 1u));
  var atLeft = vec4u(baseB(batch)) + left * columnStride();
  var atRight = vec4u(baseB(batch)) + right * columnStride();
  let stepB = vec4u(depthStride());

  var s00 = vec4f(); var s01 = vec4f(); var s10 = vec4f(); var s11 = vec4f();
  var s20 = vec4f(); var s21 = vec4f(); var s30 = vec4f(); var s31 = vec4f();
  for (var begin = 0u; begin < count; begin += BLOCK) {
    let end = min(begin + BLOCK, count);
    var p00 = vec4f(); var p01 = vec4f(); var p10 = vec4f(); var p11 = vec4f();
    var p20 = vec4f(); var p21 = vec4f(); var p30 = vec4f(); var p31 = vec4f();
    for (var k = begin; k < end; k++) {
      let b0 = vec4f(loadB(atLeft.x), loadB(atLeft.y), loadB(atLeft.z), loadB(atLeft.w));
      let b1 = vec4f(loadB(atRight.x), loadB(atRight.y), loadB(atRight.z), loadB(atRight.w));
      let column = colA(k);
      let a0 = vec4f(valueA(row0, column, k));
      p00 = fma(a0, b0, p00);
      p01 = fma(a0, b1, p01);
      let a1 = vec4f(valueA(row1, column, k));
      p10 = fma(a1, b0, p10);
      p11 = fma(a1, b1, p11);
      let a2 = vec4f(valueA(row2, column, k));
      p20 = fma(a2, b0, p20);
      p21 = fma(a2, b1, p21);
      let a3 = vec4f(valueA(row3, column, k));
      p30 = fma(a3, b0, p30);
      p31 = fma(a3, b1, p31);
      atLeft += stepB;
      atRight += stepB;
    }
    s00 += p00; s01 += p01; s10 += p10; s11 += p11;
    s20 += p20; s21 += p21; s30 += p30; s31 += p31;
  }

  var sums = array<vec4f, 8>(s00, s01, s10, s11, s20, s21, s30, s31);
  for (var i = 0u; i < 8u; i++) {
    if (row + i / 2u < tile.end) { finish(batch, row + i / 2u, first + i % 2u * 4u, sums[i]); }
  }
}
