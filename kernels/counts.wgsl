// y[b] = starts[b + 1] − starts[b]: tokens of each sequence.
// Method: as the formula reads.
// Grid: one invocation for each sequence.

// --- parameters
struct Sizes { batch: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> starts: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
fn batch() -> u32 { return sizes.batch; }
// --- end of parameters

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let b = (group.x + group.y * groups.x) * 64u + lane;
  if (b >= batch()) { return; }
  y[b] = starts[b + 1u] - starts[b];
}
