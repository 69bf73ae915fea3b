// x[o, index[m], c] = merge(x[o, index[m], c], u[o, m, c]): rows of an update go to the chosen rows, in place.
// Method: indices are distinct, so no two invocations write the same element. Rows that are not chosen do not change.
// Grid: one invocation for EACH elements of u.

// --- parameters
struct Sizes { outer: u32, source: u32, to: u32, inner: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read> index: array<u32>;
@group(0) @binding(3) var<storage, read> u: array<f32>;
alias Value = f32;
const LANES = 64u;
const EACH = 1u;
fn outer() -> u32 { return sizes.outer; }
/** Rows of x. */
fn rowsFrom() -> u32 { return sizes.source; }
/** Rows of u. */
fn rowsTo() -> u32 { return sizes.to; }
fn inner() -> u32 { return sizes.inner; }
/** Element i of u. A prologue may compute it. */
fn value(i: u32) -> Value { return u[i]; }
/** The new value of an element of x. */
fn merge(old: Value, update: Value) -> Value { return old + update; }
// --- end of parameters

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.x + group.y * groups.x) * (LANES * EACH);
  let end = min(first + LANES * EACH, outer() * rowsTo() * inner());
  // Element i of u is u[o, m, c]. The loop updates o, m and c with i, because divisions are slow.
  var c = (first + lane) % inner();
  let row = (first + lane) / inner();
  var m = row % rowsTo();
  var o = row / rowsTo();
  for (var i = first + lane; i < end; i += LANES) {
    let at = (o * rowsFrom() + index[m]) * inner() + c;
    x[at] = merge(x[at], value(i));
    c += LANES;
    while (c >= inner()) {
      c -= inner();
      m++;
      if (m == rowsTo()) {
        m = 0u;
        o++;
      }
    }
  }
}
