// y[min(indices[n], last row), c] = Σ of dy[·, c] over the list that begins with n (gather_links.wgsl): the gradient of
// a table from the gradients of rows looked up in it.
// Method: if heads[n] is 1, an invocation follows the list of n for COLUMNS neighbouring columns, in blocks of 32 whose
// sums are added up. y is all zeros before, so rows that no index looks up cost nothing else.
// Grid: one invocation for each EACH · COLUMNS elements of dy.

// --- parameters
struct Sizes { count: u32, rows: u32, width: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read> heads: array<u32>;
@group(0) @binding(3) var<storage, read> next: array<u32>;
@group(0) @binding(4) var<storage, read> dy: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
const LANES = 64u;
const EACH = 1u;
/** Columns of an invocation: 4 if the width is a multiple of 4, else 1. */
const COLUMNS = 1u;
/** Indices. */
fn count() -> u32 { return sizes.count; }
/** Rows of the table. */
fn tableRows() -> u32 { return sizes.rows; }
/** Columns of a row. */
fn width() -> u32 { return sizes.width; }
/** Element i of dy. A prologue may compute it. */
fn value(i: u32) -> f32 { return dy[i]; }
fn rounded(v: f32) -> f32 { return v; }
// --- end of parameters

/** COLUMNS elements of dy from `at` on. */
fn columnsFrom(at: u32) -> vec4f {
  if (COLUMNS == 1u) { return vec4f(value(at), 0.0, 0.0, 0.0); }
  return vec4f(value(at), value(at + 1u), value(at + 2u), value(at + 3u));
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.x + group.y * groups.x) * (LANES * EACH);
  let across = width() / COLUMNS;
  let end = min(first + LANES * EACH, count() * across);
  for (var i = first + lane; i < end; i += LANES) {
    let n = i / across;
    if (heads[n] == 0u) { continue; }
    let c = (i % across) * COLUMNS;
    var link = n + 1u;
    var total = vec4f();
    while (link > 0u) {
      var part = vec4f();
      for (var left = 32u; left > 0u && link > 0u; left--) {
        let at = (link - 1u) * width() + c;
        part += columnsFrom(at);
        link = next[link - 1u];
      }
      total += part;
    }
    let at = min(indices[n], tableRows() - 1u) * width() + c;
    for (var j = 0u; j < COLUMNS; j++) { y[at + j] = rounded(total[j]); }
  }
}
