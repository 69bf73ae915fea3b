// y[o] = combine over r of value(base(o) + step(r)), r = 0 … extent − 1: short reductions.
// Method: an invocation goes through its elements in blocks of 32, so that rounding grows with the number of blocks,
// not of elements.
// Grid: one invocation for each element of y.

// --- parameters
struct Sizes { outputs: u32, extent: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
alias Value = f32;
/** Element i of x, which a prologue may compute. */
fn value(i: u32) -> Value { return x[i]; }
fn outputs() -> u32 { return sizes.outputs; }
fn extent() -> u32 { return sizes.extent; }
fn base(o: u32) -> u32 { return o * sizes.extent; }
fn step(r: u32) -> u32 { return r; }
fn identity() -> Value { return 0.0; }
fn combine(a: Value, b: Value) -> Value { return a + b; }
fn rounded(v: Value) -> Value { return v; }
// --- end of parameters

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
