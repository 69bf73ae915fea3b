// y = the matrices of x, rearranged into panels of COLUMNS columns (`PanelLayout`): for each k, the values of the
// panel's columns.
// Method: values move one by one, from any layout of x and any width.
// Grid: one invocation for EACH elements of x.

// --- parameters
struct Sizes { matrices: u32, depth: u32, width: u32, first: u32, panels: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
/** Columns of a panel. */
const COLUMNS = 32u;
const LANES = 64u;
const EACH = 1u;
/** Matrices of x. */
fn matrixCount() -> u32 { return sizes.matrices; }
/** Values of k in a matrix. */
fn depth() -> u32 { return sizes.depth; }
/** Columns of x. */
fn width() -> u32 { return sizes.width; }
/** The number that x's first column has in y. */
fn first() -> u32 { return sizes.first; }
/** Panels per matrix of y. */
fn panelCount() -> u32 { return sizes.panels; }
/** k and column of element i of a matrix of x. */
fn entryOf(i: u32) -> vec2u { return vec2u(i % depth(), i / depth()); }
/** The place of a column among all columns of y. */
fn placeOf(column: u32) -> u32 { return column; }
// --- end of parameters

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let begin = (group.x + group.y * groups.x) * (LANES * EACH);
  let size = depth() * width();
  let end = min(begin + LANES * EACH, matrixCount() * size);
  for (var i = begin + lane; i < end; i += LANES) {
    let entry = entryOf(i % size);
    let place = placeOf(first() + entry.y);
    y[((i / size * panelCount() + place / COLUMNS) * depth() + entry.x) * COLUMNS + place % COLUMNS] = x[i];
  }
}
