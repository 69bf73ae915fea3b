// y[i] = f(a[…], b[…], …), element by element.
// Method: `value` is generated from the expression of one or several operators. Broadcast inputs are read through their
// index map.
// Grid: one workgroup for each LANES · EACH elements of y; an invocation computes EACH elements.

fn modc_sigmoid(x: f32) -> f32 {
  let e = exp(-abs(x));
  return select(e, 1.0, x >= 0.0) / (1.0 + e);
}
fn modc_silu(x: f32) -> f32 {
  return x * modc_sigmoid(x);
}
struct Sizes { count: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read> x0: array<f32>;
fn count() -> u32 { return sizes.count; }
fn value(i: u32) -> f32 {
  let a0 = x0[i];
  let v0 = modc_silu(a0);
  let v1 = (v0 * a0);
  return v1;
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
