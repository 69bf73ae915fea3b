// y[n] = log Σ over c of exp(x[n, c] − m) + m − x[n, target[n]], m = max x[n, ·]; 0 where the target is ignored (negative).
// Method: 64 invocations share a row: its largest value, then the sum in blocks.
// Grid: one workgroup for each row.

// --- parameters
struct Sizes { rows: u32, classes: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
fn rowCount() -> u32 { return sizes.rows; }
fn classes() -> u32 { return sizes.classes; }
fn ignored(bits: u32) -> bool { return false; }
// --- end of parameters

const LANES = 64u;
const LOWEST = -3.4028234e38;
var<workgroup> parts: array<f32, LANES>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = group.x + group.y * groups.x;
  if (n >= rowCount()) { return; }
  let start = n * classes();

  var largest = LOWEST;
  for (var c = lane; c < classes(); c += LANES) { largest = max(largest, x[start + c]); }
  parts[lane] = largest;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { parts[lane] = max(parts[lane], parts[lane + half]); }
  }
  workgroupBarrier();
  let m = parts[0];
  workgroupBarrier();

  var sum = 0.0;
  var c = lane;
  while (c < classes()) {
    var part = 0.0;
    for (var i = 0u; i < 32u && c < classes(); i++) {
      part += exp(x[start + c] - m);
      c += LANES;
    }
    sum += part;
  }
  parts[lane] = sum;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { parts[lane] += parts[lane + half]; }
  }
  if (lane == 0u) {
    let goal = targets[n];
    var loss = 0.0;
    if (!ignored(goal)) { loss = log(parts[0]) + (m - x[start + min(goal, classes() - 1u)]); }
    y[n] = loss;
  }
}
