// The rows of a slice of each sequence: index[starts[b] + j] = parent[b] + first + j. Also writes `starts`, the new
// axis's starts.
// Method: `spans` holds, for each count of tokens, the first token of the slice and the one after its last.
// Grid: one workgroup for each sequence.

// --- parameters
struct Sizes { batch: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> parent: array<u32>;
@group(0) @binding(2) var<storage, read> spans: array<u32>;
@group(0) @binding(3) var<storage, read_write> index: array<u32>;
@group(0) @binding(4) var<storage, read_write> starts: array<u32>;
fn batch() -> u32 { return sizes.batch; }
// --- end of parameters

const LANES = 64u;
/** The tokens of slices of earlier sequences, by lane. */
var<workgroup> scan: array<u32, LANES>;

/** The slice of sequence b. */
fn spanOf(b: u32) -> vec2u {
  let n = parent[b + 1u] - parent[b];
  return vec2u(spans[2u * n], spans[2u * n + 1u]);
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let b = group.x + group.y * groups.x;
  if (b >= batch()) { return; }
  var before = 0u;
  for (var s = lane; s < b; s += LANES) {
    let other = spanOf(s);
    before += other.y - other.x;
  }
  scan[lane] = before;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { scan[lane] += scan[lane + half]; }
  }
  workgroupBarrier();
  let offset = scan[0];
  let span = spanOf(b);
  if (lane == 0u) {
    if (b == 0u) { starts[0] = 0u; }
    starts[b + 1u] = offset + span.y - span.x;
  }
  for (var j = lane; j < span.y - span.x; j += LANES) { index[offset + j] = parent[b] + span.x + j; }
}
