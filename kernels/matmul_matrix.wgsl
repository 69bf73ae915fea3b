// y[b, i, j] = Σ over k of f16(a[b, i, k]) · f16(b[b, k, j]), with sums in f32, on matrix units.
// Method: subgroups share a tile of ROWS × COLUMNS, DOWN of them down and ACROSS across. Each subgroup owns matrices of
// M × N in registers. A step takes DEPTH values of k: both operands are rounded to f16 and stored in workgroup memory,
// from which the units load them. A vector there is eight consecutive k of a row of a or of a column of b, so that a
// load has 16 bytes. Rows and columns are padded by a vector, so that the rows of a matrix are in different banks. All
// loads of a lane are in flight at once; loops are unrolled for that. Values past the depth are 0. A matrix of sums
// belongs to no invocation. After the last step, sums go through workgroup memory, one row of matrices of each subgroup
// at a time, and `finish` takes four of a row; its operands are loaded for all sums of a lane at once. Shuffles add up
// the sums over a row, because the lanes of a panel are neighbours in a subgroup.
// Grid: one workgroup for each tile, in the order of `tileAt`; neighbours share columns.
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;

// --- parameters
struct Sizes { batches: u32, rows: u32, columns: u32, depth: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
/** Lanes of a subgroup. */
const WIDTH = 8u;
/** A matrix unit multiplies M × K by K × N. */
const M = 8u;
const N = 8u;
const K = 8u;
/** Rows of a tile. */
const ROWS = 32u;
/** Columns of a tile. */
const COLUMNS = 32u;
/** Values of k in a step. */
const DEPTH = 32u;
/** Subgroups of a tile, down. */
const DOWN = 2u;
/** Subgroups of a tile, across. */
const ACROSS = 2u;
/** Values of k in one load of b, each with four columns. K_PER_LOAD divides the depth. */
const K_PER_LOAD = 1u;
/** 1 if b is quantized: its values are scaled. Else 0. */
const SCALED = 0u;
/**
 * Columns of a panel: `keep` stores sums over its columns of a row. PANEL divides COLUMNS, and its lanes fill a
 * subgroup or less.
 */
const PANEL = 32u;
/** 1 if every batch's depth is a multiple of DEPTH, else 0. */
const WHOLE = 0u;
/** 1 if registers have room for the loads of the next step, else 0. */
const AHEAD = 1u;
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
  return (matrix * ((sizes.columns + 31u) / 32u) + n / 8u) * sizes.depth * 8u + n % 8u;
}
/** The distance, in loads, from one load of four columns to the next along k. */
fn strideB() -> u32 { return 8u; }
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
/** Adds a block's sum, scaled if b is quantized, to the total. `at`: the index of a load of b in the block. */
fn addBlock(sum: vec4f, part: vec4f, at: u32) -> vec4f { return sum + part; }
/** The nearest f16. */
fn halves(v: vec4f) -> vec4<f16> { return vec4<f16>(v); }
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
  for (var c = column; c < min(column + 4u, columnCount()); c++) { y[at + c - column] = rounded(x[c - column]); }
  return 0.0;
}
/** Stores the sums over a row's columns in one panel. */
fn keep(batch: u32, row: u32, panel: u32, sums: Sums) {}
// Workgroup memory `tiles`, in vectors of eight halves or four sums:
//   from      stride        rows: contents of a vector. Lifetime.
//   0         STRIDE        ROWS rows of a: eight k. For a step.
//   FIRST_B   STRIDE        COLUMNS columns of b: eight k. For a step.
//   0         STRIDE_SUMS   at the end, M rows of sums of each row of subgroups: four columns.
var<workgroup> tiles: array<vec4<u32>, max((ROWS + COLUMNS) * STRIDE, DOWN * M * STRIDE_SUMS)>;
fn put(at: u32, x: vec4<u32>) { tiles[at] = x; }
fn leftAt(at: u32) -> Left { return subgroupMatrixLoad<Left, row_major>(&tiles, at, STRIDE); }
fn rightAt(at: u32) -> Right { return subgroupMatrixLoad<Right, col_major>(&tiles, at, STRIDE); }
fn putSums(at: u32, x: Sum) { subgroupMatrixStore<row_major>(&tiles, at, x, STRIDE_SUMS); }
fn sumsAt(at: u32) -> vec4f { return bitcast<vec4f>(tiles[at]); }
// --- end of parameters

/** Lanes of a workgroup. */
const LANES = WIDTH * DOWN * ACROSS;
/** Matrices of sums that a subgroup owns, down. */
const OWN_DOWN = ROWS / (M * DOWN);
/** Matrices of sums that a subgroup owns, across. */
const OWN_ACROSS = COLUMNS / (N * ACROSS);
alias Left = subgroup_matrix_left<f16, K, M>;
alias Right = subgroup_matrix_right<f16, N, K>;
alias Sum = subgroup_matrix_result<f32, N, M>;

/** Groups of eight k in a step. */
const EIGHTS = DEPTH / 8u;
/** Lanes along a row of a. */
const ALONG = min(EIGHTS, LANES);
/** Groups of eight k that a lane loads per row of a. */
const ALONG_EACH = (EIGHTS + ALONG - 1u) / ALONG;
/** Rows of a that the lanes load at once. */
const ROWS_AT_ONCE = LANES / ALONG;
/** Rows of a that a lane loads. */
const ROWS_EACH = (ROWS + ROWS_AT_ONCE - 1u) / ROWS_AT_ONCE;
/** Whether the loads of a are shared out over the lanes without a remainder. */
const FITS_A = ALONG * ROWS_AT_ONCE == LANES && ALONG * ALONG_EACH == EIGHTS && ROWS % ROWS_AT_ONCE == 0u;
/** Values of k in a piece of b, each with four columns: 8, or 4 if 8 would leave lanes idle. */
const EIGHT = select(8u, 4u, EIGHTS * (COLUMNS / 4u) < LANES && K_PER_LOAD <= 4u);
/** Pieces of b in a step. */
const PLACES = DEPTH / EIGHT * (COLUMNS / 4u);
/** Pieces of b that a lane loads. */
const PLACES_EACH = (PLACES + LANES - 1u) / LANES;
/** Whether the pieces are shared out over the lanes without a remainder. */
const FITS_B = PLACES % LANES == 0u;
/** Pieces along k. */
const ALONG_B = DEPTH / EIGHT;

const STRIDE = EIGHTS + 1u;
const FIRST_B = ROWS * STRIDE;
const STRIDE_SUMS = COLUMNS / 4u + 1u;
/** `vec4f` of sums in a row of matrices, over all subgroups. */
const FOURS = DOWN * M * (COLUMNS / 4u);
/** `vec4f` of sums that a lane finishes, per row of matrices. */
const TURNS = (FOURS + LANES - 1u) / LANES;

/** Eight halves as a vector of workgroup memory. */
fn eight(x: vec4<f16>, y: vec4<f16>) -> vec4<u32> { return vec4<u32>(bitcast<vec2u>(x), bitcast<vec2u>(y)); }

/** The lane's loads of a step: a in groups of eight k, and pieces of b with their scales. */
struct Brought {
  a: array<array<array<vec4f, 2>, ROWS_EACH>, ALONG_EACH>,
  b: array<array<Loaded, EIGHT / K_PER_LOAD>, PLACES_EACH>,
  scales: array<array<vec4f, EIGHT / K_PER_LOAD>, PLACES_EACH>,
}

/** Loads the step that begins at k = `begin`. */
fn bring(
  rows: ptr<function, array<RowA, ROWS_EACH>>, columns: ptr<function, array<u32, PLACES_EACH>>, begin: u32,
  reached: u32, lane: u32,
) -> Brought {
  var own: Brought;
  for (var e = 0u; e < ALONG_EACH; e++) {
    let k = begin + 8u * (lane % ALONG + e * ALONG);
    for (var r = 0u; r < ROWS_EACH; r++) {
      own.a[e][r] = array<vec4f, 2>(fourA((*rows)[r], k, reached), fourA((*rows)[r], k + 4u, reached));
    }
  }
  for (var p = 0u; p < PLACES_EACH; p++) {
    let n = lane + p * LANES;
    for (var j = 0u; j < EIGHT / K_PER_LOAD; j++) {
      let k = begin + EIGHT * (n % ALONG_B) + j * K_PER_LOAD;
      let at = (*columns)[p] + select(min(k, reached - 1u), k, WHOLE > 0u) / K_PER_LOAD * strideB();
      own.b[p][j] = loadB(at);
      // For the sum 1, `addBlock` returns the scales.
      if (SCALED > 0u) { own.scales[p][j] = addBlock(vec4f(), vec4f(1.0), at); }
    }
  }
  return own;
}

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
  var columns: array<u32, PLACES_EACH>;
  for (var p = 0u; p < PLACES_EACH; p++) {
    columns[p] = vectorB(matrix, min(firstVector + (lane + p * LANES) / ALONG_B, vectors - 1u));
  }

  var total: array<array<Sum, OWN_ACROSS>, OWN_DOWN>;
  for (var i = 0u; i < OWN_DOWN; i++) {
    for (var j = 0u; j < OWN_ACROSS; j++) { total[i][j] = Sum(); }
  }
  // The loop runs at least once. The exit test is at the loop's end, so that the compiler hoists invariants.
  var begin = 0u;
  var next: Brought;
  if (AHEAD > 0u) { next = bring(&rows, &columns, begin, reached, lane); }
  loop {
    if (AHEAD == 0u) { next = bring(&rows, &columns, begin, reached, lane); }
    for (var e = 0u; e < ALONG_EACH; e++) {
      let own = lane % ALONG + e * ALONG;
      for (var r = 0u; r < ROWS_EACH; r++) {
        let row = lane / ALONG + r * ROWS_AT_ONCE;
        if (FITS_A || (row < min(ROWS, (r + 1u) * ROWS_AT_ONCE) && own < EIGHTS)) {
          put(row * STRIDE + own, eight(halves(next.a[e][r][0]), halves(next.a[e][r][1])));
        }
      }
    }
    for (var p = 0u; p < PLACES_EACH; p++) {
      let n = lane + p * LANES;
      var x: array<vec4<f16>, 8>;
      for (var j = 0u; j < EIGHT / K_PER_LOAD; j++) {
        let inside = WHOLE > 0u || begin + EIGHT * (n % ALONG_B) + j * K_PER_LOAD < reached;
        for (var i = 0u; i < K_PER_LOAD; i++) {
          var value = columnsB(next.b[p][j], i);
          if (SCALED > 0u) { value *= next.scales[p][j]; }
          x[j * K_PER_LOAD + i] = select(vec4<f16>(), halves(value), inside);
        }
      }
      let owns = FITS_B || n < PLACES;
      let at = FIRST_B + n / ALONG_B * 4u * STRIDE + n % ALONG_B * EIGHT / 8u;
      // If EIGHT is 4, lanes 2i and 2i + 1 hold k 0-3 and 4-7 of the same four columns. They exchange halves, so that
      // each writes two columns of eight k, in whole vectors.
      let isOdd = n % 2u == 1u;
      for (var c = 0u; c < select(0u, 2u, EIGHT == 4u); c++) {
        let low = bitcast<vec2u>(vec4<f16>(x[0][c], x[1][c], x[2][c], x[3][c]));
        let high = bitcast<vec2u>(vec4<f16>(x[0][c + 2u], x[1][c + 2u], x[2][c + 2u], x[3][c + 2u]));
        let own = select(low, high, isOdd);
        let other = subgroupShuffleXor(select(high, low, isOdd), 1u);
        let both = vec4<u32>(select(own, other, isOdd), select(other, own, isOdd));
        if (owns) { put(at + select(c, c + 2u, isOdd) * STRIDE, both); }
      }
      for (var c = 0u; c < select(0u, 4u, EIGHT == 8u); c++) {
        let low = vec4<f16>(x[0][c], x[1][c], x[2][c], x[3][c]);
        if (owns) { put(at + c * STRIDE, eight(low, vec4<f16>(x[4][c], x[5][c], x[6][c], x[7][c]))); }
      }
    }
    workgroupBarrier();
    // The loads of the next step arrive while the units multiply.
    if (AHEAD > 0u && begin + DEPTH < reached) {
      next = bring(&rows, &columns, begin + DEPTH, reached, lane);
    }
    for (var k = 0u; k < EIGHTS; k += K / 8u) {
      var left: array<Left, OWN_DOWN>;
      for (var i = 0u; i < OWN_DOWN; i++) { left[i] = leftAt((own.x + i * M) * STRIDE + k); }
      for (var j = 0u; j < OWN_ACROSS; j++) {
        let right = rightAt(FIRST_B + (own.y + j * N) * STRIDE + k);
        for (var i = 0u; i < OWN_DOWN; i++) {
          total[i][j] = subgroupMatrixMultiplyAccumulate(left[i], right, total[i][j]);
        }
      }
    }
    workgroupBarrier();
    continuing {
      begin += DEPTH;
      break if begin >= reached;
    }
  }

  for (var i = 0u; i < OWN_DOWN; i++) {
    for (var j = 0u; j < OWN_ACROSS; j++) {
      putSums(subgroup / ACROSS * M * STRIDE_SUMS + (own.y + j * N) / 4u, total[i][j]);
    }
    workgroupBarrier();
    var sums: array<vec4f, TURNS>;
    var taken: array<Taken, TURNS>;
    for (var t = 0u; t < TURNS; t++) {
      let n = min(t * LANES + subgroup * WIDTH + member, FOURS - 1u);
      let at = n / (COLUMNS / 4u);
      let place = n % (COLUMNS / 4u);
      let row = min(tile.first + at / M * OWN_DOWN * M + i * M + at % M, last);
      sums[t] = sumsAt(at * STRIDE_SUMS + place);
      taken[t] = take(batch, row, min(tile.place * COLUMNS + 4u * place, 4u * vectors - 4u), sums[t]);
    }
    for (var t = 0u; t < TURNS; t++) {
      let n = t * LANES + subgroup * WIDTH + member;
      let at = n / (COLUMNS / 4u);
      let row = tile.first + at / M * OWN_DOWN * M + i * M + at % M;
      let place = n % (COLUMNS / 4u);
      let column = tile.place * COLUMNS + 4u * place;
      let own = n < FOURS && row < tile.end && column < columnCount();
      var whole = Sums();
      if (own) { whole = finish(batch, row, column, sums[t], taken[t]); }
      if (ROW_SUMS > 0u) {
        for (var d = 1u; d < PANEL / 4u; d *= 2u) { whole += subgroupShuffleXor(whole, d); }
        if (own && n % (PANEL / 4u) == 0u) { keep(batch, row, column / PANEL, whole); }
      }
    }
    workgroupBarrier();
  }
}
