// y[o, offset + r] = what stands at r of row o in parts that lie side by side: a concatenation, or some parts of one.
// Method: each part is [outer, its own width], where a width is the concatenated dimension with all behind it. Values
// move as 32-bit words.
// Grid: one invocation for EACH elements; one dispatch for as many parts as may be bound, each writing columns of its
// own.

// --- parameters
struct Sizes { outer: u32, width: u32, stride: u32, offset: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x0: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
const LANES = 64u;
const EACH = 1u;
fn outer() -> u32 { return sizes.outer; }
/** Of the parts together. */
fn width() -> u32 { return sizes.width; }
fn stride() -> u32 { return sizes.stride; }
fn offset() -> u32 { return sizes.offset; }
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
