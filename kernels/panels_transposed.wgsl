// y = the matrices of x, stored column by column (`width` columns), rearranged into panels of COLUMNS columns
// (`PanelLayout`).
// Method: an invocation transposes a square of four columns and four k: it reads four vectors and writes four.
// Grid: one invocation for each EACH squares, across the columns first, so that neighbours write neighbouring vectors.

// --- parameters
struct Sizes { matrices: u32, depth: u32, width: u32, first: u32, panels: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
/** Columns of a panel. */
const COLUMNS = 32u;
const LANES = 64u;
const EACH = 1u;
/** Matrices of x. */
fn matrixCount() -> u32 { return sizes.matrices; }
/** Values of k in a matrix; a multiple of four. */
fn depth() -> u32 { return sizes.depth; }
/** Columns of x; a multiple of four. */
fn width() -> u32 { return sizes.width; }
/** The first place of x's columns in y; a multiple of four. */
fn first() -> u32 { return sizes.first; }
/** Panels per matrix of y. */
fn panelCount() -> u32 { return sizes.panels; }
/** The column of x at a place. */
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
    let transposed = transpose(mat4x4f(
      x[start + columnAt(place) * down],
      x[start + columnAt(place + 1u) * down],
      x[start + columnAt(place + 2u) * down],
      x[start + columnAt(place + 3u) * down],
    ));
    let at = first() + place;
    let to = ((matrix * panelCount() + at / COLUMNS) * depth() + 4u * k) * (COLUMNS / 4u) + at % COLUMNS / 4u;
    for (var i = 0u; i < 4u; i++) { y[to + i * (COLUMNS / 4u)] = transposed[i]; }
  }
}
