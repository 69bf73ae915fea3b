// The rows of each sequence that score above the threshold, ascending: index[starts[b] + j]. Also writes `starts`, the
// new axis's starts.
// Method: as above.wgsl, for GPUs. Each lane compares AT_ONCE rows of its range at once. The bits of the lane's first
// AT_ONCE rows are kept, so that these rows are compared once. The prefix sum over the lanes takes two steps of
// sixteen.
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

const LANES = 256u;
/** Rows that a lane compares at once. */
const AT_ONCE = 8u;
/**
 * Prefix sums take two steps: a lane adds the SPAN entries of `numbers` that end at it, then SPAN such windows, SPAN
 * lanes apart.
 */
const SPAN = 16u;
// Workgroup memory; both arrays begin with zeros, for windows that reach before lane 0:
//   numbers[SPAN + lane]    x: rows that the lane chose; y: its part of `chosenBefore`.
//   windows[LANES + lane]   the sum of the SPAN entries of `numbers` that end at the lane.
//   whole                   the total of all lanes.
var<workgroup> numbers: array<vec2u, SPAN + LANES>;
var<workgroup> windows: array<vec2u, LANES + LANES>;
var<workgroup> whole: vec2u;

/** An integer key in the order of the scores, −0 as 0; 0 for NaN. */
fn keyOf(score: f32) -> u32 {
  let bits = bitcast<u32>(score);
  let magnitude = bits & 0x7fffffffu;
  let key = select(bits ^ select(0x80000000u, 0xffffffffu, bits >= 0x80000000u), 0x80000000u, magnitude == 0u);
  return select(key, 0u, magnitude > 0x7f800000u);
}

/** Whether a row scores above its threshold; false if either is NaN. */
fn isAbove(row: u32) -> bool {
  // `&` in place of `&&`: both loads are issued together.
  let bound = keyOf(thresholdAt(row));
  return (bound != 0u) & (keyOf(value(row)) > bound);
}

/** Bit i is set if row + i is below `to` and scores above the threshold. Reads no row past `last`. */
fn foundFrom(row: u32, to: u32, last: u32) -> u32 {
  var found = 0u;
  for (var i = 0u; i < AT_ONCE; i++) { found |= u32(isAbove(min(row + i, last)) & (row + i < to)) << i; }
  return found;
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
  let stretch = (end - first + LANES - 1u) / LANES;
  let begin = min(first + lane * stretch, end);
  let to = min(begin + stretch, end);
  var held = 0u;
  if (end > first) { held = foundFrom(begin, to, end - 1u); }
  var own = countOneBits(held);
  for (var row = begin + AT_ONCE; row < to; row += AT_ONCE) { own += countOneBits(foundFrom(row, to, end - 1u)); }

  // Prefix sums. The total's y is the number of rows chosen in earlier sequences.
  numbers[SPAN + lane] = vec2u(own, chosenBefore(b, lane));
  workgroupBarrier();
  var window = vec2u();
  for (var i = 1u; i <= SPAN; i++) { window += numbers[lane + i]; }
  windows[LANES + lane] = window;
  workgroupBarrier();
  var sum = vec2u();
  for (var i = 1u; i <= SPAN; i++) { sum += windows[lane + i * SPAN]; }
  if (lane == LANES - 1u) { whole = sum; }
  workgroupBarrier();
  let count = whole.x;
  let offset = whole.y;
  var at = offset + sum.x - own;
  for (var row = begin; row < to; row += AT_ONCE) {
    var found = held;
    if (row != begin) { found = foundFrom(row, to, end - 1u); }
    while (found != 0u) {
      let chosen = row + firstTrailingBit(found);
      index[at] = chosen;
      publish(at, chosen, b, offset);
      at += 1u;
      found &= found - 1u;
    }
  }
  storageBarrier();
  if (lane == 0u) {
    if (b == 0u) { starts[0] = 0u; }
    starts[b + 1u] = offset + count;
    finish(b, count);
  }
}
