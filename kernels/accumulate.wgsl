// total[i] = total[i] + value(i): adds up starts or counts of the parts of a joined axis, one part after the other.
// Method: in place, on integers.
// Grid: one invocation for each entry.

// --- parameters
struct Sizes { count: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> starts: array<u32>;
@group(0) @binding(2) var<storage, read_write> total: array<u32>;
/** Entries. */
fn count() -> u32 { return sizes.count; }
/** Entry i of the part: here a count. */
fn value(i: u32) -> u32 { return starts[i + 1u] - starts[i]; }
// --- end of parameters

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * 64u + lane;
  if (i >= count()) { return; }
  total[i] = total[i] + value(i);
}
