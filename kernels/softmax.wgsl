// y[o, r] = exp(x[o, r] − m) / Σ exp(x[o, ·] − m), m = max x[o, ·].
// Method: 64 invocations share a row: its largest value, the sum in blocks, then the quotients.
// Grid: one workgroup for each row; element r of row o lies at base(o) + r · stride.

// --- parameters
struct Sizes { rows: u32, extent: u32, stride: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
/** Element i of x, which may be computed from others. */
fn value(i: u32) -> f32 { return x[i]; }
fn rowCount() -> u32 { return sizes.rows; }
fn extent() -> u32 { return sizes.extent; }
fn stride() -> u32 { return sizes.stride; }
fn base(o: u32) -> u32 { return (o / sizes.stride) * sizes.stride * sizes.extent + o % sizes.stride; }
fn rounded(v: f32) -> f32 { return v; }
// --- end of parameters

const LANES = 64u;
const LOWEST = -3.4028234e38;
var<workgroup> parts: array<f32, LANES>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let o = group.x + group.y * groups.x;
  if (o >= rowCount()) { return; }
  let start = base(o);

  var largest = LOWEST;
  for (var r = lane; r < extent(); r += LANES) { largest = max(largest, value(start + r * stride())); }
  parts[lane] = largest;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { parts[lane] = max(parts[lane], parts[lane + half]); }
  }
  workgroupBarrier();
  let m = parts[0];
  workgroupBarrier();

  var sum = 0.0;
  var r = lane;
  while (r < extent()) {
    var part = 0.0;
    for (var n = 0u; n < 32u && r < extent(); n++) {
      part += exp(value(start + r * stride()) - m);
      r += LANES;
    }
    sum += part;
  }
  parts[lane] = sum;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { parts[lane] += parts[lane + half]; }
  }
  workgroupBarrier();
  let total = parts[0];
  for (var c = lane; c < extent(); c += LANES) {
    let at = start + c * stride();
    y[at] = rounded(exp(value(at) - m) / total);
  }
}
