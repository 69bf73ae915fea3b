// Of each row o of scores, softened or as they are: index[o, ·], the k best, ascending; of equal scores the lower
// index, NaN last; and gates[o, ·], made of the scores at these.
// Method: a workgroup holds a row. Scores become integer keys of the same order (NaN lowest, −0 as 0). K times each
// lane finds the best of its own entries that is not taken, and all agree on the best of those.
// Grid: one workgroup for each row.

// --- parameters
struct Sizes { rows: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> index: array<u32>;
@group(0) @binding(3) var<storage, read_write> gates: array<f32>;
const LANES = 64u;
const AMONG = 8u;
const K = 2u;
/** Whether scores are the softmax of x. */
const SOFT = 1u;
/** Gates: 0 the scores, 1 divided by their sum and `least`, 2 their softmax. */
const GATES = 0u;
fn rowCount() -> u32 { return sizes.rows; }
fn least() -> f32 { return 0.0; }
fn valueAt(at: u32) -> f32 { return x[at]; }
// --- end of parameters

const LOWEST = -3.4028234e38;
var<workgroup> scores: array<f32, AMONG>;
var<workgroup> isTaken: array<u32, AMONG>;
var<workgroup> found: array<f32, LANES>;
/** The best entry that each lane found: its key, and its number. */
var<workgroup> best: array<vec2u, LANES>;
var<workgroup> picked: array<u32, K>;
var<workgroup> chosen: array<u32, K>;

fn keyOf(score: f32) -> u32 {
  let bits = bitcast<u32>(score);
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
  let o = group.x + group.y * groups.x;
  if (o >= rowCount()) { return; }
  for (var e = lane; e < AMONG; e += LANES) {
    scores[e] = valueAt(o * AMONG + e);
    isTaken[e] = 0u;
  }
  if (SOFT == 1u) {
    var most = LOWEST;
    for (var e = lane; e < AMONG; e += LANES) { most = max(most, scores[e]); }
    found[lane] = most;
    workgroupBarrier();
    for (var i = 0u; i < LANES; i++) { most = max(most, found[i]); }
    workgroupBarrier();
    var part = 0.0;
    for (var e = lane; e < AMONG; e += LANES) { part += exp(scores[e] - most); }
    found[lane] = part;
    workgroupBarrier();
    var sum = 0.0;
    for (var i = 0u; i < LANES; i++) { sum += found[i]; }
    for (var e = lane; e < AMONG; e += LANES) { scores[e] = exp(scores[e] - most) / sum; }
  }
  for (var round = 0u; round < K; round++) {
    // A key of 0 is NaN's: `own.y` beyond all entries tells that there is none.
    var own = vec2u(0u, AMONG);
    for (var e = lane; e < AMONG; e += LANES) {
      let key = keyOf(scores[e]);
      if (isTaken[e] == 0u && (own.y == AMONG || key > own.x)) { own = vec2u(key, e); }
    }
    best[lane] = own;
    workgroupBarrier();
    for (var i = 0u; i < LANES; i++) {
      let other = best[i];
      if (other.y < AMONG && (own.y == AMONG || other.x > own.x || (other.x == own.x && other.y < own.y))) {
        own = other;
      }
    }
    workgroupBarrier();
    if (own.y % LANES == lane) {
      isTaken[own.y] = 1u;
      picked[round] = own.y;
    }
  }
  workgroupBarrier();
  for (var j = lane; j < K; j += LANES) {
    var before = 0u;
    for (var i = 0u; i < K; i++) { before += u32(picked[i] < picked[j]); }
    chosen[before] = picked[j];
  }
  workgroupBarrier();
  var sum = least();
  var most = LOWEST;
  if (GATES == 1u) {
    var all = 0.0;
    for (var j = 0u; j < K; j++) { all += scores[chosen[j]]; }
    sum += all;
  }
  if (GATES == 2u) {
    for (var j = 0u; j < K; j++) { most = max(most, scores[chosen[j]]); }
    sum = 0.0;
    for (var j = 0u; j < K; j++) { sum += exp(scores[chosen[j]] - most); }
  }
  for (var j = lane; j < K; j += LANES) {
    let score = scores[chosen[j]];
    index[o * K + j] = chosen[j];
    var gate = score;
    if (GATES == 1u) { gate = score / sum; }
    if (GATES == 2u) { gate = exp(score - most) / sum; }
    gates[o * K + j] = gate;
  }
}
