// y[o, n, c] = x[b, o, n − starts[b], c] with b the sequence of packed row n: the inverse of unpack.
// Method: binary search finds the sequence. Values move as 32-bit words.
// Grid: one invocation for each element of y.

// --- parameters
struct Sizes { batch: u32, outer: u32, longest: u32, inner: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read> starts: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;
fn batch() -> u32 { return sizes.batch; }
fn outer() -> u32 { return sizes.outer; }
fn longest() -> u32 { return sizes.longest; }
fn inner() -> u32 { return sizes.inner; }
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
  let i = (group.x + group.y * groups.x) * 64u + lane;
  let rows = starts[batch()];
  if (i >= outer() * rows * inner()) { return; }
  let c = i % inner();
  let n = (i / inner()) % rows;
  let o = i / (inner() * rows);
  let b = sequenceOf(n);
  y[i] = x[((b * outer() + o) * longest() + n - starts[b]) * inner() + c];
}
