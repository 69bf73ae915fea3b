// y[o, offset + r] = element r of row o of several parts side by side: a concatenation, or some parts of one.
// Method: a part is [outer, width of the part]. A width is the product of the concatenated dimension and all later
// ones. Values move as 32-bit words.
// Grid: one invocation for EACH elements. A dispatch binds as many parts as possible; each part writes different
// columns.

// --- parameters
struct Sizes { outer: u32, width: u32, stride: u32, offset: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x0: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
const LANES = 64u;
const EACH = 1u;
/** Rows. */
fn outer() -> u32 { return sizes.outer; }
/** The widths of the parts together. */
fn width() -> u32 { return sizes.width; }
/** The distance from one row of y to the next. */
fn stride() -> u32 { return sizes.stride; }
/** The column of y at which the parts begin. */
fn offset() -> u32 { return sizes.offset; }
/** Element `at` of a row of the parts side by side. */
fn partAt(row: u32, at: u32) -> u32 { return x0[row * width() + at]; }
// --- end of parameters

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.x + group.y * groups.x) * (LANES * EACH);
  let end = min(first + LANES * EACH, outer() * width());
  for (var i = first + lane; i < end; i += LANES) {
    let row = i / width();
    let at = i % width();
    y[row * stride() + offset() + at] = partAt(row, at);
  }
}
