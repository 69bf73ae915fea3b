// y[o, m, c] = x[o, index[m], c]: chosen rows.
// Method: values move as 32-bit words.
// Grid: one invocation for each element of y.

struct Sizes { rowsFrom: u32, sequences: u32, inner: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read> index: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;
@group(0) @binding(4) var<storage, read> starts_0: array<u32>;
fn outer() -> u32 { return 1u; }
fn rowsFrom() -> u32 { return sizes.rowsFrom; }
fn rowsTo() -> u32 { return starts_0[sizes.sequences]; }
fn inner() -> u32 { return sizes.inner; }

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.x + group.y * groups.x) * 64u + lane;
  if (i >= outer() * rowsTo() * inner()) { return; }
  let c = i % inner();
  let m = (i / inner()) % rowsTo();
  let o = i / (inner() * rowsTo());
  y[i] = x[(o * rowsFrom() + index[m]) * inner() + c];
}
