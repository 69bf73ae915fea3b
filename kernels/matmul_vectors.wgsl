// y[b, i, j] = Σ over k of a[b, i, k] · b[b, k, j], the rows of b read four columns at once.
// Method: an invocation owns ROWS rows × VECTORS vectors of four columns in registers. Eight neighbours share their
// rows and read 32 adjacent columns; the eight groups of neighbours in a workgroup read the same columns. k is split
// into blocks whose sums are added up, one k after the other, as in matmul.wgsl: a row has the same bits in every tile.
// Grid: one workgroup for each tile of 8 · ROWS rows and 32 · VECTORS columns, in the order of `tileAt`; neighbours
// share columns.

// --- parameters
struct Sizes { batches: u32, rows: u32, columns: u32, depth: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
/** Rows of an invocation. */
const ROWS = 4u;
/** Vectors of four columns of an invocation. */
const VECTORS = 2u;
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
/** The index of the first element of a batch's matrix of a. */
fn baseA(batch: u32) -> u32 { return batch * sizes.rows * sizes.depth; }
/** The index of the matrix of b that a batch reads. */
fn matrixB(batch: u32) -> u32 { return batch; }
/** The index of the load that has the n-th four columns of a matrix at k = 0. */
fn vectorB(matrix: u32, n: u32) -> u32 { return matrix * sizes.depth * (sizes.columns / 4u) + n; }
/** The distance, in loads, from one load of four columns to the next along k. */
fn strideB() -> u32 { return sizes.columns / 4u; }
/** A row of a: its first element's index. */
struct RowA { at: u32 }
fn rowA(batch: u32, row: u32) -> RowA { return RowA(baseA(batch) + row * depth()); }
/** Column k's data for all rows of a; here none. */
alias ColA = u32;
fn colA(k: u32) -> ColA { return k; }
/** Element k of a row of a. */
fn valueA(r: RowA, c: ColA, k: u32) -> f32 { return a[r.at + k]; }
/** One load of b. */
alias Loaded = vec4f;
/** Load `at` of b. */
fn loadB(at: u32) -> Loaded { return b[at]; }
/** The four columns for the i-th k of a load. */
fn columnsB(x: Loaded, i: u32) -> vec4f { return x; }
/** Adds a block's sum, scaled if b is quantized, to the total. `at`: the index of the block's first load of b. */
fn addBlock(sum: vec4f, part: vec4f, at: u32) -> vec4f { return sum + part; }
fn rounded(v: f32) -> f32 { return v; }
/** Stores four sums of a row, from `column` on. */
fn finish(batch: u32, row: u32, column: u32, x: vec4f) {
  let at = (batch * rowCount() + row) * columnCount() + column;
  for (var i = 0u; i < 4u; i++) {
    if (column + i < columnCount()) { y[at + i] = rounded(x[i]); }
  }
}
// --- end of parameters

/** `vec4f` of sums that an invocation owns. */
const TILE = ROWS * VECTORS;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let vectors = (columnCount() + 3u) / 4u;
  let across = (vectors + 8u * VECTORS - 1u) / (8u * VECTORS);
  let tile = tileAt(group.x + group.y * groups.x, groups.x * groups.y, across, 8u * ROWS);
  let batch = tile.batch;
  let row = tile.first + lane / 8u * ROWS;
  let vector = tile.place * 8u * VECTORS + lane % 8u;
  if (row >= tile.end) { return; }
  let count = reach(batch);

  var rows: array<RowA, ROWS>;
  for (var r = 0u; r < ROWS; r++) { rows[r] = rowA(batch, min(row + r, tile.end - 1u)); }
  var atB: array<u32, VECTORS>;
  for (var c = 0u; c < VECTORS; c++) { atB[c] = vectorB(matrixB(batch), min(vector + 8u * c, vectors - 1u)); }

  var sum: array<vec4f, TILE>;
  for (var i = 0u; i < TILE; i++) { sum[i] = vec4f(); }
  for (var begin = 0u; begin < count; begin += BLOCK) {
    let end = min(begin + BLOCK, count);
    var part: array<vec4f, TILE>;
    for (var i = 0u; i < TILE; i++) { part[i] = vec4f(); }
    for (var k = begin; k < end; k += K_PER_LOAD) {
      var loaded: array<Loaded, VECTORS>;
      for (var c = 0u; c < VECTORS; c++) { loaded[c] = loadB(atB[c] + k / K_PER_LOAD * strideB()); }
      for (var i = 0u; i < K_PER_LOAD; i++) {
        var column: array<vec4f, VECTORS>;
        for (var c = 0u; c < VECTORS; c++) { column[c] = columnsB(loaded[c], i); }
        let columnA = colA(k + i);
        for (var r = 0u; r < ROWS; r++) {
          let value = vec4f(valueA(rows[r], columnA, k + i));
          for (var c = 0u; c < VECTORS; c++) { part[r * VECTORS + c] = fma(value, column[c], part[r * VECTORS + c]); }
        }
      }
    }
    for (var i = 0u; i < TILE; i++) {
      sum[i] = addBlock(sum[i], part[i], atB[i % VECTORS] + begin / K_PER_LOAD * strideB());
    }
  }

  for (var i = 0u; i < TILE; i++) {
    if (row + i / VECTORS < tile.end) {
      finish(batch, row + i / VECTORS, (vector + 8u * (i % VECTORS)) * 4u, sum[i]);
    }
  }
}
