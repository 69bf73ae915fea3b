// y[b, o, t, c] = x[o, starts[b] + t, c] if t is below the count of sequence b, else 0: from packed rows to one row of
// y for each sequence.
// Method: values move as 32-bit words.
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

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * 64u + lane;
  if (i >= batch() * outer() * longest() * inner()) { return; }
  let c = i % inner();
  let t = (i / inner()) % longest();
  let o = (i / (inner() * longest())) % outer();
  let b = i / (inner() * longest() * outer());
  var v = 0u;
  if (t < starts[b + 1u] - starts[b]) { v = x[(o * starts[batch()] + starts[b] + t) * inner() + c]; }
  y[i] = v;
}
