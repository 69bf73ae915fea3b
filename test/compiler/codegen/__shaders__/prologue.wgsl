// y[o] = combine over r of value(base(o) + step(r)), r = 0 … extent − 1, for short reductions.
// Method: an invocation takes elements in blocks of 32, so rounding grows with the number of blocks, not with the
// number of elements.
// Grid: one invocation for each element of y.

struct Sizes { size1: u32, n0: u32, outputs: u32, extent: u32, base_stride0: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x0: array<f32>;
@group(0) @binding(2) var<storage, read> x1: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
fn value(i: u32) -> f32 {
  let i1 = i % sizes.size1;
  let i_1 = i / sizes.size1;
  let a0 = x0[i_1 * sizes.n0 + i1];
  let a1 = x1[i_1];
  let v0 = (a0 - a1);
  let v1 = (v0 * v0);
  return v1;
}
alias Value = f32;
fn outputs() -> u32 { return sizes.outputs; }
fn extent() -> u32 { return sizes.extent; }
fn base(i: u32) -> u32 { return i * sizes.base_stride0; }
fn step(i: u32) -> u32 { return i; }
fn identity() -> Value { return f32(0); }
fn combine(a: Value, b: Value) -> Value { return a + b; }
fn rounded(v: Value) -> Value { return v; }

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let o = (group.x + group.y * groups.x) * 64u + lane;
  if (o >= outputs()) { return; }
  let start = base(o);
  var total = identity();
  for (var begin = 0u; begin < extent(); begin += 32u) {
    let end = min(begin + 32u, extent());
    var part = identity();
    for (var r = begin; r < end; r++) { part = combine(part, value(start + step(r))); }
    total = combine(total, part);
  }
  y[o] = rounded(total);
}
