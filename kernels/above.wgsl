// The rows of each sequence that score above the threshold, ascending: index[starts[b] + j]. Also writes `starts`, the
// new axis's starts.
// Method: the chosen rows of earlier sequences are added up: from known counts (above_count.wgsl) or, if there are few
// rows, by counting again. Then each lane counts the chosen rows of its contiguous range. A prefix sum over the lanes
// gives the index of each lane's first chosen row, and each lane writes its rows. `publish` and `finish` write further
// results about a chosen row and about the number of chosen rows.
// Grid: one workgroup for each sequence.

// --- parameters
struct Sizes { batch: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> score: array<f32>;
@group(0) @binding(2) var<storage, read> threshold: array<f32>;
@group(0) @binding(3) var<storage, read> parent: array<u32>;
@group(0) @binding(4) var<storage, read> counts: array<u32>;
@group(0) @binding(5) var<storage, read_write> index: array<u32>;
@group(0) @binding(6) var<storage, read_write> starts: array<u32>;
/** Lanes of a workgroup. */
const LANES = 64u;
/** Sequences. */
fn batch() -> u32 { return sizes.batch; }
/** The score of row i. A prologue may compute it. */
fn value(i: u32) -> f32 { return score[i]; }
/** The threshold for a row. */
fn thresholdAt(row: u32) -> f32 { return threshold[0]; }
/** A lane's share of the rows chosen in sequences before b. */
fn chosenBefore(b: u32, lane: u32) -> u32 {
  var found = 0u;
  for (var s = lane; s < b; s += LANES) { found += counts[s]; }
  return found;
}
/** Called for each chosen row. `at`: its index among all chosen rows. `first`: sequence b's first such index. */
fn publish(at: u32, row: u32, b: u32, first: u32) {}
/** Called once per sequence with the number of its chosen rows. */
fn finish(b: u32, count: u32) {}
// --- end of parameters

/** A number for each lane: its part of `chosenBefore`, then prefix sums over the chosen rows. */
var<workgroup> scan: array<u32, LANES>;

/** An integer key in the order of the scores, −0 as 0; 0 for NaN. */
fn keyOf(score: f32) -> u32 {
  let bits = bitcast<u32>(score);
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return 0u; }
  if (magnitude == 0u) { return 0x80000000u; }
  return bits ^ select(0x80000000u, 0xffffffffu, bits >= 0x80000000u);
}

/** Whether a row scores above its threshold; false if either is NaN. */
fn isAbove(row: u32) -> bool {
  let bound = keyOf(thresholdAt(row));
  return bound != 0u && keyOf(value(row)) > bound;
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let b = group.x + group.y * groups.x;
  if (b >= batch()) { return; }
  scan[lane] = chosenBefore(b, lane);
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { scan[lane] += scan[lane + half]; }
  }
  workgroupBarrier();
  let offset = scan[0];

  let first = parent[b];
  let end = parent[b + 1u];
  let stretch = (end - first + LANES - 1u) / LANES;
  let begin = min(first + lane * stretch, end);
  let to = min(begin + stretch, end);
  var found = 0u;
  for (var row = begin; row < to; row++) { found += u32(isAbove(row)); }
  workgroupBarrier();
  scan[lane] = found;
  workgroupBarrier();
  for (var reach = 1u; reach < LANES; reach *= 2u) {
    var left = 0u;
    if (lane >= reach) { left = scan[lane - reach]; }
    workgroupBarrier();
    scan[lane] += left;
    workgroupBarrier();
  }
  var at = offset + scan[lane] - found;
  for (var row = begin; row < to; row++) {
    if (isAbove(row)) {
      index[at] = row;
      publish(at, row, b, offset);
      at += 1u;
    }
  }
  storageBarrier();
  if (lane == 0u) {
    let count = scan[LANES - 1u];
    if (b == 0u) { starts[0] = 0u; }
    starts[b + 1u] = offset + count;
    finish(b, count);
  }
}
