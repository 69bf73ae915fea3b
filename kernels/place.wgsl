// y[o, offset + r] = x[o, r]: one part of a concatenation.
// Method: x is [outer, inner] where inner is the concatenated dimension with all behind it. Values move as 32-bit words.
// Grid: one invocation for EACH elements of x; one dispatch for each part, each writing rows of its own.

// --- parameters
struct Sizes { outer: u32, inner: u32, stride: u32, offset: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
const LANES = 64u;
const EACH = 1u;
fn outer() -> u32 { return sizes.outer; }
fn inner() -> u32 { return sizes.inner; }
fn stride() -> u32 { return sizes.stride; }
fn offset() -> u32 { return sizes.offset; }
// --- end of parameters

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first = (group.x + group.y * groups.x) * (LANES * EACH);
  let end = min(first + LANES * EACH, outer() * inner());
  for (var i = first + lane; i < end; i += LANES) {
    y[(i / inner()) * stride() + offset() + i % inner()] = x[i];
  }
}
