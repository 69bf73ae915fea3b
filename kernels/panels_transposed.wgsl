// y = the matrices of x, each of `width` columns that lie one after the other, in panels of so many columns
// (`PanelLayout`).
// Method: an invocation turns a square of four columns and four k: four vectors are read, and four written.
// Grid: one invocation for EACH squares, along the columns first, so that neighbours write side by side.

// --- parameters
struct Sizes { matrices: u32, depth: u32, width: u32, first: u32, panels: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
/** Columns of a panel. */
const COLUMNS = 32u;
const LANES = 64u;
const EACH = 1u;
fn matrixCount() -> u32 { return sizes.matrices; }
fn depth() -> u32 { return sizes.depth; }
/** Columns of x, the first place they take in y, and panels of a matrix of y; all multiples of four. */
fn width() -> u32 { return sizes.width; }
fn first() -> u32 { return sizes.first; }
fn panelCount() -> u32 { return sizes.panels; }
/** The column that stands at a place. */
fn columnAt(place: u32) -> u32 { return place; }
// --- end of parameters

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let begin = (group.x + group.y * groups.x) * (LANES * EACH);
  let across = width() / 4u;
  let down = depth() / 4u;
  let end = min(begin + LANES * EACH, matrixCount() * across * down);
  for (var square = begin + lane; square < end; square += LANES) {
    let matrix = square / (across * down);
    let place = square % across * 4u;
    let k = square / across % down;
    let start = matrix * width() * down + k;
    let turned = transpose(mat4x4f(
      x[start + columnAt(place) * down],
      x[start + columnAt(place + 1u) * down],
      x[start + columnAt(place + 2u) * down],
      x[start + columnAt(place + 3u) * down],
    ));
    let at = first() + place;
    let to = ((matrix * panelCount() + at / COLUMNS) * depth() + 4u * k) * (COLUMNS / 4u) + at % COLUMNS / 4u;
    for (var i = 0u; i < 4u; i++) { y[to + i * (COLUMNS / 4u)] = turned[i]; }
  }
}
