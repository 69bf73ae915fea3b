// y[b, i, j] = Σ over k of a[b, i, k] · b[b, k, j], for few rows or few columns.
// Method: a workgroup computes ROWS rows × VECTORS vectors of four columns. The lanes of a vector share out the blocks
// of k. In each round the workgroup stores CHUNK values of each row of a in workgroup memory. Then a lane sums whole
// blocks, one k after the other, with many loads of b in flight, and stores their sums in workgroup memory. A lane for
// each row and column adds these up in the blocks' order, like matmul.wgsl, so a row has the same bits in every tile.
// All loads for the first round and the epilogue are issued at the beginning, without a branch between them. Lanes that
// have no block compute the last one again. If the depth is a constant, so are the lengths of all loops.
// Grid: one workgroup for each tile of ROWS rows and 4 · VECTORS columns, in the order of `tileAt`.

// --- parameters
struct Sizes { batches: u32, rows: u32, columns: u32, depth: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
/** Lanes of a workgroup. */
const LANES = 64u;
/** Rows of a tile. */
const ROWS = 1u;
/** Vectors of four columns of a tile. */
const VECTORS = 4u;
/** Columns of a row that a lane finishes: one, or two. */
const EACH = 1u;
/** Values of k in a round; a multiple of BLOCK. */
const CHUNK = 1024u;
/** k is split into blocks of BLOCK; the sum of each block is added to the total. */
const BLOCK = 64u;
/** Values of k in one load of b, each with four columns. K_PER_LOAD divides BLOCK and the depth. */
const K_PER_LOAD = 1u;
/** 1 if a block's sum is scaled when it is added, else 0. */
const SCALED = 0u;
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
/** The load of an element of a. */
struct TakenA { value: f32 }
/** Loads element k of a row of a. */
fn takeA(r: RowA, k: u32) -> TakenA { return TakenA(a[r.at + k]); }
/** Element k of a row, from its load. Called once the row's sum is known. */
fn valueA(r: RowA, c: ColA, t: TakenA, k: u32) -> f32 { return t.value; }
/** 1 if b's first loads of a round are issued before a is loaded, which costs registers; else 0. */
const AHEAD = 1u;
/** 1 if the host knows the number of rows, so that every tile of the grid has rows; else 0. */
const SURE = 1u;
/** Lanes that share `ownSum`, the sum over a row of `valueX`, which `valueA` needs; 0 if it needs no sum. */
const SUMMED = 0u;
/** The row of x to sum for a row of the product. */
fn summedRow(row: u32) -> u32 { return row; }
/** Data of a row: its index. */
alias RowX = u32;
fn rowX(row: u32) -> RowX { return row; }
/** Column k's data for all rows of x; here none. */
alias ColX = u32;
fn colX(k: u32) -> ColX { return k; }
/** The summand of element k in a row of x. */
fn valueX(r: RowX, c: ColX, k: u32) -> f32 { return 0.0; }
/** Columns of a vector that a lane sums: all four, or one. */
const WIDTH = 4u;
/** One load of b: four columns, or one. */
alias Loaded = vec4f;
/** Load `at` of b: four columns. */
fn loadB(at: u32) -> vec4f { return b[at]; }
/** Load `at` of b: four columns, or column c alone. */
fn loadedB(at: u32, c: u32) -> Loaded { return loadB(at); }
/** The columns for the i-th k of a load. */
fn columnsB(x: Loaded, i: u32) -> vec4f { return x; }
/** The load of a block's scales. */
alias Scale = u32;
/** Loads the scales of the block with the first load `at` of b. */
fn scaleB(at: u32) -> Scale { return 0u; }
/** The scales. */
fn scaleOf(s: Scale) -> vec4f { return vec4f(1.0); }
fn rounded(v: f32) -> f32 { return v; }
/** The operands of `finish`, loaded at the beginning. */
struct Taken { unused: u32 }
/** Loads the operands of `finish` for a row, from `column` on. Row and column must exist: callers clamp both. */
fn take(batch: u32, row: u32, column: u32) -> Taken { return Taken(0u); }
/** Computes results from the first EACH sums of a row, from `column` on. Stores them if `stores`. */
fn finish(batch: u32, row: u32, column: u32, x: vec4f, taken: Taken, stores: bool) {
  if (stores && column < columnCount()) { y[(batch * rowCount() + row) * columnCount() + column] = rounded(x[0]); }
}
// --- end of parameters

/** Lanes that share out the blocks of the same columns. */
const SLICES = LANES * WIDTH / (4u * VECTORS);
/** The tile's vectors of sums. */
const TILE = ROWS * VECTORS;
/** Blocks of a round. */
const BLOCKS = CHUNK / BLOCK;
/**
 * Times that a lane loads values of a in a round. If it is 1, the loop ends with `break`: then compilers make no loop.
 */
const BRINGS = CHUNK / (BROUGHT * LANES);
/** Blocks that a lane sums in a round. If it is 1, the loop ends with `break`: then compilers make no loop. */
const TURNS = (BLOCKS + SLICES - 1u) / SLICES;
/**
 * Values of k whose loads of b are all in flight before the first is used: 32. But 16 if a load has one k of four
 * columns, or if there are four rows or more, because compilers would not unroll the loop.
 */
const RUN = 16u * (1u + min(K_PER_LOAD - 1u, 1u) * (1u - ROWS / 4u) + (4u - WIDTH) / 3u);
/** Loads of b in a run. */
const LOADS = RUN / K_PER_LOAD;
/** Values of k in flight together after the last whole run. */
const TAIL = 4u;
/** Values of each row of a that a lane loads at once. */
const BROUGHT = min(16u / ROWS, max(CHUNK / LANES, 1u));
/** Blocks whose sums are loaded together; in `sumRow`, values in flight. */
const AT_ONCE = 8u;

// Workgroup memory, with t = row · VECTORS + vector:
//   staged[block][k][row]   an element of a. A few more k keep lanes that read different blocks in different banks.
//   parts[block][t][c]      the block's sum for column c of vector t.
//   scales[block][v][c]     the scale of the block for column c of vector v, if SCALED.
//   sums[t][c]              the sum of all blocks, if a lane finishes two columns.
//   summing[p]              the partial sums of `sumRow`.
var<workgroup> staged: array<array<array<f32, ROWS>, BLOCK + 4u / ROWS>, BLOCKS>;
var<workgroup> parts: array<array<array<f32, 4>, TILE>, BLOCKS>;
var<workgroup> scales: array<array<vec4f, VECTORS>, SCALED * (BLOCKS - 1u) + 1u>;
var<workgroup> sums: array<array<f32, 4>, TILE>;

/** Partial sums of a row of x. */
const PARTS = max(SUMMED, 1u);
var<workgroup> summing: array<f32, PARTS>;
/** Lanes that first add up the partial sums, every MEETING-th. */
const MEETING = 16u;
/** The sum over the row of x. */
var<private> ownSum: f32;

/** Computes `ownSum` in the order of row_sums_wide.wgsl: a partial sum here is a lane there. */
fn sumRow(lane: u32, x: RowX) {
  for (var turn = 0u; turn < (PARTS + LANES - 1u) / LANES; turn++) {
    let part = min(turn * LANES + lane, PARTS - 1u);
    var total = 0.0;
    for (var start = 0u; start < depth(); start += 32u * PARTS) {
      // Each partial sum has `whole` values of the block. In the last block, some have one more, `last`.
      let whole = min(32u, (depth() - start) / PARTS);
      var sum = 0.0;
      var i = 0u;
      for (; i + AT_ONCE <= whole; i += AT_ONCE) {
        var values: array<f32, AT_ONCE>;
        for (var n = 0u; n < AT_ONCE; n++) { values[n] = summedAt(x, start + (i + n) * PARTS + part); }
        for (var n = 0u; n < AT_ONCE; n++) { sum += values[n]; }
      }
      for (; i < whole; i++) { sum += summedAt(x, start + i * PARTS + part); }
      let last = start + whole * PARTS + part;
      if (whole < 32u && last < depth()) { sum += summedAt(x, last); }
      total += sum;
      if (depth() <= 32u * PARTS) { break; }
    }
    if (PARTS % LANES == 0u || turn * LANES + lane < PARTS) { summing[part] = total; }
    if (PARTS <= LANES) { break; }
  }
  workgroupBarrier();
  if (lane < MEETING) {
    var sum = 0.0;
    for (var i = 0u; i < SUMMED; i += MEETING) { sum += summing[lane + i]; }
    summing[lane] = sum;
  }
  workgroupBarrier();
  ownSum = 0.0;
  for (var i = 0u; i < min(MEETING, SUMMED); i++) { ownSum += summing[i]; }
}
fn summedAt(x: RowX, k: u32) -> f32 { return valueX(x, colX(k), k); }

/** Row r of the tile, clamped to its last row. If SURE and ROWS is 1, it does not wait for the number of rows. */
fn rowOf(tile: Tile, r: u32) -> u32 {
  return select(min(tile.first + r, tile.end - 1u), tile.first, SURE > 0u && ROWS == 1u);
}

/** BROUGHT values of each row of a, LANES apart. */
struct Brought { columns: array<ColA, BROUGHT>, values: array<array<TakenA, BROUGHT>, ROWS> }
/** Loads values of each row of a from k = `first` on; indices past the last k are clamped. */
fn bring(rows: array<RowA, ROWS>, first: u32, count: u32) -> Brought {
  var x: Brought;
  for (var i = 0u; i < BROUGHT; i++) {
    let k = min(first + i * LANES, count - 1u);
    x.columns[i] = colA(k);
    for (var r = 0u; r < ROWS; r++) { x.values[r][i] = takeA(rows[r], k); }
  }
  return x;
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let vectors = (columnCount() + 3u) / 4u;
  let across = (vectors + VECTORS - 1u) / VECTORS;
  let tile = tileAt(group.x + group.y * groups.x, groups.x * groups.y, across, ROWS);
  if (SURE == 0u && tile.first >= tile.end) { return; }
  let batch = tile.batch;
  let count = reach(batch);
  let own = lane * WIDTH % (4u * VECTORS) / 4u;
  let c = lane * WIDTH % 4u;
  let slice = lane * WIDTH / (4u * VECTORS);
  let atB = vectorB(matrixB(batch), min(tile.place * VECTORS + own, vectors - 1u));
  // The loads of the next run of b.
  var ahead: array<Loaded, LOADS>;
  let firstBlock = min(slice, (min(CHUNK, count) + BLOCK - 1u) / BLOCK - 1u);
  let begin = atB + firstBlock * (BLOCK / K_PER_LOAD) * strideB();
  if (AHEAD > 0u) { for (var i = 0u; i < LOADS; i++) { ahead[i] = loadedB(begin + i * strideB(), c); } }
  var scale: Scale;
  if (AHEAD > 0u) { scale = scaleB(begin); }
  var rows: array<RowA, ROWS>;
  for (var r = 0u; r < ROWS; r++) { rows[r] = rowA(batch, rowOf(tile, r)); }
  // The row and vector of the tile for which the lane adds up one column and finishes it.
  let summed = min(lane / 4u, TILE - 1u);
  let row = tile.first + select(summed / VECTORS, 0u, ROWS == 1u);
  let vector = tile.place * VECTORS + summed % VECTORS;
  let taken = take(batch, rowOf(tile, row - tile.first), min(vector, vectors - 1u) * 4u + lane % 4u);
  var next = bring(rows, lane, count);
  if (SUMMED > 0u) { sumRow(lane, rowX(summedRow(rowOf(tile, 0u)))); }

  var sum = 0.0;
  for (var first = 0u; first < count; first += CHUNK) {
    let reached = min(CHUNK, count - first);
    let blocks = (reached + BLOCK - 1u) / BLOCK;
    for (var turn = 0u; turn < BRINGS; turn++) {
      let at = turn * BROUGHT * LANES + lane;
      if (turn > 0u) { next = bring(rows, first + at, count); }
      for (var i = 0u; i < BROUGHT; i++) {
        let k = min(first + at + i * LANES, count - 1u);
        let block = at / BLOCK + i * (LANES / BLOCK);
        for (var r = 0u; r < ROWS; r++) {
          staged[block][at % BLOCK][r] = valueA(rows[r], next.columns[i], next.values[r][i], k);
        }
      }
      if (BRINGS == 1u) { break; }
    }
    if (first + CHUNK < count) { next = bring(rows, first + CHUNK + lane, count); }
    workgroupBarrier();

    for (var turn = 0u; turn < TURNS; turn++) {
      let block = min(turn * SLICES + slice, blocks - 1u);
      let at = atB + (first + block * BLOCK) / K_PER_LOAD * strideB();
      if (AHEAD == 0u) { for (var i = 0u; i < LOADS; i++) { ahead[i] = loadedB(at + i * strideB(), c); } }
      var part: array<vec4f, ROWS>;
      for (var r = 0u; r < ROWS; r++) { part[r] = vec4f(); }
      // The last block can be shorter only if a load has one k.
      let inside = select(BLOCK, min(BLOCK, reached - block * BLOCK), K_PER_LOAD == 1u && count % BLOCK != 0u);
      var k = 0u;
      for (; k + RUN <= inside; k += RUN) {
        let loaded = ahead;
        if (RUN < BLOCK) {
          let run = select(k, k + RUN, k + 2u * RUN <= inside);
          for (var i = 0u; i < LOADS; i++) { ahead[i] = loadedB(at + (run / K_PER_LOAD + i) * strideB(), c); }
        }
        for (var i = 0u; i < LOADS; i++) {
          for (var j = 0u; j < K_PER_LOAD; j++) {
            let column = columnsB(loaded[i], j);
            for (var r = 0u; r < ROWS; r++) {
              part[r] = fma(vec4f(staged[block][k + i * K_PER_LOAD + j][r]), column, part[r]);
            }
          }
        }
        if (RUN == BLOCK) {
          k += RUN;
          break;
        }
      }
      for (; k < inside; k += TAIL) {
        var loaded: array<Loaded, TAIL>;
        for (var i = 0u; i < TAIL; i++) { loaded[i] = loadedB(at + min(k + i, inside - 1u) * strideB(), c); }
        for (var i = 0u; i < TAIL; i++) {
          let column = columnsB(loaded[i], 0u);
          for (var r = 0u; r < ROWS; r++) {
            let more = fma(vec4f(staged[block][k + i][r]), column, part[r]);
            part[r] = select(part[r], more, k + i < inside);
          }
        }
      }
      if (AHEAD == 0u) { scale = scaleB(at); }
      if (turn * SLICES + slice < blocks) {
        if (SCALED > 0u) { scales[block][own] = scaleOf(scale); }
        for (var r = 0u; r < ROWS; r++) {
          if (WIDTH == 1u) { parts[block][r * VECTORS + own][c] = part[r].x; }
          else { for (var j = 0u; j < 4u; j++) { parts[block][r * VECTORS + own][j] = part[r][j]; } }
        }
      }
      if (TURNS == 1u) { break; }
      if (AHEAD > 0u && turn + 1u < TURNS) {
        let following = min((turn + 1u) * SLICES + slice, blocks - 1u);
        let start = atB + (first + following * BLOCK) / K_PER_LOAD * strideB();
        for (var i = 0u; i < LOADS; i++) { ahead[i] = loadedB(start + i * strideB(), c); }
        scale = scaleB(start);
      }
    }
    if (AHEAD > 0u && first + CHUNK < count) {
      let after = (min(CHUNK, count - first - CHUNK) + BLOCK - 1u) / BLOCK;
      let start = atB + (first + CHUNK + min(slice, after - 1u) * BLOCK) / K_PER_LOAD * strideB();
      for (var i = 0u; i < LOADS; i++) { ahead[i] = loadedB(start + i * strideB(), c); }
      scale = scaleB(start);
    }
    workgroupBarrier();

    for (var n = 0u; n < select(blocks, BLOCKS, AHEAD > 0u); n += AT_ONCE) {
      var part: array<f32, AT_ONCE>;
      var scale: array<f32, AT_ONCE>;
      for (var i = 0u; i < AT_ONCE; i++) {
        let block = min(n + i, BLOCKS - 1u);
        part[i] = parts[block][summed][lane % 4u];
        scale[i] = 1.0;
        if (SCALED > 0u) { scale[i] = scales[block][summed % VECTORS][lane % 4u]; }
      }
      for (var i = 0u; i < AT_ONCE; i++) { sum = select(sum, fma(part[i], scale[i], sum), n + i < blocks); }
    }
    if (depth() <= CHUNK) { break; }
  }

  // A lane finishes as few columns as possible, so that all loads for the epilogue are in flight together.
  var all = vec4f(sum);
  if (EACH > 1u) {
    if (lane < 4u * TILE) { sums[summed][lane % 4u] = sum; }
    workgroupBarrier();
    all = vec4f(sum, sums[summed][(lane + 1u) % 4u], 0.0, 0.0);
  }
  let stores = lane < 4u * TILE && lane % EACH == 0u && row < tile.end && vector < vectors;
  finish(batch, row, vector * 4u + lane % 4u, all, taken, stores);
}
