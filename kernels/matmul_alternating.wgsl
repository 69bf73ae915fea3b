// y[b, i, j] = Σ over k of a[b, i, k] · b[b, k, j], the columns of b packed in panels of 64, or row-major.
// Method: as matmul_tiled.wgsl, but 256 invocations share a tile of 128 rows and one panel of 64 columns. They form two
// sides of 128 invocations, and the sides take the blocks of k in turn. An invocation sums its side's block for 8 rows
// × 8 columns in registers: it reads half a byte of workgroup memory for each operation, and would read three quarters
// with 8 × 4. Then it gives the sums of four columns to the invocation at its place on the other side. To the four
// columns that it keeps, it adds the sums of both blocks, in their order. So a result has the same bits as in
// matmul_tiled.wgsl.
// Grid: one workgroup for each tile, in the order of `tileAt`; neighbours share their panels.

// --- parameters
struct Sizes { batches: u32, rows: u32, columns: u32, depth: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
/** Values of k that each side loads at a time. STEP divides BLOCK. */
const STEP = 8u;
/** 1 if every batch's depth is a multiple of two blocks, else 0. */
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

/** Invocations of a side: 16 down and 8 across. */
const SIDE = 128u;
/** Rows of an invocation. */
const ROWS = 8u;
/** Groups of four k in STEP values of a row of a. */
const ALONG = STEP / 4u;
/** Groups that an invocation loads. */
const EACH = 16u * ROWS * ALONG / SIDE;
/** Rows whose sums the sides exchange at a time. */
const AT_ONCE = STEP / 4u;

/**
 * Four elements of workgroup memory. Not `vec4f`: a store of a component may write all four, and another lane may store
 * at the same time.
 */
alias Four = array<f32, 4>;
fn vectorOf(x: Four) -> vec4f { return vec4f(x[0], x[1], x[2], x[3]); }
// Workgroup memory:
//   tileA[side][k][r / 4][r % 4]   row r of a at the k-th of STEP values: four rows are a vector. A 33rd vector keeps
//                                  the writes of neighbours in different banks.
//   tileA[side][…]                 after a block, the sums that the other side gives, AT_ONCE rows at a time.
//   tileB[side][k][v]              the v-th four columns of the panel at the k-th of STEP values.
//   parts[…]                       at the end, contributions to the sums over a row, by half the invocations at a time.
var<workgroup> tileA: array<array<array<Four, 33>, STEP>, 2>;
var<workgroup> tileB: array<array<array<vec4f, 16>, STEP>, 2>;
var<workgroup> parts: array<Sums, 127u * min(ROW_SUMS, 1u) + 1u>;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let panels = (columnCount() + 63u) / 64u;
  let tile = tileAt(group.x + group.y * groups.x, groups.x * groups.y, panels, 16u * ROWS);
  if (tile.first >= tile.end) { return; }
  let batch = tile.batch;
  let row = tile.first;
  let reached = reach(batch);
  let side = lane / SIDE;
  let member = lane % SIDE;
  let own = vec2u(member / 8u, member % 8u);
  // The four columns that the invocation keeps. It gives away `kept ^ 8`.
  let kept = own.y + 8u * side;
  let matrix = matrixB(batch);
  let lastVector = (columnCount() + 3u) / 4u - 1u;
  // Each invocation loads one vector of b. If a load has several k, only invocations with k below STEP load.
  let kB = member / 16u * K_PER_LOAD;
  let loadsB = K_PER_LOAD == 1u || kB < STEP;
  let atB = vectorB(matrix, min(tile.place * 16u + member % 16u, lastVector));

  // Each load of a has four k of a row; neighbouring lanes load neighbouring k.
  let last = tile.end - 1u;
  let kA = member % ALONG * 4u;
  var rows: array<RowA, EACH>;
  for (var p = 0u; p < EACH; p++) { rows[p] = rowA(batch, min(row + (member + p * SIDE) / ALONG, last)); }

  var sum: array<vec4f, ROWS>;
  // The sums of a block: the four columns that the invocation keeps, and the four that it gives away.
  var part: array<array<vec4f, 2>, ROWS>;
  for (var i = 0u; i < ROWS; i++) { sum[i] = vec4f(); part[i] = array<vec4f, 2>(); }
  if (reached > 0u) {
    // Both sides run the same steps; the second is one block ahead.
    let ahead = side * BLOCK;
    var nextA: array<vec4f, EACH>;
    var nextB: Loaded;
    for (var p = 0u; p < EACH; p++) { nextA[p] = fourA(rows[p], ahead + kA, reached); }
    if (loadsB) { nextB = loadB(atB + min(ahead + kB, reached - 1u) / K_PER_LOAD * strideB()); }
    // A turn of the outer loop takes two blocks of k, one on each side. A turn of the inner loop takes STEP values.
    var k = 0u;
    loop {
      let block = k;
      loop {
        for (var p = 0u; p < EACH; p++) {
          let place = (member + p * SIDE) / ALONG;
          for (var i = 0u; i < 4u; i++) { tileA[side][kA + i][place / 4u][place % 4u] = nextA[p][i]; }
        }
        if (loadsB) {
          for (var i = 0u; i < K_PER_LOAD; i++) {
            tileB[side][kB + i][member % 16u] =
              select(vec4f(), columnsB(nextB, i), WHOLE > 0u || k + ahead + kB < reached);
          }
        }
        workgroupBarrier();
        // The other side computes the next block, so this side skips it.
        let next = k + STEP + select(0u, BLOCK, (k + STEP) % BLOCK == 0u);
        if (next < reached) {
          for (var p = 0u; p < EACH; p++) { nextA[p] = fourA(rows[p], next + ahead + kA, reached); }
          if (loadsB) { nextB = loadB(atB + min(next + ahead + kB, reached - 1u) / K_PER_LOAD * strideB()); }
        }
        for (var j = 0u; j < STEP; j++) {
          var columns = array<vec4f, 2>(tileB[side][j][kept], tileB[side][j][kept ^ 8u]);
          for (var f = 0u; f < ROWS / 4u; f++) {
            let value = vectorOf(tileA[side][j][own.x * (ROWS / 4u) + f]);
            for (var v = 0u; v < 2u; v++) {
              part[4u * f][v] = fma(vec4f(value.x), columns[v], part[4u * f][v]);
              part[4u * f + 1u][v] = fma(vec4f(value.y), columns[v], part[4u * f + 1u][v]);
              part[4u * f + 2u][v] = fma(vec4f(value.z), columns[v], part[4u * f + 2u][v]);
              part[4u * f + 3u][v] = fma(vec4f(value.w), columns[v], part[4u * f + 3u][v]);
            }
          }
        }
        workgroupBarrier();
        continuing {
          k = next;
          break if k % BLOCK == 0u || k >= reached;
        }
      }
      let first = vectorB(matrix, min(tile.place * 16u + kept, lastVector)) + block / K_PER_LOAD * strideB();
      for (var r = 0u; r < ROWS; r += AT_ONCE) {
        for (var i = 0u; i < AT_ONCE; i++) {
          let x = part[r + i][1];
          tileA[1u - side][4u * i + member / 32u][member % 32u] = Four(x.x, x.y, x.z, x.w);
        }
        workgroupBarrier();
        for (var i = 0u; i < AT_ONCE; i++) {
          let received = vectorOf(tileA[side][4u * i + member / 32u][member % 32u]);
          let computed = part[r + i][0];
          sum[r + i] = addBlock(sum[r + i], select(received, computed, side == 0u), first);
          if (block + BLOCK < reached) {
            let second = first + BLOCK / K_PER_LOAD * strideB();
            sum[r + i] = addBlock(sum[r + i], select(computed, received, side == 0u), second);
          }
          part[r + i] = array<vec4f, 2>();
        }
        workgroupBarrier();
      }
      continuing { break if k >= reached; }
    }
  }

  // The operands of the epilogue are loaded for all rows at once.
  let column = tile.place * 64u + kept * 4u;
  var taken: array<Taken, ROWS>;
  for (var r = 0u; r < ROWS; r++) {
    let i = min(row + own.x * ROWS + r, last);
    taken[r] = take(batch, i, min(column, (columnCount() - 1u) / 4u * 4u), sum[r]);
  }
  for (var r = 0u; r < ROWS; r++) {
    let i = row + own.x * ROWS + r;
    var added = Sums();
    if (i < tile.end && column < columnCount()) { added = finish(batch, i, column, sum[r], taken[r]); }
    if (ROW_SUMS > 0u) {
      for (var h = 0u; h < 2u; h++) {
        let at = own.x % 8u * 16u + kept;
        if (own.x / 8u == h) { parts[at] = added; }
        workgroupBarrier();
        if (own.x / 8u == h && kept == 0u && i < tile.end && tile.place < panels) {
          var whole = added;
          for (var n = 1u; n < 16u; n++) { whole += parts[at + n]; }
          keep(batch, i, tile.place, whole);
        }
        workgroupBarrier();
      }
    }
  }
}
