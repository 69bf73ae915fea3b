// g' = factor · g; m ← m + (1 − β1)(g' − m); v ← β2 · v + (1 − β2) g'²; w ← w (1 − rate · decay) − rate / c1 · m / (√v / √c2 + ε): a step of AdamW.
// Method: as the formula reads, which is PyTorch's order; weights and moments stay where they are, and as they are where the factor is not finite (told by its bits: WGSL may assume that nothing is NaN).
// Grid: one invocation for each weight.

// --- parameters
struct Sizes { count: u32, towards1: f32, beta2: f32, towards2: f32, eps: f32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> g: array<f32>;
@group(0) @binding(2) var<storage, read> settings: array<f32>;
@group(0) @binding(3) var<storage, read_write> w: array<f32>;
@group(0) @binding(4) var<storage, read_write> m: array<f32>;
@group(0) @binding(5) var<storage, read_write> v: array<f32>;
fn count() -> u32 { return sizes.count; }
/** 1 − β1, β2, 1 − β2, ε. */
fn towards1() -> f32 { return sizes.towards1; }
fn beta2() -> f32 { return sizes.beta2; }
fn towards2() -> f32 { return sizes.towards2; }
fn eps() -> f32 { return sizes.eps; }
/** Element i of g, which may be computed from others. */
fn value(i: u32) -> f32 { return g[i]; }
/** Learning rate, decay, 1 − β1^t, 1 − β2^t, factor on g. */
fn setting(i: u32) -> f32 { return settings[i]; }
// --- end of parameters

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.x + group.y * groups.x) * 64u + lane;
  if (i >= count() || (bitcast<u32>(setting(4u)) & 0x7f800000u) == 0x7f800000u) { return; }
  let gradient = value(i) * setting(4u);
  let first = fma(gradient - m[i], towards1(), m[i]);
  let second = fma(v[i], beta2(), gradient * gradient * towards2());
  m[i] = first;
  v[i] = second;
  let size = sqrt(second) / sqrt(setting(3u)) + eps();
  w[i] = w[i] * (1.0 - setting(0u) * setting(1u)) - setting(0u) / setting(2u) * first / size;
}
