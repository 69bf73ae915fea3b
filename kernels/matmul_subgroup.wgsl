// y[b, i, j] = Σ over k of a[b, i, k] · b[b, k, j], the rows of b read four columns at once.
// Method: a workgroup is one subgroup, so there is neither workgroup memory nor a barrier. A lane owns ROWS rows ×
// VECTORS vectors of four columns in registers. A lane loads the value of a for its own row, and where rows are few,
// for its own k; a shuffle from a fixed lane hands it round. A sum is visited once for STEP of k. k runs in blocks
// whose sums are added up, each k after the other, as in matmul.wgsl: a row has the same bits whatever the tile.
// Grid: one workgroup for each tile, in the order of `tileAt`, in which neighbours share columns.
enable subgroups;

// --- parameters
struct Sizes { batches: u32, rows: u32, columns: u32, depth: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
const WIDTH = 8u;
const ROWS = 16u;
const VECTORS = 2u;
/** k runs in blocks of so many, whose sums are added up. */
const BLOCK = 64u;
/** Values of k per load of b, with four columns each; blocks and the depth are multiples of this. */
const K_PER_LOAD = 1u;
fn batchCount() -> u32 { return sizes.batches; }
fn rowCount() -> u32 { return sizes.rows; }
fn columnCount() -> u32 { return sizes.columns; }
fn depth() -> u32 { return sizes.depth; }
/** Rows of a batch that a workgroup computes, from `first` to before `end`, and its place among `across` columns. */
struct Tile { batch: u32, first: u32, end: u32, place: u32 }
/**
 * Tile n of `tiles`, the tiles that fit the grid: batch by batch, down the rows first. Batches have equal shares; a
 * tile past its batch's last row is empty.
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
/** A row of a, by its offset. */
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
  for (var c = column; c < min(column + 4u, columnCount()); c++) { y[at + c - column] = rounded(x[c - column]); }
  return 0.0;
}
/** Stores the sums over a row's columns in one panel. */
fn keep(batch: u32, row: u32, panel: u32, sums: Sums) {}
// --- end of parameters

/**
 * Lanes over which rows are laid. Where a load of b gives several k, other lanes have the same rows at the next k: of
 * few rows, a load of a then gives several k too. Where it does not, b takes most of the time, and this gains nothing.
 */
const LANES = select(WIDTH, min(WIDTH, 1u << (32u - countLeadingZeros(ROWS - 1u))), K_PER_LOAD > 1u);
/** Rows of the tile, LANES at a time. */
const GROUPS = (ROWS + LANES - 1u) / LANES;
/** Values of k that one load of a gives. */
const K_PER_VALUE = WIDTH / LANES;
/**
 * Values of k at once: sums lie in memory, so every visit costs; more make a loop that outgrows the processor's cache
 * of instructions. One makes the text of a few rows by one vector, which stands in for larger ones, half as long, and
 * so what it takes to compile it; of one row, by which tokens are generated, it would take 5% longer to run.
 */
const STEP = max(max(K_PER_VALUE, K_PER_LOAD), select(1u, 2u, ROWS == 1u || VECTORS > 1u));
/** Columns that a vector of each lane makes. */
const PANEL = 4u * WIDTH;
const TILE = ROWS * VECTORS;

alias Products = array<vec4f, TILE>;
/** Values of the rows, group by group; K_PER_VALUE of k in each. */
alias Values = array<f32, GROUPS * (STEP / K_PER_VALUE)>;
/** Of each k in turn, the vectors of the columns. */
alias Columns = array<vec4f, VECTORS * STEP>;

/**
 * Adds what STEP values of k give to the sums of four rows from `first` on. A function, for Mesa unrolls no loop that
 * would become as long as all rows.
 */
fn accumulate(
  part: ptr<function, Products>,
  first: u32,
  values: ptr<function, Values>,
  columns: ptr<function, Columns>,
) {
  for (var r = first; r < min(first + 4u, ROWS); r++) {
    var value: array<vec4f, STEP>;
    for (var i = 0u; i < STEP; i++) {
      let own = (*values)[i / K_PER_VALUE * GROUPS + r / LANES];
      value[i] = vec4f(subgroupShuffle(own, i % K_PER_VALUE * LANES + r % LANES));
    }
    for (var c = 0u; c < VECTORS; c++) {
      var sum = (*part)[r * VECTORS + c];
      for (var i = 0u; i < STEP; i++) { sum = fma(value[i], (*columns)[i * VECTORS + c], sum); }
      (*part)[r * VECTORS + c] = sum;
    }
  }
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
  // The tile's own rows: fewer than ROWS at the end of a batch.
  let height = min(tile.end - row, ROWS);

  var rows: array<RowA, GROUPS>;
  for (var g = 0u; g < GROUPS; g++) { rows[g] = rowA(batch, min(row + g * LANES + lane % LANES, tile.end - 1u)); }
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
      // Beyond the last k both factors are zero, which adds nothing.
      var values: Values;
      // A row's values side by side: where rows share a set of the cache, the next group drives their lines out.
      for (var g = 0u; g < GROUPS; g++) {
        for (var i = 0u; i < STEP; i += K_PER_VALUE) {
          // A load costs as much as there are lanes that take part.
          if (K_PER_VALUE > 1u || g * LANES + lane < height) {
            let own = k + i + lane / LANES;
            let beyond = STEP > 1u && own >= end;
            let at = select(own, k, beyond);
            values[i / K_PER_VALUE * GROUPS + g] = select(valueA(rows[g], colA(at), at), 0.0, beyond);
          }
        }
      }
      var columns: Columns;
      for (var i = 0u; i < STEP; i += K_PER_LOAD) {
        let beyond = i > 0u && k + i >= end;
        let at = select(k + i, k, beyond) / K_PER_LOAD * strideB();
        for (var c = 0u; c < VECTORS; c++) {
          let loaded = loadB(atB[c] + at);
          for (var j = 0u; j < K_PER_LOAD; j++) {
            // Packed integers are finite, and a is 0 beyond the end; floats there may be infinite or NaN.
            columns[(i + j) * VECTORS + c] = select(columnsB(loaded, j), vec4f(), K_PER_LOAD == 1u && beyond);
          }
        }
      }
      // Of a tile with few rows, as the last often is, the others are not computed.
      accumulate(&part, 0u, &values, &columns);
      if (ROWS > 4u && (ROWS <= 8u || height > 4u)) {
        accumulate(&part, 4u, &values, &columns);
        if (ROWS > 8u && height > 8u) {
          accumulate(&part, 8u, &values, &columns);
          if (ROWS > 12u && height > 12u) {
            accumulate(&part, 12u, &values, &columns);
            if (ROWS > 16u) { accumulate(&part, 16u, &values, &columns); }
            if (ROWS > 20u) { accumulate(&part, 20u, &values, &columns); }
            if (ROWS > 24u) { accumulate(&part, 24u, &values, &columns); }
            if (ROWS > 28u) { accumulate(&part, 28u, &values, &columns); }
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

  // Rolled, for the bounds are no constants: `finish` may be long.
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
