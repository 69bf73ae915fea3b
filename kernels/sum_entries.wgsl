// sum[n, c] = x[n, c] + Σ over j of y[place[n, j], c]: the results of a row's entries, added to the row. A place may be
// a gap, which is left out, or an end, at which the sum stops.
// Method: as the formula reads, in the order of j.
// Grid: one invocation for EACH elements of the sum.

// --- parameters
struct Sizes { rows: u32, each: u32, width: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read> place: array<u32>;
@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read_write> sum: array<f32>;
const LANES = 64u;
const EACH = 1u;
fn rowCount() -> u32 { return sizes.rows; }
/** Entries of a row. */
fn each() -> u32 { return sizes.each; }
fn width() -> u32 { return sizes.width; }
/** Whether the sum ends at a place. */
fn isEnd(at: u32) -> bool { return false; }
/** Whether a place is left out. */
fn isGap(at: u32) -> bool { return false; }
/** Element i of y. */
fn valueAt(i: u32) -> f32 { return y[i]; }
/** The element that the sum is added to. */
fn baseAt(i: u32) -> f32 { return x[i]; }
fn rounded(v: f32) -> f32 { return v; }
// --- end of parameters

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.x + group.y * groups.x) * (LANES * EACH);
  let end = min(first + LANES * EACH, rowCount() * width());
  for (var i = first + lane; i < end; i += LANES) {
    let row = i / width();
    var total = 0.0;
    for (var j = 0u; j < each(); j++) {
      let at = place[row * each() + j];
      if (isEnd(at)) { break; }
      if (!isGap(at)) { total += valueAt(at * width() + i % width()); }
    }
    sum[i] = rounded(baseAt(i) + total);
  }
}
