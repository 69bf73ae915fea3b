// y[o] = the first r with the largest x[base(o) + step(r)].
// Method: values are compared by integer keys of the same order, NaN highest, so that no arithmetic has NaN or infinity
// as an operand.
// Grid: one invocation for each element of y.

// --- parameters
struct Sizes { outputs: u32, extent: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
/** Elements of y. */
fn outputs() -> u32 { return sizes.outputs; }
/** Elements of x for each element of y. */
fn extent() -> u32 { return sizes.extent; }
/** The index in x of output o's first element. */
fn base(o: u32) -> u32 { return o * sizes.extent; }
/** The distance from an output's first element to its r-th. */
fn step(r: u32) -> u32 { return r; }
/** An integer key in the order of the values. */
fn key(bits: u32) -> u32 { return bits; }
// --- end of parameters

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let o = (group.x + group.y * groups.x) * 64u + lane;
  if (o >= outputs()) { return; }
  let start = base(o);
  var best = 0u;
  var bestKey = 0u;
  for (var r = 0u; r < extent(); r++) {
    let k = key(x[start + step(r)]);
    if (r == 0u || k > bestKey) {
      best = r;
      bestKey = k;
    }
  }
  y[o] = best;
}
