// g' = factor · g + decay · w; m ← μ · m + g'; w ← w − rate · m, or with Nesterov's momentum − rate · (g' + μ · m): a
// step of gradient descent.
// Method: as the formula reads, in PyTorch's order of operations. Weights and moments are updated in place. If the
// factor is not finite, nothing changes. Its bits are tested, because WGSL may assume that nothing is NaN.
// Grid: one workgroup for each LANES · EACH weights. An invocation updates EACH weights, so that it reads the settings
// once.

// --- parameters
struct Sizes { count: u32, momentum: f32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> g: array<f32>;
@group(0) @binding(2) var<storage, read> settings: array<f32>;
@group(0) @binding(3) var<storage, read_write> w: array<f32>;
@group(0) @binding(4) var<storage, read_write> m: array<f32>;
/** Lanes of a workgroup. */
const LANES = 64u;
/** Weights of a lane. */
const EACH = 8u;
/** Weights. */
fn count() -> u32 { return sizes.count; }
/** μ. */
fn momentum() -> f32 { return sizes.momentum; }
/** Element i of g. A prologue may compute it. */
fn value(i: u32) -> f32 { return g[i]; }
/** Setting i: learning rate, decay, factor. */
fn setting(i: u32) -> f32 { return settings[i]; }
/** The direction of a step, from gradient g' and moment m: the weight changes by −rate times it. */
fn direction(gradient: f32, moment: f32) -> f32 { return moment; }
// --- end of parameters

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.x + group.y * groups.x) * EACH * LANES;
  let factor = setting(2u);
  if (first >= count() || (bitcast<u32>(factor) & 0x7f800000u) == 0x7f800000u) { return; }
  let rate = setting(0u);
  let decay = setting(1u);
  let end = min(first + EACH * LANES, count());
  for (var i = first + lane; i < end; i += LANES) {
    let weight = w[i];
    let gradient = fma(value(i), factor, decay * weight);
    let moment = fma(momentum(), m[i], gradient);
    m[i] = moment;
    w[i] = fma(-rate, direction(gradient, moment), weight);
  }
}
