// g' = factor · g + decay · w; m ← μ · m + g'; w ← w − rate · m, or with Nesterov's momentum − rate · (g' + μ · m): a
// step of gradient descent.
// Method: as the formula reads, which is PyTorch's order; weights and moments stay where they are, and as they are
// where the factor is not finite (told by its bits: WGSL may assume that nothing is NaN).
// Grid: one workgroup for each LANES · EACH weights, EACH to an invocation, which share what they read of the settings.

// --- parameters
struct Sizes { count: u32, momentum: f32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> g: array<f32>;
@group(0) @binding(2) var<storage, read> settings: array<f32>;
@group(0) @binding(3) var<storage, read_write> w: array<f32>;
@group(0) @binding(4) var<storage, read_write> m: array<f32>;
const LANES = 64u;
const EACH = 8u;
fn count() -> u32 { return sizes.count; }
fn momentum() -> f32 { return sizes.momentum; }
/** Element i of g, which a prologue may compute. */
fn value(i: u32) -> f32 { return g[i]; }
/** Learning rate, decay, factor on g. */
fn setting(i: u32) -> f32 { return settings[i]; }
/** What a weight moves along, from its gradient and its moment. */
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
