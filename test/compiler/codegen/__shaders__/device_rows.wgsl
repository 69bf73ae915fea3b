// y[i] = f(a[…], b[…], …), element by element.
// Method: `value` is generated from the expression of one or several operators. Broadcast inputs are read through their
// index map.
// Grid: one workgroup for each LANES · EACH elements of y; an invocation computes EACH elements.

struct Sizes { sequences: u32, count: u32, size1: u32, n0: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read> starts_0: array<u32>;
@group(0) @binding(3) var<storage, read> x1: array<u32>;
@group(0) @binding(4) var<storage, read> x0: array<f32>;
fn count() -> u32 { return starts_0[sizes.sequences] * sizes.count; }
fn value(i: u32) -> f32 {
  let i1 = i % sizes.size1;
  let i_1 = i / sizes.size1;
  let a0 = x0[x1[i_1] * sizes.n0 + i1];
  let v0 = exp(a0);
  return v0;
}
const LANES = 64u;
const EACH = 1u;

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.x + group.y * groups.x) * (LANES * EACH);
  // The bound is not a constant, so compilers do not unroll the loop.
  let end = min(first + LANES * EACH, count());
  for (var i = first + lane; i < end; i += LANES) { y[i] = value(i); }
}
