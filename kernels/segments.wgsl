// y[n] = the sequence of packed row n, or the row's index in that sequence.
// Method: binary search finds the last sequence that starts at or before n. An empty sequence has the same start as the
// next one, and the last of them is found.
// Grid: one invocation for each packed row.

// --- parameters
struct Sizes { batch: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> starts: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
fn batch() -> u32 { return sizes.batch; }
/** The result for packed row n of a sequence. */
fn value(n: u32, sequence: u32) -> u32 { return n - starts[sequence]; }
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
  y[n] = value(n, sequenceOf(n));
}
