// One to four sums over each row at once: Σ over k of valueX(row, k), k = 0 … depth − 1. x is read once.
// Method: for GPUs. LANES invocations share a row, neighbours along k. Each has AT_ONCE values in flight, and sums its
// columns in blocks of 32. The lanes are added up in two steps: first every MEETING-th, then MEETING of these sums.
// Grid: one workgroup for each INVOCATIONS / LANES rows.

// --- parameters
struct Sizes { rows: u32, depth: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read_write> y0: array<f32>;
@group(0) @binding(4) var<storage, read_write> y1: array<f32>;
/** Invocations that share a row: at least 16. */
const LANES = 64u;
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

/** Invocations of a workgroup. */
const INVOCATIONS = 256u;
/** Values that a lane has in flight. */
const AT_ONCE = 8u;
/** Values that a lane adds up in a block. */
const BLOCK = 32u;
/** Lanes of a row that first add up the sums of other lanes, every MEETING-th. */
const MEETING = 16u;
/** The sums of each invocation. */
var<workgroup> parts: array<Sums, INVOCATIONS>;

@compute @workgroup_size(INVOCATIONS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) invocation: u32,
) {
  let begin = (group.x + group.y * groups.x) * (INVOCATIONS / LANES);
  if (begin >= rowCount()) { return; }
  let lane = invocation % LANES;
  let row = begin + invocation / LANES;
  let x = rowX(min(row, rowCount() - 1u));
  var total = Sums();
  for (var start = lane; start < depth(); start += BLOCK * LANES) {
    let end = min(start + BLOCK * LANES, depth());
    var part = Sums();
    var k = start;
    for (; k + (AT_ONCE - 1u) * LANES < end; k += AT_ONCE * LANES) {
      var values: array<Sums, AT_ONCE>;
      for (var i = 0u; i < AT_ONCE; i++) { values[i] = valueX(x, colX(k + i * LANES), k + i * LANES); }
      for (var i = 0u; i < AT_ONCE; i++) { part += values[i]; }
    }
    for (; k < end; k += LANES) { part += valueX(x, colX(k), k); }
    total += part;
  }
  parts[invocation] = total;
  workgroupBarrier();
  if (lane < MEETING) {
    var sum = Sums();
    for (var i = 0u; i < LANES; i += MEETING) { sum += parts[invocation + i]; }
    parts[invocation] = sum;
  }
  workgroupBarrier();
  if (lane > 0u || row >= rowCount()) { return; }
  var sum = Sums();
  for (var i = 0u; i < MEETING; i++) { sum += parts[invocation + i]; }
  keep(row, sum);
}
