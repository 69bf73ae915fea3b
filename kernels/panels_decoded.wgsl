// y = a weight stored in blocks, x, decoded and rearranged into panels of columns (`PanelLayout`).
// Method: RUN values that are neighbours in the weight move together, from any layout to any layout.
// Grid: one invocation for EACH runs.

// --- parameters
struct Sizes { runs: u32, depth: u32, width: u32, panels: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
const LANES = 64u;
const EACH = 1u;
/** Runs of the weight. */
fn runCount() -> u32 { return sizes.runs; }
/** Values of a run. */
const RUN = 1u;
/** The distance in x from one value of a run to the next. */
const STEP_X = 1u;
/** The distance in y from one value of a run to the next. */
const STEP_Y = 1u;
/** The place of element i in x. */
fn placeX(i: u32) -> u32 { return i; }
/** The index of element i in y. */
fn placeY(i: u32) -> u32 {
  let entry = i % (sizes.depth * sizes.width);
  let matrix = i / (sizes.depth * sizes.width);
  let column = entry % sizes.width;
  return ((matrix * sizes.panels + column / 32u) * sizes.depth + entry / sizes.width) * 32u + column % 32u;
}
/** The value at a place of x: here bfloat16, two in a word. */
fn valueX(at: u32) -> f32 { return bitcast<f32>((x[at / 2u] >> (at % 2u * 16u)) << 16u); }
// --- end of parameters

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let begin = (group.x + group.y * groups.x) * (LANES * EACH);
  let end = min(begin + LANES * EACH, runCount());
  for (var i = begin + lane; i < end; i += LANES) {
    let own = placeX(i * RUN);
    let to = placeY(i * RUN);
    for (var r = 0u; r < RUN; r++) { y[to + r * STEP_Y] = valueX(own + r * STEP_X); }
  }
}
