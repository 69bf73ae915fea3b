// y[b, o, t, c] = x[b, o, t, c] if t is below the count of sequence b, else `fill`.
// Method: values move as 32-bit words; `fill` is a bit pattern.
// Grid: one invocation for each element of y.

// --- parameters
struct Sizes { batch: u32, outer: u32, longest: u32, inner: u32, fill: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read> starts: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;
fn batch() -> u32 { return sizes.batch; }
fn outer() -> u32 { return sizes.outer; }
fn longest() -> u32 { return sizes.longest; }
fn inner() -> u32 { return sizes.inner; }
fn fill() -> u32 { return sizes.fill; }
// --- end of parameters

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * 64u + lane;
  if (i >= batch() * outer() * longest() * inner()) { return; }
  let t = (i / inner()) % longest();
  let b = i / (inner() * longest() * outer());
  y[i] = select(fill(), x[i], t < starts[b + 1u] - starts[b]);
}
