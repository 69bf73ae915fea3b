// The rows of each sequence that score above the threshold, ascending: index[starts[b] + j], and the starts of the axis
// they make.
// Method: as above.wgsl, for GPUs: each lane compares AT_ONCE rows of a stretch of its own at once, and keeps what it
// found of the first of them. What lanes before have chosen is added up in two steps of sixteen.
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
fn batch() -> u32 { return sizes.batch; }
/** The score of a row, which may be computed from others. */
fn value(i: u32) -> f32 { return score[i]; }
fn thresholdAt(row: u32) -> f32 { return threshold[0]; }
/** A lane's share of the rows chosen in sequences before b. */
fn chosenBefore(b: u32, lane: u32) -> u32 {
  var found = 0u;
  for (var s = lane; s < b; s += LANES) { found += counts[s]; }
  return found;
}
/** Row `row` of sequence b is number `at` of all that are chosen; `first`: that of the sequence's first. */
fn publish(at: u32, row: u32, b: u32, first: u32) {}
/** So many rows of sequence b are chosen. */
fn finish(b: u32, count: u32) {}
// --- end of parameters

const LANES = 256u;
const AT_ONCE = 8u;
/** A window is of SPAN lanes, and there are as many windows side by side. */
const SPAN = 16u;
/**
 * What each lane has chosen, and its share of what sequences before have, behind zeros; and the sum of SPAN of them up
 * to each, behind zeros.
 */
var<workgroup> numbers: array<vec2u, SPAN + LANES>;
var<workgroup> windows: array<vec2u, LANES + LANES>;
/** What all lanes come to. */
var<workgroup> whole: vec2u;

fn keyOf(score: f32) -> u32 {
  let bits = bitcast<u32>(score);
  let magnitude = bits & 0x7fffffffu;
  let key = select(bits ^ select(0x80000000u, 0xffffffffu, bits >= 0x80000000u), 0x80000000u, magnitude == 0u);
  return select(key, 0u, magnitude > 0x7f800000u);
}

fn isAbove(row: u32) -> bool {
  // Both are loaded, whatever the first is.
  let bound = keyOf(thresholdAt(row));
  return (bound != 0u) & (keyOf(value(row)) > bound);
}

/** Of AT_ONCE rows from this one on a bit for each that is above; none beyond `to`, and no row beyond `last` is read. */
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

  // What lanes up to this one have chosen, and what sequences before have.
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
