// starts[b + 1] = Σ over s ≤ b of min(k(s), tokens(s)). k(s) is kTable at the count of sequence s on the axis that
// decides k. For counts that only the device knows.
// Method: each lane adds up a stretch of sequences, a prefix sum goes over the lanes, and each lane goes through its
// stretch again.
// Grid: one workgroup.

// --- parameters
struct Sizes { batch: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> parent: array<u32>;
@group(0) @binding(2) var<storage, read> counting: array<u32>;
@group(0) @binding(3) var<storage, read> kTable: array<u32>;
@group(0) @binding(4) var<storage, read_write> starts: array<u32>;
fn batch() -> u32 { return sizes.batch; }
// --- end of parameters

const LANES = 64u;
/** Prefix sums over the lanes. */
var<workgroup> scan: array<u32, LANES>;

/** The number of rows chosen in sequence b. */
fn chosenOf(b: u32) -> u32 {
  return min(kTable[counting[b + 1u] - counting[b]], parent[b + 1u] - parent[b]);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (group.x + group.y > 0u) { return; }
  let stretch = (batch() + LANES - 1u) / LANES;
  let begin = min(lane * stretch, batch());
  let to = min(begin + stretch, batch());
  var own = 0u;
  for (var b = begin; b < to; b++) { own += chosenOf(b); }
  scan[lane] = own;
  workgroupBarrier();
  for (var reach = 1u; reach < LANES; reach *= 2u) {
    var left = 0u;
    if (lane >= reach) { left = scan[lane - reach]; }
    workgroupBarrier();
    scan[lane] += left;
    workgroupBarrier();
  }
  if (lane == 0u) { starts[0] = 0u; }
  var end = scan[lane] - own;
  for (var b = begin; b < to; b++) {
    end += chosenOf(b);
    starts[b + 1u] = end;
  }
}
