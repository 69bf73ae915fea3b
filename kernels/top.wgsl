// The k best rows of each sequence, ascending: index[kept[b] + j]. Also `positions`, their indices in the sequence.
// Method: scores become integer keys of the same order (NaN lowest, −0 as 0). Four passes of 8 bits find the key of
// rank k by histograms. Rows with larger keys are chosen, and the earliest of the rows with that key. Then each lane
// counts and writes the chosen rows of one stretch. The stretches are in order, so the result needs no sort.
// Grid: one workgroup for each sequence. `kept`, the starts of the axis of chosen rows, is known before: from the
// host's table, or from top_starts.wgsl.

// --- parameters
struct Sizes { batch: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> score: array<f32>;
@group(0) @binding(2) var<storage, read> parent: array<u32>;
@group(0) @binding(3) var<storage, read> kept: array<u32>;
@group(0) @binding(4) var<storage, read_write> index: array<u32>;
@group(0) @binding(5) var<storage, read_write> positions: array<u32>;
@group(0) @binding(6) var<storage, read_write> starts: array<u32>;
/** Lanes of a workgroup. */
const LANES = 256u;
/** Sequences. */
fn batch() -> u32 { return sizes.batch; }
/** The score of row i. A prologue may compute it. */
fn value(i: u32) -> f32 { return score[i]; }
/** Stores the starts of the axis of chosen rows as a result, if they come from the host. */
fn publish(b: u32) {
  if (b == 0u) { starts[0] = 0u; }
  starts[b + 1u] = kept[b + 1u];
}
// --- end of parameters

/** Rows by a digit of their keys. */
var<workgroup> histogram: array<atomic<u32>, 256>;
/** Prefix sums over the lanes: x rows above the key of rank k, y rows with this key. */
var<workgroup> scan: array<vec2u, LANES>;
/** The known digits of the key of rank k. */
var<workgroup> threshold: u32;
/** Rows to choose among the rows with these digits. */
var<workgroup> wanted: u32;

/** An integer key in the order of the scores: NaN lowest, −0 as 0. */
fn keyOf(row: u32) -> u32 {
  let bits = bitcast<u32>(value(row));
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
  let b = group.x + group.y * groups.x;
  if (b >= batch()) { return; }
  let first = parent[b];
  let end = parent[b + 1u];
  let offset = kept[b];
  let k = kept[b + 1u] - offset;
  if (lane == 0u) {
    publish(b);
    threshold = 0u;
    wanted = k;
  }
  if (k == 0u) { return; }

  for (var shift = 32u; shift > 0u; ) {
    shift -= 8u;
    for (var digit = lane; digit < 256u; digit += LANES) { atomicStore(&histogram[digit], 0u); }
    workgroupBarrier();
    let prefix = threshold;
    let known = select(0xffffffffu << (shift + 8u), 0u, shift == 24u);
    for (var row = first + lane; row < end; row += LANES) {
      let key = keyOf(row);
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
  var found = vec2u();
  for (var row = begin; row < to; row++) {
    let key = keyOf(row);
    found += vec2u(u32(key > bound), u32(key == bound));
  }
  workgroupBarrier();
  scan[lane] = found;
  workgroupBarrier();
  for (var reach = 1u; reach < LANES; reach *= 2u) {
    var left = vec2u();
    if (lane >= reach) { left = scan[lane - reach]; }
    workgroupBarrier();
    scan[lane] += left;
    workgroupBarrier();
  }
  let ahead = scan[lane] - found;
  var equal = ahead.y;
  var at = offset + ahead.x + min(ahead.y, quota);
  for (var row = begin; row < to; row++) {
    let key = keyOf(row);
    if (key > bound || (key == bound && equal < quota)) {
      index[at] = row;
      positions[at] = row - first;
      at += 1u;
    }
    if (key == bound) { equal += 1u; }
  }
}
