// chosen[row, e] = 1 if the row is among the k best rows of its sequence by column e of score[row, e], else 0.
// Method: as top.wgsl, for each column of each sequence. Histograms of integer keys find the key of rank k. Each lane
// goes through one stretch, and prefix sums show which rows with that key are the earliest.
// Grid: one workgroup for each column of each sequence.

// --- parameters
struct Sizes { batch: u32, among: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> score: array<f32>;
@group(0) @binding(2) var<storage, read> parent: array<u32>;
@group(0) @binding(3) var<storage, read> kept: array<u32>;
@group(0) @binding(4) var<storage, read_write> chosen: array<u32>;
@group(0) @binding(5) var<storage, read_write> starts: array<u32>;
/** Lanes of a workgroup. */
const LANES = 256u;
fn batch() -> u32 { return sizes.batch; }
/** Columns of `score`. */
fn among() -> u32 { return sizes.among; }
/** Stores the starts of the axis of chosen rows as a result, if they come from the host. */
fn publish(b: u32) {
  if (b == 0u) { starts[0] = 0u; }
  starts[b + 1u] = kept[b + 1u];
}
// --- end of parameters

/** Rows by a digit of their keys. */
var<workgroup> histogram: array<atomic<u32>, 256>;
/** Prefix sums over the lanes of the rows with the key of rank k. */
var<workgroup> scan: array<u32, LANES>;
/** The known digits of the key of rank k. */
var<workgroup> threshold: u32;
/** Rows to choose among the rows with these digits. */
var<workgroup> wanted: u32;

/** An integer key in the order of the scores: NaN lowest, −0 as 0. */
fn keyOf(i: u32) -> u32 {
  let bits = bitcast<u32>(score[i]);
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return 0u; }
  if (magnitude == 0u) { return 0x80000000u; }
  return bits ^ select(0x80000000u, 0xffffffffu, bits >= 0x80000000u);
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let n = group.x + group.y * groups.x;
  let b = n / among();
  let e = n % among();
  if (b >= batch()) { return; }
  let first = parent[b];
  let end = parent[b + 1u];
  let k = kept[b + 1u] - kept[b];
  if (lane == 0u) {
    if (e == 0u) { publish(b); }
    threshold = 0u;
    wanted = k;
  }
  workgroupBarrier();

  for (var shift = select(0u, 32u, k > 0u); shift > 0u; ) {
    shift -= 8u;
    for (var digit = lane; digit < 256u; digit += LANES) { atomicStore(&histogram[digit], 0u); }
    workgroupBarrier();
    let prefix = threshold;
    let known = select(0xffffffffu << (shift + 8u), 0u, shift == 24u);
    for (var row = first + lane; row < end; row += LANES) {
      let key = keyOf(row * among() + e);
      if ((key & known) == prefix) { atomicAdd(&histogram[(key >> shift) & 255u], 1u); }
    }
    workgroupBarrier();
    if (lane == 0u) {
      var digit = 255u;
      var missing = wanted;
      var here = atomicLoad(&histogram[digit]);
      while (here < missing) {
        missing -= here;
        digit -= 1u;
        here = atomicLoad(&histogram[digit]);
      }
      threshold = prefix | (digit << shift);
      wanted = missing;
    }
    workgroupBarrier();
  }

  let bound = threshold;
  let quota = wanted;
  let stretch = (end - first + LANES - 1u) / LANES;
  let begin = min(first + lane * stretch, end);
  let to = min(begin + stretch, end);
  var found = 0u;
  for (var row = begin; row < to; row++) { found += u32(keyOf(row * among() + e) == bound); }
  scan[lane] = found;
  workgroupBarrier();
  for (var reach = 1u; reach < LANES; reach *= 2u) {
    var left = 0u;
    if (lane >= reach) { left = scan[lane - reach]; }
    workgroupBarrier();
    scan[lane] += left;
    workgroupBarrier();
  }
  var equal = scan[lane] - found;
  for (var row = begin; row < to; row++) {
    let key = keyOf(row * among() + e);
    chosen[row * among() + e] = u32(k > 0u && (key > bound || (key == bound && equal < quota)));
    equal += u32(key == bound);
  }
}
