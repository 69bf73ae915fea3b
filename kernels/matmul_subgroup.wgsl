// y[b, i, j] = Σ over k of a[b, i, k] · b[b, k, j], the columns of b packed in panels of 4 · WIDTH.
// Method: a workgroup is one subgroup, so there is neither workgroup memory nor a barrier. A lane owns ROWS rows × VECTORS vectors of four columns in
// registers. Of each row the subgroup loads WIDTH values of k at once, a lane each, and passes them round by shuffles while it goes through the rows of b.
// k runs in blocks of 64 whose sums are added up, each k after the other, as in matmul.wgsl: a row has the same bits whatever the tile.
// Grid: one workgroup for each tile, batch by batch, down the rows first, so that neighbours share their panels.
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
fn batchCount() -> u32 { return sizes.batches; }
fn rowCount() -> u32 { return sizes.rows; }
fn columnCount() -> u32 { return sizes.columns; }
fn depth() -> u32 { return sizes.depth; }
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

const BLOCK = 64u;
const PANEL = 4u * WIDTH;
const TILE = ROWS * VECTORS;

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let tile = group.x + group.y * groups.x;
  let panels = (columnCount() + PANEL - 1u) / PANEL;
  let across = (panels + VECTORS - 1u) / VECTORS;
  let down = (rowCount() + ROWS - 1u) / ROWS;
  if (tile >= across * down * batchCount()) { return; }
  let batch = tile / (across * down);
  let row = (tile % down) * ROWS;
  let panel = (tile / down % across) * VECTORS;

  var rows: array<RowA, ROWS>;
  for (var r = 0u; r < ROWS; r++) { rows[r] = rowA(batch, min(row + r, rowCount() - 1u)); }
  var atB: array<u32, VECTORS>;
  for (var c = 0u; c < VECTORS; c++) { atB[c] = (matrixB(batch) * panels + min(panel + c, panels - 1u)) * depth() * WIDTH + lane; }

  var sum: array<vec4f, TILE>;
  for (var i = 0u; i < TILE; i++) { sum[i] = vec4f(); }
  for (var begin = 0u; begin < depth(); begin += BLOCK) {
    let end = min(begin + BLOCK, depth());
    var part: array<vec4f, TILE>;
    for (var i = 0u; i < TILE; i++) { part[i] = vec4f(); }
    for (var k = begin; k < end; k += WIDTH) {
      let mine = min(k + lane, depth() - 1u);
      var values: array<f32, ROWS>;
      let columnA = colA(mine);
      for (var r = 0u; r < ROWS; r++) { values[r] = valueA(rows[r], columnA, mine); }
      // Rolled, for its bound is no constant: unrolled it is slower, and compiling takes far longer.
      let count = min(WIDTH, end - k);
      for (var j = 0u; j < count; j++) {
        var column: array<vec4f, VECTORS>;
        for (var c = 0u; c < VECTORS; c++) { column[c] = b[atB[c] + (k + j) * WIDTH]; }
        for (var r = 0u; r < ROWS; r++) {
          let value = vec4f(subgroupShuffle(values[r], j));
          for (var c = 0u; c < VECTORS; c++) { part[r * VECTORS + c] = fma(value, column[c], part[r * VECTORS + c]); }
        }
      }
    }
    for (var i = 0u; i < TILE; i++) { sum[i] += part[i]; }
  }

  // Rolled, for its bound is no constant: `finish` may be long.
  let count = VECTORS * min(ROWS, rowCount() - row);
  for (var i = 0u; i < count; i++) {
    let at = vec2u(row + i / VECTORS, panel + i % VECTORS);
    let own = finish(batch, at.x, at.y * PANEL + lane * 4u, sum[i]);
    if (ROW_SUMS > 0u) {
      let whole = subgroupAdd(own);
      if (lane == 0u && at.y < panels) { keep(batch, at.x, at.y, whole); }
    }
  }
}
