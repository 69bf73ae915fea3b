// y[b, i, j] = Σ over k of a[b, i, k] · b[b, k, j], the columns of b packed in panels of 64, or row-major.
// Method: 256 invocations share a tile of 64 or 128 rows and one or two panels of 64 columns. Each owns 4 or 8 rows × 4
// columns of each panel in registers. STEP values of k of both operands at a time are stored in workgroup memory, from
// which every value is read sixteen times, because a GPU's memory is much slower than its arithmetic (Volkov and Demmel
// 2008). The next STEP values are loaded into registers before the multiplies, so that they arrive meanwhile; a in
// vectors of four k if its layout allows. Values past the depth are 0, so all steps have the same length. k is split
// into blocks whose sums are added up, one k after the other, as in matmul.wgsl.
// Grid: one workgroup for each tile, in the order of `tileAt`; neighbours share their panels.

// --- parameters
struct Sizes { batches: u32, rows: u32, columns: u32, depth: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
/** Rows of an invocation: 4 or 8. */
const ROWS = 4u;
/** Panels of a tile. */
const VECTORS = 1u;
/** Values of k that are loaded at a time. */
const STEP = 16u;
/** 1 if every batch's depth is a multiple of STEP, else 0. */
const WHOLE = 0u;
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
fn vectorB(matrix: u32, n: u32) -> u32 {
  let panels = (columnCount() + 63u) / 64u;
  return (matrix * panels + n / 16u) * (depth() / K_PER_LOAD) * 16u + n % 16u;
}
/** The distance, in loads, from one load of four columns to the next along k. */
fn strideB() -> u32 { return 16u; }
/** A row of a: its first element's index. */
struct RowA { at: u32 }
fn rowA(batch: u32, row: u32) -> RowA { return RowA(baseA(batch) + row * depth()); }
/** Elements k to k + 3 of a row of a; zeros from `end` on. */
fn fourA(r: RowA, k: u32, end: u32) -> vec4f {
  var x = vec4f();
  for (var i = 0u; i < 4u; i++) { x[i] = select(0.0, a[r.at + min(k + i, end - 1u)], k + i < end); }
  return x;
}
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
/** The operands of `finish`, loaded before the first store. */
struct Taken { unused: u32 }
/** Loads the operands of `finish` for four sums. Row and column must exist: callers clamp both. */
fn take(batch: u32, row: u32, column: u32, x: vec4f) -> Taken { return Taken(0u); }
/** Stores four sums of a row, from `column` on. Returns their contribution to `Sums`. */
fn finish(batch: u32, row: u32, column: u32, x: vec4f, taken: Taken) -> Sums {
  let at = (batch * rowCount() + row) * columnCount() + column;
  for (var i = 0u; i < 4u; i++) {
    if (column + i < columnCount()) { y[at + i] = rounded(x[i]); }
  }
  return 0.0;
}
/** Stores the sums over a row's columns in one panel. */
fn keep(batch: u32, row: u32, panel: u32, sums: Sums) {}
// --- end of parameters

/** Groups of four rows of an invocation. */
const FOURS = ROWS / 4u;
/** Vectors of four columns in a tile. */
const WIDE = 16u * VECTORS;
/** Groups of four k in STEP values of a row of a. */
const ALONG = STEP / 4u;
/** Groups that an invocation loads. */
const EACH = 16u * ROWS * ALONG / 256u;

/**
 * Four elements of workgroup memory. Not `vec4f`: a store of a component may write all four, and another lane may store
 * at the same time.
 */
alias Four = array<f32, 4>;
fn vectorOf(x: Four) -> vec4f { return vec4f(x[0], x[1], x[2], x[3]); }
// Workgroup memory:
//   tileA[k][r / 4][r % 4]   row r of a at the k-th of STEP values: four rows are a vector. An extra vector keeps the
//                            writes of neighbours in different banks.
//   tileB[k][v]              the v-th four columns of the tile at the k-th of STEP values.
//   parts[lane]              at the end, the lane's contribution to the sums over a row.
var<workgroup> tileA: array<array<Four, 16u * FOURS + 1u>, STEP>;
var<workgroup> tileB: array<array<vec4f, WIDE>, STEP>;
var<workgroup> parts: array<Sums, 255u * min(ROW_SUMS, 1u) + 1u>;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let panels = (columnCount() + 63u) / 64u;
  let across = (panels + VECTORS - 1u) / VECTORS;
  let tile = tileAt(group.x + group.y * groups.x, groups.x * groups.y, across, 16u * ROWS);
  if (tile.first >= tile.end) { return; }
  let batch = tile.batch;
  let row = tile.first;
  let firstPanel = tile.place * VECTORS;
  let reached = reach(batch);
  let own = vec2u(lane / 16u, lane % 16u);
  let matrix = matrixB(batch);
  let lastVector = (columnCount() + 3u) / 4u - 1u;
  // A load of b has K_PER_LOAD values of k. Only lanes with k below STEP load.
  let kB = lane / WIDE * K_PER_LOAD;
  let loadsB = kB < STEP;
  let atB = vectorB(matrix, min(firstPanel * 16u + lane % WIDE, lastVector));

  // Each load of a has four k of a row; neighbouring lanes load neighbouring k.
  let last = tile.end - 1u;
  let kA = lane % ALONG * 4u;
  var rows: array<RowA, EACH>;
  for (var p = 0u; p < EACH; p++) { rows[p] = rowA(batch, min(row + (lane + p * 256u) / ALONG, last)); }

  var sum: array<array<vec4f, VECTORS>, ROWS>;
  var part: array<array<vec4f, VECTORS>, ROWS>;
  for (var i = 0u; i < ROWS; i++) {
    for (var v = 0u; v < VECTORS; v++) { sum[i][v] = vec4f(); part[i][v] = vec4f(); }
  }
  if (reached > 0u) {
    var nextA: array<vec4f, EACH>;
    var nextB: Loaded;
    for (var p = 0u; p < EACH; p++) { nextA[p] = fourA(rows[p], kA, reached); }
    if (loadsB) { nextB = loadB(atB + min(kB, reached - 1u) / K_PER_LOAD * strideB()); }
    // One loop over all steps, where the last step of a block adds its sum to the total: a compiler schedules it as a
    // whole.
    var k = 0u;
    loop {
      for (var p = 0u; p < EACH; p++) {
        let place = (lane + p * 256u) / ALONG;
        for (var i = 0u; i < 4u; i++) { tileA[kA + i][place / 4u][place % 4u] = nextA[p][i]; }
      }
      if (loadsB) {
        for (var i = 0u; i < K_PER_LOAD; i++) {
          tileB[kB + i][lane % WIDE] = select(vec4f(), columnsB(nextB, i), WHOLE > 0u || k + kB < reached);
        }
      }
      workgroupBarrier();
      if (k + STEP < reached) {
        for (var p = 0u; p < EACH; p++) { nextA[p] = fourA(rows[p], k + STEP + kA, reached); }
        if (loadsB) { nextB = loadB(atB + min(k + STEP + kB, reached - 1u) / K_PER_LOAD * strideB()); }
      }
      for (var j = 0u; j < STEP; j++) {
        var columns: array<vec4f, VECTORS>;
        for (var v = 0u; v < VECTORS; v++) { columns[v] = tileB[j][16u * v + own.y]; }
        for (var f = 0u; f < FOURS; f++) {
          let value = vectorOf(tileA[j][own.x * FOURS + f]);
          for (var v = 0u; v < VECTORS; v++) {
            part[4u * f][v] = fma(vec4f(value.x), columns[v], part[4u * f][v]);
            part[4u * f + 1u][v] = fma(vec4f(value.y), columns[v], part[4u * f + 1u][v]);
            part[4u * f + 2u][v] = fma(vec4f(value.z), columns[v], part[4u * f + 2u][v]);
            part[4u * f + 3u][v] = fma(vec4f(value.w), columns[v], part[4u * f + 3u][v]);
          }
        }
      }
      workgroupBarrier();
      if ((k + STEP) % BLOCK == 0u || k + STEP >= reached) {
        for (var v = 0u; v < VECTORS; v++) {
          let vector = min((firstPanel + v) * 16u + own.y, lastVector);
          let first = vectorB(matrix, vector) + (k - k % BLOCK) / K_PER_LOAD * strideB();
          for (var i = 0u; i < ROWS; i++) {
            sum[i][v] = addBlock(sum[i][v], part[i][v], first);
            part[i][v] = vec4f();
          }
        }
      }
      continuing {
        k += STEP;
        break if k >= reached;
      }
    }
  }

  // The operands of the epilogue are loaded for all rows at once.
  for (var v = 0u; v < VECTORS; v++) {
    let panel = firstPanel + v;
    let column = panel * 64u + own.y * 4u;
    var taken: array<Taken, ROWS>;
    for (var r = 0u; r < ROWS; r++) {
      let i = min(row + own.x * ROWS + r, last);
      taken[r] = take(batch, i, min(column, (columnCount() - 1u) / 4u * 4u), sum[r][v]);
    }
    for (var r = 0u; r < ROWS; r++) {
      let i = row + own.x * ROWS + r;
      var added = Sums();
      if (i < tile.end && column < columnCount()) { added = finish(batch, i, column, sum[r][v], taken[r]); }
      if (ROW_SUMS > 0u) {
        parts[lane] = added;
        workgroupBarrier();
        if (own.y == 0u && i < tile.end && panel < panels) {
          var whole = added;
          for (var n = 1u; n < 16u; n++) { whole += parts[lane + n]; }
          keep(batch, i, panel, whole);
        }
        workgroupBarrier();
      }
    }
  }
}
