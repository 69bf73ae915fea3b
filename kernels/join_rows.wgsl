// index[n] = ahead[b] + n − starts[b], b the sequence of packed row n: the joined axis's row for each row of a part.
// Method: `ahead` holds, for each sequence, the joined row at which this part begins. Binary search finds the sequence.
// Grid: one invocation for each row of the part.

// --- parameters
struct Sizes { batch: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> starts: array<u32>;
@group(0) @binding(2) var<storage, read> ahead: array<u32>;
@group(0) @binding(3) var<storage, read_write> index: array<u32>;
/** Sequences. */
fn batch() -> u32 { return sizes.batch; }
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
  let b = sequenceOf(n);
  index[n] = ahead[b] + n - starts[b];
}
