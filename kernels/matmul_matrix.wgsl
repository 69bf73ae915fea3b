// y[b, i, j] = Σ over k of f16(a[b, i, k]) · f16(b[b, k, j]), the sums in f32: on matrix units.
// Method: subgroups share a tile of ROWS × COLUMNS, DOWN of them below one another and ACROSS side by side; each owns
// matrices of M × N in registers. DEPTH of k at a time, both operands are rounded to f16 and brought to workgroup
// memory, from which the units load them. Rows there are padded by 8 halves, so that rows of a matrix lie in different
// banks. A matrix of sums belongs to no invocation: sums go through workgroup memory too, one row of matrices of each
// subgroup at a time, before `finish` takes four of a row. What lies beyond the depth is zero. Sums over a row go from
// lane to lane, those of a panel side by side in a subgroup.
// Grid: one workgroup for each tile, in the order of `tileAt`, in which neighbours share columns.
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;

// --- parameters
struct Sizes { batches: u32, rows: u32, columns: u32, depth: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
/** Invocations of a subgroup. */
const WIDTH = 8u;
const M = 8u;
const N = 8u;
const K = 8u;
const ROWS = 32u;
const COLUMNS = 32u;
const DEPTH = 32u;
const DOWN = 2u;
const ACROSS = 2u;
/** Values of k of which a load of b gives four columns; the depth is a multiple of it. */
const K_PER_LOAD = 1u;
/** Columns that a sum over a row is made of, where there are such: they divide COLUMNS, and fill a subgroup or less. */
const PANEL = 32u;
fn batchCount() -> u32 { return sizes.batches; }
fn rowCount() -> u32 { return sizes.rows; }
fn columnCount() -> u32 { return sizes.columns; }
fn depth() -> u32 { return sizes.depth; }
/** Rows of a batch that a workgroup computes, from `first` to before `end`, and its place among `across` columns. */
struct Tile { batch: u32, first: u32, end: u32, place: u32 }
/**
 * The n-th of `tiles`, for which the grid has room: batch by batch, down the rows first. Each batch has an equal share,
 * of which those beyond its rows have none.
 */
fn tileAt(n: u32, tiles: u32, across: u32, height: u32) -> Tile {
  let down = tiles / (across * batchCount());
  let batch = n / (across * down);
  return Tile(batch, n % down * height, select(0u, rowCount(), batch < batchCount()), n / down % across);
}
/** How many k a batch sums over. */
fn reach(batch: u32) -> u32 { return depth(); }
fn baseA(batch: u32) -> u32 { return batch * sizes.rows * sizes.depth; }
/** Which matrix of b a batch reads. */
fn matrixB(batch: u32) -> u32 { return batch; }
/** In loads: where a matrix has its n-th four columns, for k = 0, and how far it is to the next. */
fn vectorB(matrix: u32, n: u32) -> u32 {
  return (matrix * ((sizes.columns + 31u) / 32u) + n / 8u) * sizes.depth * 8u + n % 8u;
}
fn strideB() -> u32 { return 8u; }
/** What one row of a needs: where it starts. */
struct RowA { at: u32 }
fn rowA(batch: u32, row: u32) -> RowA { return RowA(baseA(batch) + row * depth()); }
/** What column k of a needs whatever the row: nothing. */
alias ColA = u32;
fn colA(k: u32) -> ColA { return k; }
fn valueA(r: RowA, c: ColA, k: u32) -> f32 { return a[r.at + k]; }
/** What b holds at a place, and of it the columns for the i-th k. */
alias Loaded = vec4f;
fn loadB(at: u32) -> Loaded { return b[at]; }
fn columnsB(x: Loaded, i: u32) -> vec4f { return x; }
/** Adds to a sum that of a block, of which a load is at a place of b, with the scales of integers. */
fn addBlock(sum: vec4f, part: vec4f, at: u32) -> vec4f { return sum + part; }
/** The nearest f16: in the compiler's own text rounded before, where it is none yet. */
fn halfA(v: f32) -> f16 { return f16(v); }
fn halvesB(v: vec4f) -> vec4<f16> { return vec4<f16>(v); }
fn rounded(v: f32) -> f32 { return v; }
/** The sums over each row that are wanted beside the product, and how many. */
alias Sums = f32;
const ROW_SUMS = 0u;
/** Stores four sums of a row, from `column` on; returns what they add to the sums over the row. */
fn finish(batch: u32, row: u32, column: u32, x: vec4f) -> Sums {
  let at = (batch * rowCount() + row) * columnCount() + column;
  for (var c = column; c < min(column + 4u, columnCount()); c++) { y[at + c - column] = rounded(x[c - column]); }
  return 0.0;
}
/** Stores the sums over a row's columns in one panel. */
fn keep(batch: u32, row: u32, panel: u32, sums: Sums) {}
// --- end of parameters

const LANES = WIDTH * DOWN * ACROSS;
/** Matrices of sums that a subgroup owns. */
const OWN_DOWN = ROWS / (M * DOWN);
const OWN_ACROSS = COLUMNS / (N * ACROSS);

/** Lanes side by side along a row of a: each reads every so-manieth k of some rows. */
const ALONG = clamp(LANES / 8u, 1u, 8u);
const ROWS_AT_ONCE = LANES / ALONG;
const ROWS_EACH = (ROWS + ROWS_AT_ONCE - 1u) / ROWS_AT_ONCE;
/** Loads of b that make DEPTH rows of the tile. */
const LOADS = DEPTH / K_PER_LOAD * (COLUMNS / 4u);

const STRIDE_A = DEPTH + 8u;
const STRIDE_B = COLUMNS + 8u;
const STRIDE_SUMS = COLUMNS + 4u;
/** Fours of sums in one matrix row of each subgroup. */
const FOURS = DOWN * M * (COLUMNS / 4u);
var<workgroup> tileA: array<f16, ROWS * STRIDE_A>;
var<workgroup> tileB: array<f16, DEPTH * STRIDE_B>;
/** The sums of one matrix row of each subgroup. */
var<workgroup> sums: array<f32, DOWN * M * STRIDE_SUMS>;

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(subgroup_invocation_id) member: u32,
) {
  let across = (columnCount() + COLUMNS - 1u) / COLUMNS;
  let tile = tileAt(group.x + group.y * groups.x, groups.x * groups.y, across, ROWS);
  if (tile.first >= tile.end) { return; }
  let batch = tile.batch;
  let matrix = matrixB(batch);
  let reached = reach(batch);
  let last = tile.end - 1u;
  let vectors = (columnCount() + 3u) / 4u;
  let firstVector = tile.place * (COLUMNS / 4u);
  let own = vec2u(subgroup / ACROSS * OWN_DOWN * M, subgroup % ACROSS * OWN_ACROSS * N);

  var rows: array<RowA, ROWS_EACH>;
  for (var r = 0u; r < ROWS_EACH; r++) {
    rows[r] = rowA(batch, min(tile.first + min(lane / ALONG + r * ROWS_AT_ONCE, ROWS - 1u), last));
  }

  var total: array<array<subgroup_matrix_result<f32, N, M>, OWN_ACROSS>, OWN_DOWN>;
  for (var begin = 0u; begin < reached; begin += DEPTH) {
    // Loops from `begin` and `lane` stay rolled: what computes a, and what decodes b, may be long.
    let end = begin + DEPTH;
    for (var k = begin + lane % ALONG; k < end; k += ALONG) {
      let kA = min(k, reached - 1u);
      let c = colA(kA);
      for (var r = 0u; r < ROWS_EACH; r++) {
        let row = lane / ALONG + r * ROWS_AT_ONCE;
        let value = select(0.0, valueA(rows[r], c, kA), k < reached);
        if (row < ROWS) { tileA[row * STRIDE_A + k - begin] = halfA(value); }
      }
    }
    for (var n = lane; n < LOADS; n += LANES) {
      let first = n / (COLUMNS / 4u) * K_PER_LOAD;
      let k = begin + first;
      let at = vectorB(matrix, min(firstVector + n % (COLUMNS / 4u), vectors - 1u)) +
        min(k, reached - 1u) / K_PER_LOAD * strideB();
      let loaded = loadB(at);
      let scale = select(vec4f(), addBlock(vec4f(), vec4f(1.0), at), k < reached);
      for (var i = 0u; i < K_PER_LOAD; i++) {
        let x = halvesB(columnsB(loaded, i) * scale);
        let place = (first + i) * STRIDE_B + n % (COLUMNS / 4u) * 4u;
        tileB[place] = x.x;
        tileB[place + 1u] = x.y;
        tileB[place + 2u] = x.z;
        tileB[place + 3u] = x.w;
      }
    }
    workgroupBarrier();
    for (var k = begin; k < end; k += K) {
      var left: array<subgroup_matrix_left<f16, K, M>, OWN_DOWN>;
      for (var i = 0u; i < OWN_DOWN; i++) {
        left[i] = subgroupMatrixLoad<subgroup_matrix_left<f16, K, M>, row_major>(
          &tileA, (own.x + i * M) * STRIDE_A + k - begin, STRIDE_A);
      }
      for (var j = 0u; j < OWN_ACROSS; j++) {
        let right = subgroupMatrixLoad<subgroup_matrix_right<f16, N, K>, row_major>(
          &tileB, (k - begin) * STRIDE_B + own.y + j * N, STRIDE_B);
        for (var i = 0u; i < OWN_DOWN; i++) {
          total[i][j] = subgroupMatrixMultiplyAccumulate(left[i], right, total[i][j]);
        }
      }
    }
    workgroupBarrier();
  }

  for (var i = 0u; i < OWN_DOWN; i++) {
    for (var j = 0u; j < OWN_ACROSS; j++) {
      subgroupMatrixStore<row_major>(
        &sums, subgroup / ACROSS * M * STRIDE_SUMS + own.y + j * N, total[i][j], STRIDE_SUMS);
    }
    workgroupBarrier();
    for (var begin = 0u; begin < FOURS; begin += LANES) {
      let n = begin + subgroup * WIDTH + member;
      let at = n / (COLUMNS / 4u);
      let row = tile.first + at / M * OWN_DOWN * M + i * M + at % M;
      let place = n % (COLUMNS / 4u) * 4u;
      let column = tile.place * COLUMNS + place;
      let own = n < FOURS && row < tile.end && column < columnCount();
      var whole = Sums();
      if (own) {
        let start = at * STRIDE_SUMS + place;
        whole = finish(batch, row, column, vec4f(sums[start], sums[start + 1u], sums[start + 2u], sums[start + 3u]));
      }
      if (ROW_SUMS > 0u) {
        for (var d = 1u; d < PANEL / 4u; d *= 2u) { whole += subgroupShuffleXor(whole, d); }
        if (own && n % (PANEL / 4u) == 0u) { keep(batch, row, column / PANEL, whole); }
      }
    }
    workgroupBarrier();
  }
}
