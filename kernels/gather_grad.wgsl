// y[r, c] = Σ over the list of row r (see gather_links.wgsl) of dy[n, c]: the gradient of a table from those of the rows looked up in it.
// Method: an invocation follows the list for its column, in blocks of 32 that are added up.
// Grid: one invocation for EACH elements of y.

// --- parameters
struct Sizes { rows: u32, width: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> first: array<u32>;
@group(0) @binding(2) var<storage, read> next: array<u32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
const LANES = 64u;
const EACH = 1u;
fn tableRows() -> u32 { return sizes.rows; }
fn width() -> u32 { return sizes.width; }
/** Element i of dy, which may be computed from others. */
fn value(i: u32) -> f32 { return dy[i]; }
fn rounded(v: f32) -> f32 { return v; }
// --- end of parameters

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let begin = (group.x + group.y * groups.x) * (LANES * EACH);
  let end = min(begin + LANES * EACH, tableRows() * width());
  for (var i = begin + lane; i < end; i += LANES) {
    let c = i % width();
    var link = first[i / width()];
    var total = 0.0;
    while (link > 0u) {
      var part = 0.0;
      for (var left = 32u; left > 0u && link > 0u; left--) {
        part += value((link - 1u) * width() + c);
        link = next[link - 1u];
      }
      total += part;
    }
    y[i] = rounded(total);
  }
}
