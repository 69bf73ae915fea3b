// index[n] = the row `distance()` before packed row n, or behind it, around within its sequence; exists[n] = whether
// the sequence has that row.
// Method: binary search finds the last sequence that starts at or before n, as in segments.wgsl.
// Grid: one invocation for each packed row.

// --- parameters
struct Sizes { batch: u32, distance: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> starts: array<u32>;
@group(0) @binding(2) var<storage, read_write> index: array<u32>;
@group(0) @binding(3) var<storage, read_write> exists: array<u32>;
fn batch() -> u32 { return sizes.batch; }
/** Rows between a row and the row that it reads. */
fn distance() -> u32 { return sizes.distance; }
/** 1: the row before; 0: the row behind. */
const BACK = 1u;
// --- end of parameters

/** The sequence of a packed row, by binary search. */
fn sequenceOf(n: u32) -> u32 {
  var low = 0u;
  var high = batch();
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (starts[middle] <= n) { low = middle; } else { high = middle; }
  }
  return low;
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let n = (group.x + group.y * groups.x) * 64u + lane;
  if (n >= starts[batch()]) { return; }
  let sequence = sequenceOf(n);
  let first = starts[sequence];
  let count = starts[sequence + 1u] - first;
  let steps = distance() % count;
  let ahead = select(steps, count - steps, BACK == 1u);
  index[n] = first + (n - first + ahead) % count;
  exists[n] = u32(select(distance() < count - (n - first), distance() <= n - first, BACK == 1u));
}
