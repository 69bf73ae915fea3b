// y[i, j] = Σ over s of parts[s, i, j]: adds up the parts of a product whose depth was split (split-K), for `finish`.
// Method: each invocation adds four neighbouring columns, in the order of the parts.
// Grid: one invocation for each four columns of each row.

// --- parameters
struct Sizes { rows: u32, columns: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> parts: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
/** Parts into which k was split. */
const PARTS = 4u;
fn rowCount() -> u32 { return sizes.rows; }
/** A multiple of four. */
fn columnCount() -> u32 { return sizes.columns; }
fn rounded(v: f32) -> f32 { return v; }
/** Sums over each row of the result, stored with it; here none. */
alias Sums = f32;
/** Stores four sums of a row, from `column` on. Returns their contribution to `Sums`. */
fn finish(batch: u32, row: u32, column: u32, x: vec4f) -> Sums {
  let at = (batch * rowCount() + row) * columnCount() + column;
  for (var c = column; c < min(column + 4u, columnCount()); c++) { y[at + c - column] = rounded(x[c - column]); }
  return 0.0;
}
// --- end of parameters

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let n = (group.x + group.y * groups.x) * 64u + lane;
  let across = columnCount() / 4u;
  if (n >= rowCount() * across) { return; }
  var sum = parts[n];
  for (var s = 1u; s < PARTS; s++) { sum += parts[s * rowCount() * across + n]; }
  let added = finish(0u, n / across, n % across * 4u, sum);
}
