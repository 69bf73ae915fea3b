// y[i] = f(a[…], b[…], …), element by element.
// Method: `value` is generated from the expression of one or several operators. Broadcast inputs are read through their
// index map.
// Grid: one workgroup for each LANES · EACH elements of y; an invocation computes EACH elements.

fn modc_f16(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  let sign = bits & 0x80000000u;
  let a = bits & 0x7fffffffu;
  if (a >= 0x477ff000u) {
    return bitcast<f32>(sign | select(0x7f800000u, a, a > 0x7f800000u));
  }
  if (a < 0x38800000u) {
    let steps = round(bitcast<f32>(a) * 16777216.0);
    return bitcast<f32>(sign | bitcast<u32>(steps * 5.9604644775390625e-8));
  }
  return bitcast<f32>(sign | ((a + 0x00000fffu + ((a >> 13u) & 1u)) & 0xffffe000u));
}
fn modc_nan(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}
fn modc_lt(a: f32, b: f32) -> bool {
  return a < b && !modc_nan(a) && !modc_nan(b);
}
struct Sizes { count: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<storage, read> x0: array<f32>;
fn count() -> u32 { return sizes.count; }
fn value(i: u32) -> u32 {
  let a0 = x0[i];
  let v0 = modc_f16(a0);
  let v1 = modc_lt(v0, v0);
  let v2 = (!v1);
  return u32(v2);
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
