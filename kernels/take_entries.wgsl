// y[o, j] = x[o, index[o, j]]; 0 if the index is not an entry.
// Method: values move as 32-bit words.
// Grid: one invocation for EACH elements of y.

// --- parameters
struct Sizes { count: u32, among: u32, chosen: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read> index: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;
const LANES = 64u;
const EACH = 1u;
/** Elements of y. */
fn count() -> u32 { return sizes.count; }
/** Entries per row of x. */
fn among() -> u32 { return sizes.among; }
/** Indices of a row. */
fn chosen() -> u32 { return sizes.chosen; }
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
    let e = index[i];
    var v = 0u;
    if (e < among()) { v = x[(i / chosen()) * among() + e]; }
    y[i] = v;
  }
}
