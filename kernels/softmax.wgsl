// y[o, r] = exp(x[o, r] − m) / Σ exp(x[o, ·] − m), m = max x[o, ·].
// Method: LANES of a workgroup's INVOCATIONS share a row. Each takes its elements in blocks of 8 with a running m, so
// that m and the sum take one pass. A second pass computes the quotients.
// Grid: one workgroup for each INVOCATIONS / LANES rows. Element r of row o is x[base(o) + r · stride].

// --- parameters
struct Sizes { rows: u32, extent: u32, stride: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
/** Invocations of a workgroup. */
const INVOCATIONS = 64u;
/** Invocations that share a row. */
const LANES = 64u;
/** Element i of x. A prologue may compute it. */
fn value(i: u32) -> f32 { return x[i]; }
fn rowCount() -> u32 { return sizes.rows; }
fn extent() -> u32 { return sizes.extent; }
fn stride() -> u32 { return sizes.stride; }
/** The index of a row's first element. */
fn base(o: u32) -> u32 { return (o / sizes.stride) * sizes.stride * sizes.extent + o % sizes.stride; }
fn rounded(v: f32) -> f32 { return v; }
// --- end of parameters

/** Elements that a lane takes at once. */
const BLOCK = 8u;
/** The maximum before the first element. */
const LOWEST = -3.4028234e38;
/** Each lane's maximum m so far, and Σ exp(x − m). */
var<workgroup> parts: array<vec2f, INVOCATIONS>;

/** Combines two pairs of m and Σ exp(x − m). */
fn merged(a: vec2f, b: vec2f) -> vec2f {
  let m = max(a.x, b.x);
  return vec2f(m, a.y * exp(a.x - m) + b.y * exp(b.x - m));
}

@compute @workgroup_size(INVOCATIONS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) invocation: u32,
) {
  let first = (group.x + group.y * groups.x) * (INVOCATIONS / LANES);
  if (first >= rowCount()) { return; }
  let o = first + invocation / LANES;
  let lane = invocation % LANES;
  let start = base(min(o, rowCount() - 1u));

  var m = LOWEST;
  var sum = 0.0;
  var r = lane;
  for (; r + (BLOCK - 1u) * LANES < extent(); r += BLOCK * LANES) {
    var block: array<f32, BLOCK>;
    var high = m;
    for (var i = 0u; i < BLOCK; i++) {
      block[i] = value(start + (r + i * LANES) * stride());
      high = max(high, block[i]);
    }
    var part = 0.0;
    for (var i = 0u; i < BLOCK; i++) { part += exp(block[i] - high); }
    sum = fma(sum, exp(m - high), part);
    m = high;
  }
  for (; r < extent(); r += LANES) {
    let v = value(start + r * stride());
    let high = max(m, v);
    sum = fma(sum, exp(m - high), exp(v - high));
    m = high;
  }
  parts[invocation] = vec2f(m, sum);
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { parts[invocation] = merged(parts[invocation], parts[invocation + half]); }
  }
  workgroupBarrier();
  if (o >= rowCount()) { return; }
  let all = parts[invocation - lane];
  for (var c = lane; c < extent(); c += LANES) {
    let at = start + c * stride();
    y[at] = rounded(exp(value(at) - all.x) / all.y);
  }
}
