// y[o, n, j] = x[o, n, j] · cos − x[o, n, j + h] · sin and y[o, n, j + h] = x[o, n, j + h] · cos + x[o, n, j] · sin, h
// = width / 2.
// Method: row positions[n] of the table has the cosines of the h angles, then their sines.
// Grid: one invocation for EACH pairs of elements.

// --- parameters
struct Sizes { outer: u32, rows: u32, half: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> positions: array<u32>;
@group(0) @binding(3) var<storage, read> angles: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
const LANES = 64u;
const EACH = 1u;
fn outer() -> u32 { return sizes.outer; }
fn rowCount() -> u32 { return sizes.rows; }
fn halfWidth() -> u32 { return sizes.half; }
/** Element i of x. A prologue may compute it. */
fn value(i: u32) -> f32 { return x[i]; }
fn rounded(v: f32) -> f32 { return v; }
/** The index of a row's first element in y. */
fn placeOf(row: u32) -> u32 { return row * 2u * sizes.half; }
/** The distance from one column of y to the next. */
fn columns() -> u32 { return 1u; }
// --- end of parameters

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.x + group.y * groups.x) * (LANES * EACH);
  let h = halfWidth();
  let end = min(first + LANES * EACH, outer() * rowCount() * h);
  for (var i = first + lane; i < end; i += LANES) {
    let j = i % h;
    let row = i / h;
    let angle = positions[row % rowCount()] * 2u * h + j;
    let c = angles[angle];
    let s = angles[angle + h];
    let at = row * 2u * h + j;
    let a = value(at);
    let b = value(at + h);
    let to = placeOf(row) + j * columns();
    y[to] = rounded(a * c - b * s);
    y[to + h * columns()] = rounded(b * c + a * s);
  }
}
