// y[o] = combine over r of value(base(o) + step(r)), r = 0 … extent − 1, for short reductions.
// Method: an invocation takes elements in blocks of 32, so rounding grows with the number of blocks, not with the
// number of elements.
// Grid: one invocation for each element of y.

// --- parameters
struct Sizes { outputs: u32, extent: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
/** The type of elements. */
alias Value = f32;
/** Element i of x. A prologue may compute it. */
fn value(i: u32) -> Value { return x[i]; }
/** Elements of y. */
fn outputs() -> u32 { return sizes.outputs; }
/** Elements of x for each element of y. */
fn extent() -> u32 { return sizes.extent; }
/** The index in x of output o's first element. */
fn base(o: u32) -> u32 { return o * sizes.extent; }
/** The distance from an output's first element to its r-th. */
fn step(r: u32) -> u32 { return r; }
/** The identity of `combine`. */
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
