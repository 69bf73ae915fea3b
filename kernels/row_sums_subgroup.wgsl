// One to four sums over each row at once: Σ over k of valueX(row, k), k = 0 … depth − 1. x is read once.
// Method: a workgroup is one subgroup. Its lanes share ROWS rows, neighbours along k, so that data of a column are
// loaded once for all of these rows. A lane sums its columns in blocks of 32, and a subgroup operation adds up the
// lanes.
// Grid: one workgroup for each ROWS rows.
enable subgroups;

// --- parameters
struct Sizes { rows: u32, depth: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read_write> y0: array<f32>;
@group(0) @binding(4) var<storage, read_write> y1: array<f32>;
/** Lanes of a subgroup. */
const WIDTH = 8u;
/** Rows of a workgroup. */
const ROWS = 4u;
fn rowCount() -> u32 { return sizes.rows; }
fn depth() -> u32 { return sizes.depth; }
/** Data of a row: its first element's index. */
struct RowX { at: u32 }
fn rowX(row: u32) -> RowX { return RowX(row * depth()); }
/** Column k's data for all rows: its weight. */
struct ColX { weight: f32 }
fn colX(k: u32) -> ColX { return ColX(w[k]); }
/** The sums over a row: here a score and the sum of squares. */
alias Sums = vec2f;
/** The summands of column k of a row, one for each sum. */
fn valueX(r: RowX, c: ColX, k: u32) -> Sums {
  let v = x[r.at + k];
  return vec2f(v * c.weight, v * v);
}
/** Stores the sums over a row. */
fn keep(row: u32, s: Sums) {
  y0[row] = s.x;
  y1[row] = s.y;
}
// --- end of parameters

@compute @workgroup_size(WIDTH)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.x + group.y * groups.x) * ROWS;
  if (first >= rowCount()) { return; }
  var rows: array<RowX, ROWS>;
  var total: array<Sums, ROWS>;
  for (var i = 0u; i < ROWS; i++) {
    rows[i] = rowX(min(first + i, rowCount() - 1u));
    total[i] = Sums();
  }
  for (var start = lane; start < depth(); start += 32u * WIDTH) {
    let end = min(start + 32u * WIDTH, depth());
    var part: array<Sums, ROWS>;
    for (var i = 0u; i < ROWS; i++) { part[i] = Sums(); }
    for (var k = start; k < end; k += WIDTH) {
      let c = colX(k);
      for (var i = 0u; i < ROWS; i++) { part[i] += valueX(rows[i], c, k); }
    }
    for (var i = 0u; i < ROWS; i++) { total[i] += part[i]; }
  }
  for (var i = 0u; i < ROWS; i++) {
    let sum = subgroupAdd(total[i]);
    if (lane == 0u && first + i < rowCount()) { keep(first + i, sum); }
  }
}
