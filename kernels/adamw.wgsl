// g' = factor · g; m ← m + (1 − β1)(g' − m); v ← β2 · v + (1 − β2) g'²; w ← w (1 − rate · decay) − rate / c1 · m / (√v
// / √c2 + ε), c1 = 1 − β1^t, c2 = 1 − β2^t: a step of AdamW.
// Method: as the formula reads, in PyTorch's order of operations. Weights and moments are updated in place. If the
// factor is not finite, nothing changes. Its bits are tested, because WGSL may assume that nothing is NaN.
// Grid: one workgroup for each LANES · EACH weights. An invocation updates EACH weights, so that it reads the settings
// once.

// --- parameters
struct Sizes { count: u32, towards1: f32, beta2: f32, towards2: f32, eps: f32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> g: array<f32>;
@group(0) @binding(2) var<storage, read> settings: array<f32>;
@group(0) @binding(3) var<storage, read_write> w: array<f32>;
@group(0) @binding(4) var<storage, read_write> m: array<f32>;
@group(0) @binding(5) var<storage, read_write> v: array<f32>;
/** Lanes of a workgroup. */
const LANES = 64u;
/** Weights of a lane. */
const EACH = 8u;
/** Weights. */
fn count() -> u32 { return sizes.count; }
/** 1 − β1. */
fn towards1() -> f32 { return sizes.towards1; }
/** β2. */
fn beta2() -> f32 { return sizes.beta2; }
/** 1 − β2. */
fn towards2() -> f32 { return sizes.towards2; }
/** ε. */
fn eps() -> f32 { return sizes.eps; }
/** Element i of g. A prologue may compute it. */
fn value(i: u32) -> f32 { return g[i]; }
/** Setting i: learning rate, decay, 1 − β1^t, 1 − β2^t, factor. */
fn setting(i: u32) -> f32 { return settings[i]; }
// --- end of parameters

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.x + group.y * groups.x) * EACH * LANES;
  let factor = setting(4u);
  if (first >= count() || (bitcast<u32>(factor) & 0x7f800000u) == 0x7f800000u) { return; }
  let keeps = 1.0 - setting(0u) * setting(1u);
  let rate = setting(0u) / setting(2u);
  let root = sqrt(setting(3u));
  let end = min(first + EACH * LANES, count());
  for (var i = first + lane; i < end; i += LANES) {
    let gradient = value(i) * factor;
    let mean = m[i];
    let moved = fma(gradient - mean, towards1(), mean);
    let square = fma(v[i], beta2(), gradient * gradient * towards2());
    m[i] = moved;
    v[i] = square;
    w[i] = w[i] * keeps - rate * moved / (sqrt(square) / root + eps());
  }
}
