// y[n] = log Σ over c of exp(x[n, c] − m) + m − x[n, target[n]], m = max x[n, ·]; 0 if the target is ignored
// (negative).
// Method: LANES of a workgroup's INVOCATIONS share a row. Each takes its classes in blocks of 8 with a running m, so
// that the row is read once.
// Grid: one workgroup for each INVOCATIONS / LANES rows.

// --- parameters
struct Sizes { rows: u32, classes: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
/** Invocations of a workgroup. */
const INVOCATIONS = 64u;
/** Invocations that share a row. */
const LANES = 64u;
fn rowCount() -> u32 { return sizes.rows; }
fn classes() -> u32 { return sizes.classes; }
/** Whether a target is ignored. */
fn ignored(bits: u32) -> bool { return false; }
// --- end of parameters

/** Elements that a lane takes at once. */
const BLOCK = 8u;
/** The maximum before the first element. */
const LOWEST = -3.4028234e38;
/** Each lane's maximum m so far, and Σ exp(x − m). */
var<workgroup> parts: array<vec2f, INVOCATIONS>;

/** Combines two pairs of m and Σ exp(x − m). */
fn merged(a: vec2f, b: vec2f) -> vec2f {
  let m = max(a.x, b.x);
  return vec2f(m, a.y * exp(a.x - m) + b.y * exp(b.x - m));
}

@compute @workgroup_size(INVOCATIONS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) invocation: u32,
) {
  let first = (group.x + group.y * groups.x) * (INVOCATIONS / LANES);
  if (first >= rowCount()) { return; }
  let n = first + invocation / LANES;
  let lane = invocation % LANES;
  let start = min(n, rowCount() - 1u) * classes();

  var m = LOWEST;
  var sum = 0.0;
  var c = lane;
  for (; c + (BLOCK - 1u) * LANES < classes(); c += BLOCK * LANES) {
    var block: array<f32, BLOCK>;
    var high = m;
    for (var i = 0u; i < BLOCK; i++) {
      block[i] = x[start + c + i * LANES];
      high = max(high, block[i]);
    }
    var part = 0.0;
    for (var i = 0u; i < BLOCK; i++) { part += exp(block[i] - high); }
    sum = fma(sum, exp(m - high), part);
    m = high;
  }
  for (; c < classes(); c += LANES) {
    let v = x[start + c];
    let high = max(m, v);
    sum = fma(sum, exp(m - high), exp(v - high));
    m = high;
  }
  parts[invocation] = vec2f(m, sum);
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { parts[invocation] = merged(parts[invocation], parts[invocation + half]); }
  }
  if (lane == 0u && n < rowCount()) {
    let goal = targets[n];
    var loss = 0.0;
    if (!ignored(goal)) {
      loss = log(parts[invocation].y) + (parts[invocation].x - x[start + min(goal, classes() - 1u)]);
    }
    y[n] = loss;
  }
}
