// y[o, e] = x[o, e] + update[o, j] if index[o, j] = e, and x[o, e] if no index is e.
// Method: each element of the result searches the few indices of its row, so that nothing is cleared or copied before.
// The indices of a row are distinct.
// Grid: one invocation for EACH elements of y.

// --- parameters
struct Sizes { count: u32, among: u32, chosen: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read> update: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
alias Value = f32;
const LANES = 64u;
const EACH = 1u;
/** Elements of y. */
fn count() -> u32 { return sizes.count; }
/** Entries per row of y. */
fn among() -> u32 { return sizes.among; }
/** Indices of a row. */
fn chosen() -> u32 { return sizes.chosen; }
/** Element i of x. A prologue may compute it. */
fn value(i: u32) -> Value { return x[i]; }
fn added(a: Value, b: Value) -> Value { return a + b; }
// --- end of parameters

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.x + group.y * groups.x) * (LANES * EACH);
  let end = min(first + LANES * EACH, count());
  for (var i = first + lane; i < end; i += LANES) {
    let e = i % among();
    let row = (i / among()) * chosen();
    var v = value(i);
    for (var j = row; j < row + chosen(); j++) {
      if (index[j] == e) { v = added(v, update[j]); }
    }
    y[i] = v;
  }
}
