// y[o] = combine over r of value(base(o) + step(r)), r = 0 … extent − 1: long reductions, or of an extent known only when running.
// Method: 256 invocations share an output; each goes through its elements in blocks of 32, then halves meet halves in a tree.
// Grid: one workgroup for each element of y.

// --- parameters
struct Sizes { outputs: u32, extent: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
alias Value = f32;
/** Element i of x, which may be computed from others. */
fn value(i: u32) -> Value { return x[i]; }
fn outputs() -> u32 { return sizes.outputs; }
fn extent() -> u32 { return sizes.extent; }
fn base(o: u32) -> u32 { return o * sizes.extent; }
fn step(r: u32) -> u32 { return r; }
fn identity() -> Value { return 0.0; }
fn combine(a: Value, b: Value) -> Value { return a + b; }
fn rounded(v: Value) -> Value { return v; }
// --- end of parameters

const LANES = 256u;
var<workgroup> parts: array<Value, LANES>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let o = group.x + group.y * groups.x;
  if (o >= outputs()) { return; }
  let start = base(o);
  var total = identity();
  var r = lane;
  while (r < extent()) {
    var part = identity();
    for (var n = 0u; n < 32u && r < extent(); n++) {
      part = combine(part, value(start + step(r)));
      r += LANES;
    }
    total = combine(total, part);
  }
  parts[lane] = total;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { parts[lane] = combine(parts[lane], parts[lane + half]); }
  }
  if (lane == 0u) { y[o] = rounded(parts[0]); }
}
