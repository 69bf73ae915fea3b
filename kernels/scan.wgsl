// y[o, n, c] = factor · y[o, n − 1, c] + x[o, n, c] along the rows n of each sequence, from the first row on; with
// REVERSE from the last row on, with n + 1. A factor of 0 begins anew.
// Method: a lane goes through the rows of a column one after the other.
// Grid: one invocation for each column of each sequence.

// --- parameters
struct Sizes { batch: u32, outer: u32, inner: u32, decayRows: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> starts: array<u32>;
@group(0) @binding(2) var<storage, read> decay: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
/** Element i of x. */
fn value(i: u32) -> f32 { return x[i]; }
/** Sequences. */
fn batch() -> u32 { return sizes.batch; }
/** Elements before the dimension of the rows, and after it. */
fn outer() -> u32 { return sizes.outer; }
fn inner() -> u32 { return sizes.inner; }
/** Where the log decay of a column's row 0 lies. */
fn decayPlace(column: u32) -> u32 { return column; }
/** The factor of a row of the column that begins there. */
fn factor(place: u32, row: u32) -> f32 { return exp(decay[place + row * sizes.decayRows]); }
const LANES = 32u;
/** 1: from the last row of each sequence. */
const REVERSE = 0u;
// --- end of parameters

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * LANES + lane;
  let columns = outer() * inner();
  if (i >= batch() * columns) { return; }
  let b = i / columns;
  let column = i % columns;
  let place = decayPlace(column);
  let first = starts[b];
  let end = starts[b + 1u];
  let origin = column / inner() * starts[batch()] * inner() + column % inner();
  var sum = 0.0;
  for (var step = first; step < end; step++) {
    let row = select(step, end - 1u - (step - first), REVERSE == 1u);
    let at = origin + row * inner();
    let by = factor(place, row);
    // The first row has nothing before it, and nothing is multiplied by an infinite factor.
    sum = value(at) + select(by * sum, 0.0, by == 0.0 || step == first);
    y[at] = sum;
  }
}
