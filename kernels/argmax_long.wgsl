// y[o] = the first r with the largest x[base(o) + step(r)], for long rows, or if the extent is known only at run time.
// Method: integer keys of the same order as the values (NaN highest, −0 as 0). LANES invocations share an output. Each
// keeps the first of its largest values; then a tree reduction, in which ties go to the smaller r.
// Grid: one workgroup for each element of y.

// --- parameters
struct Sizes { outputs: u32, extent: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
const LANES = 64u;
/** Elements of y. */
fn outputs() -> u32 { return sizes.outputs; }
/** Elements of x for each element of y. */
fn extent() -> u32 { return sizes.extent; }
/** The index in x of output o's first element. */
fn base(o: u32) -> u32 { return o * sizes.extent; }
/** The distance from an output's first element to its r-th. */
fn step(r: u32) -> u32 { return r; }
/** An integer key in the order of the values. */
fn key(bits: u32) -> u32 {
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return 0xffffffffu; }
  if (magnitude == 0u) { return 0x80000000u; }
  return bits ^ select(0x80000000u, 0xffffffffu, bits >= 0x80000000u);
}
// --- end of parameters

/** Each lane's largest key, and its r. */
var<workgroup> parts: array<vec2u, LANES>;

/** The larger key; of equal keys, the smaller r. */
fn better(a: vec2u, b: vec2u) -> vec2u {
  return select(a, b, b.x > a.x || (b.x == a.x && b.y < a.y));
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let o = group.x + group.y * groups.x;
  if (o >= outputs()) { return; }
  let start = base(o);
  // A lane without elements loses to every other lane.
  var best = vec2u(0u, 0xffffffffu);
  for (var r = lane; r < extent(); r += LANES) { best = better(best, vec2u(key(x[start + step(r)]), r)); }
  parts[lane] = best;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { parts[lane] = better(parts[lane], parts[lane + half]); }
  }
  if (lane == 0u) { y[o] = parts[0].y; }
}
