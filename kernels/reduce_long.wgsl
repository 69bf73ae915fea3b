// y[o] = combine over r of value(base(o) + step(r)), r = 0 … extent − 1, for long reductions, or if the extent is known
// only at run time.
// Method: LANES invocations share ACROSS outputs: one; or neighbours, if outputs are contiguous and the elements of an
// output are not. Each combines its elements in blocks of 32, and 32 blocks in a larger one, so that rounding does not
// grow with their number. Then a tree reduction over the invocations of an output.
// Grid: one workgroup for each ACROSS elements of y.

// --- parameters
struct Sizes { outputs: u32, extent: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
const LANES = 256u;
/** Outputs of a workgroup. */
const ACROSS = 1u;
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

/** Each invocation's result. */
var<workgroup> parts: array<Value, LANES>;

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.x + group.y * groups.x) * ACROSS;
  if (first >= outputs()) { return; }
  let o = first + lane % ACROSS;
  let start = base(min(o, outputs() - 1u));
  var total = identity();
  var r = lane / ACROSS;
  while (r < extent()) {
    var blocks = identity();
    for (var m = 0u; m < 32u && r < extent(); m++) {
      var part = identity();
      for (var n = 0u; n < 32u && r < extent(); n++) {
        part = combine(part, value(start + step(r)));
        r += LANES / ACROSS;
      }
      blocks = combine(blocks, part);
    }
    total = combine(total, blocks);
  }
  parts[lane] = total;
  for (var half = LANES / 2u; half >= ACROSS; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { parts[lane] = combine(parts[lane], parts[lane + half]); }
  }
  if (lane < ACROSS && o < outputs()) { y[o] = rounded(parts[lane]); }
}
