// y[b, i, j] = Σ over k of a[b, i, k] · b[b, k, j], the columns of b packed in panels of 64.
// Method: 256 invocations share a tile of 64 or 128 rows and 64 columns, of which each owns 4 or 8 rows × 4 columns in
// registers. Sixteen k at a time, both operands are brought to workgroup memory, from which every value is read sixteen
// times: what a GPU, whose memory is far behind its arithmetic, wants (Volkov and Demmel 2008). The next sixteen are
// read into registers before the multiplies, so that they arrive meanwhile. Loads and stores of neighbouring
// invocations lie side by side. k runs in blocks whose sums are added up, each k after the other, as in matmul.wgsl.
// Grid: one workgroup for each tile, in the order of `tileAt`, in which neighbours share their panel.

// --- parameters
struct Sizes { batches: u32, rows: u32, columns: u32, depth: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
/** Rows of an invocation: 4 or 8. */
const ROWS = 4u;
/** k runs in blocks of so many, whose sums are added up. */
const BLOCK = 64u;
/** Values of k of which a load of b gives four columns; blocks and the depth are multiples of it. */
const K_PER_LOAD = 1u;
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
/** Adds to a sum that of a block, whose first load is at a place of b. */
fn addBlock(sum: vec4f, part: vec4f, at: u32) -> vec4f { return sum + part; }
fn rounded(v: f32) -> f32 { return v; }
/** The sums over each row that are wanted beside the product, and how many. */
alias Sums = f32;
const ROW_SUMS = 0u;
/** Stores four sums of a row, from `column` on; returns what they add to the sums over the row. */
fn finish(batch: u32, row: u32, column: u32, x: vec4f) -> Sums {
  let at = (batch * rowCount() + row) * columnCount() + column;
  for (var i = 0u; i < 4u; i++) {
    if (column + i < columnCount()) { y[at + i] = rounded(x[i]); }
  }
  return 0.0;
}
/** Stores the sums over a row's columns in one panel. */
fn keep(batch: u32, row: u32, panel: u32, sums: Sums) {}
// --- end of parameters

const STEP = 16u;
const FOURS = ROWS / 4u;

/**
 * Rows of a, turned, so that four of an invocation are one vector. A column more than 16 keeps the writes of neighbours
 * in different banks.
 */
var<workgroup> tileA: array<array<vec4f, 16u * FOURS + 1u>, STEP>;
var<workgroup> tileB: array<array<vec4f, 16>, STEP>;
/** What each invocation adds to the sums over a row. */
var<workgroup> parts: array<Sums, 255u * min(ROW_SUMS, 1u) + 1u>;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let across = (columnCount() + 63u) / 64u;
  let tile = tileAt(group.x + group.y * groups.x, groups.x * groups.y, across, 16u * ROWS);
  if (tile.first >= tile.end) { return; }
  let batch = tile.batch;
  let row = tile.first;
  let panel = tile.place;
  let reached = reach(batch);
  let own = vec2u(lane / 16u, lane % 16u);
  let atB = (matrixB(batch) * across + panel) * (depth() / K_PER_LOAD) * 16u;
  // Of b, one load each for those that make STEP values of k.
  let loadsB = own.x < STEP / K_PER_LOAD;

  // Rows of a for one k, neighbours along k; one load of b, neighbours along its columns.
  let last = tile.end - 1u;
  var rows: array<RowA, ROWS>;
  for (var r = 0u; r < ROWS; r++) { rows[r] = rowA(batch, min(row + own.x * ROWS + r, last)); }

  var nextA: array<vec4f, FOURS>;
  var nextB: Loaded;
  if (reached > 0u) {
    let kA = min(own.y, reached - 1u);
    let c = colA(kA);
    for (var r = 0u; r < ROWS; r++) { nextA[r / 4u][r % 4u] = valueA(rows[r], c, kA); }
    if (loadsB) { nextB = loadB(atB + min(own.x, (reached - 1u) / K_PER_LOAD) * 16u + own.y); }
  }

  var sum: array<vec4f, ROWS>;
  var part: array<vec4f, ROWS>;
  for (var i = 0u; i < ROWS; i++) { sum[i] = vec4f(); part[i] = vec4f(); }
  for (var k = 0u; k < reached; k += STEP) {
    for (var f = 0u; f < FOURS; f++) { tileA[own.y][own.x * FOURS + f] = nextA[f]; }
    if (loadsB) {
      for (var i = 0u; i < K_PER_LOAD; i++) { tileB[own.x * K_PER_LOAD + i][own.y] = columnsB(nextB, i); }
    }
    workgroupBarrier();
    if (k + STEP < reached) {
      let kA = min(k + STEP + own.y, reached - 1u);
      let c = colA(kA);
      for (var r = 0u; r < ROWS; r++) { nextA[r / 4u][r % 4u] = valueA(rows[r], c, kA); }
      if (loadsB) {
        nextB = loadB(atB + min((k + STEP) / K_PER_LOAD + own.x, (reached - 1u) / K_PER_LOAD) * 16u + own.y);
      }
    }
    let count = min(STEP, reached - k);
    for (var j = 0u; j < count; j++) {
      let column = tileB[j][own.y];
      for (var f = 0u; f < FOURS; f++) {
        let value = tileA[j][own.x * FOURS + f];
        part[4u * f] = fma(vec4f(value.x), column, part[4u * f]);
        part[4u * f + 1u] = fma(vec4f(value.y), column, part[4u * f + 1u]);
        part[4u * f + 2u] = fma(vec4f(value.z), column, part[4u * f + 2u]);
        part[4u * f + 3u] = fma(vec4f(value.w), column, part[4u * f + 3u]);
      }
    }
    workgroupBarrier();
    if ((k + STEP) % BLOCK == 0u || k + STEP >= reached) {
      let first = atB + k / BLOCK * BLOCK / K_PER_LOAD * 16u + own.y;
      for (var i = 0u; i < ROWS; i++) {
        sum[i] = addBlock(sum[i], part[i], first);
        part[i] = vec4f();
      }
    }
  }

  for (var r = 0u; r < ROWS; r++) {
    let i = row + own.x * ROWS + r;
    var added = Sums();
    if (i < tile.end) { added = finish(batch, i, panel * 64u + own.y * 4u, sum[r]); }
    if (ROW_SUMS > 0u) {
      parts[lane] = added;
      workgroupBarrier();
      if (own.y == 0u && i < tile.end) {
        var whole = added;
        for (var n = 1u; n < 16u; n++) { whole += parts[lane + n]; }
        keep(batch, i, panel, whole);
      }
      workgroupBarrier();
    }
  }
}
