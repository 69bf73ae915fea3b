// y[i, j] = Σ over n of a[n, i] · b[n, j]: both matrices are read along their rows.
// Method: an invocation owns 4 × 4 in registers: 8 loads for 16 multiply-adds. Columns beyond the edge read the last one and are not stored.
// n runs in blocks of 64 whose sums are added up, which keeps rounding small.
// Grid: one invocation for each tile, along the rows of y first, so that neighbours read neighbours of b.

// --- parameters
struct Sizes { depth: u32, rows: u32, columns: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
/** Rows of a and b; columns of a; columns of b. */
fn depth() -> u32 { return sizes.depth; }
fn rowCount() -> u32 { return sizes.rows; }
fn columnCount() -> u32 { return sizes.columns; }
/** What row n of a needs: where it starts; what a column needs whatever the row: nothing. The same of b. */
struct RowA { at: u32 }
fn rowA(n: u32) -> RowA { return RowA(n * rowCount()); }
alias ColA = u32;
fn colA(k: u32) -> ColA { return k; }
fn valueA(r: RowA, c: ColA, k: u32) -> f32 { return a[r.at + k]; }
struct RowB { at: u32 }
fn rowB(n: u32) -> RowB { return RowB(n * columnCount()); }
alias ColB = u32;
fn colB(k: u32) -> ColB { return k; }
fn valueB(r: RowB, c: ColB, k: u32) -> f32 { return b[r.at + k]; }
fn rounded(v: f32) -> f32 { return v; }
/** Stores four sums of a row, from `column` on. */
fn finish(row: u32, column: u32, x: vec4f) {
  for (var i = 0u; i < 4u; i++) {
    if (column + i < columnCount()) { y[row * columnCount() + column + i] = rounded(x[i]); }
  }
}
// --- end of parameters

const BLOCK = 64u;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = (group.x + group.y * groups.x) * 64u + lane;
  let across = (columnCount() + 3u) / 4u;
  let down = (rowCount() + 3u) / 4u;
  if (tile >= across * down) { return; }
  let row = tile / across * 4u;
  let column = tile % across * 4u;
  let rows = min(vec4u(row) + vec4u(0u, 1u, 2u, 3u), vec4u(rowCount() - 1u));
  let columns = min(vec4u(column) + vec4u(0u, 1u, 2u, 3u), vec4u(columnCount() - 1u));
  let a0 = colA(rows.x); let a1 = colA(rows.y); let a2 = colA(rows.z); let a3 = colA(rows.w);
  let b0 = colB(columns.x); let b1 = colB(columns.y); let b2 = colB(columns.z); let b3 = colB(columns.w);

  var s0 = vec4f(); var s1 = vec4f(); var s2 = vec4f(); var s3 = vec4f();
  for (var begin = 0u; begin < depth(); begin += BLOCK) {
    let end = min(begin + BLOCK, depth());
    var p0 = vec4f(); var p1 = vec4f(); var p2 = vec4f(); var p3 = vec4f();
    for (var n = begin; n < end; n++) {
      let ra = rowA(n);
      let rb = rowB(n);
      let v = vec4f(valueB(rb, b0, columns.x), valueB(rb, b1, columns.y), valueB(rb, b2, columns.z), valueB(rb, b3, columns.w));
      p0 = fma(vec4f(valueA(ra, a0, rows.x)), v, p0);
      p1 = fma(vec4f(valueA(ra, a1, rows.y)), v, p1);
      p2 = fma(vec4f(valueA(ra, a2, rows.z)), v, p2);
      p3 = fma(vec4f(valueA(ra, a3, rows.w)), v, p3);
    }
    s0 += p0; s1 += p1; s2 += p2; s3 += p3;
  }
  finish(row, column, s0);
  if (row + 1u < rowCount()) { finish(row + 1u, column, s1); }
  if (row + 2u < rowCount()) { finish(row + 2u, column, s2); }
  if (row + 3u < rowCount()) { finish(row + 3u, column, s3); }
}
