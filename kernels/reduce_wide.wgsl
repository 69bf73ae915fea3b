// y[o] = combine over r of value(base(o) + step(r)), r = 0 … extent − 1: long reductions on GPUs.
// Method: 256 invocations share ACROSS outputs: one, or neighbours where these are side by side and the elements of one
// are not. Each has AT_ONCE elements in flight, and goes through its elements in blocks of 32, and 32 of those, so that
// rounding does not grow with their number; then halves meet halves in a tree.
// Grid: one workgroup for each ACROSS elements of y.

// --- parameters
struct Sizes { outputs: u32, extent: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
const ACROSS = 1u;
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

const LANES = 256u;
/** Invocations that share an output. */
const SHARING = LANES / ACROSS;
const AT_ONCE = 8u;
const BLOCK = 32u * SHARING;
var<workgroup> parts: array<Value, LANES>;

/** The elements of a lane from `first` on, before `end`. */
fn block(start: u32, first: u32, end: u32) -> Value {
  var part = identity();
  for (var r = first; r < end; r += AT_ONCE * SHARING) {
    var values: array<Value, AT_ONCE>;
    for (var i = 0u; i < AT_ONCE; i++) {
      let at = r + i * SHARING;
      values[i] = select(identity(), value(start + step(min(at, end - 1u))), at < end);
    }
    for (var i = 0u; i < AT_ONCE; i++) { part = combine(part, values[i]); }
  }
  return part;
}

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
  for (var far = lane / ACROSS; far < extent(); far += 32u * BLOCK) {
    let end = min(far + 32u * BLOCK, extent());
    var blocks = identity();
    for (var r = far; r < end; r += BLOCK) { blocks = combine(blocks, block(start, r, min(r + BLOCK, end))); }
    total = combine(total, blocks);
  }
  parts[lane] = total;
  for (var half = LANES / 2u; half >= ACROSS; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { parts[lane] = combine(parts[lane], parts[lane + half]); }
  }
  if (lane < ACROSS && o < outputs()) { y[o] = rounded(parts[lane]); }
}
