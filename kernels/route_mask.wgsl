// y[index[m]] = 1: marks the rows of a route. All of y is 0 before.
// Method: as the formula reads.
// Grid: one invocation for each row of the route.

// --- parameters
struct Sizes { rows: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
fn rowCount() -> u32 { return sizes.rows; }
// --- end of parameters

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let m = (group.x + group.y * groups.x) * 64u + lane;
  if (m >= rowCount()) { return; }
  y[index[m]] = 1u;
}
