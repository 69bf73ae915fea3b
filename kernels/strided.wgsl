// y[i] = x[source(i)]: dimensions in another order, or part of one.
// Method: `source` walks the strides of x in the order of y. Values move as 32-bit words, whatever they are.
// Grid: one invocation for each element of y.

// --- parameters
struct Sizes { count: u32, columns: u32, rows: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
fn count() -> u32 { return sizes.count; }
fn source(i: u32) -> u32 { return (i % sizes.rows) * sizes.columns + i / sizes.rows; }
// --- end of parameters

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.x + group.y * groups.x) * 64u + lane;
  if (i >= count()) { return; }
  y[i] = x[source(i)];
}
