// The k best rows of each sequence, ascending: index[kept[b] + j]. Also `positions`, their indices in the sequence.
// Method: as top.wgsl, for GPUs. Each lane keeps KEYS keys of its range, loaded at once; it loads keys past these again
// in each pass, KEYS at once. Four passes of 8 bits find the key of rank k by histograms. A lane for each digit adds up
// the counts of larger digits, in two steps of sixteen. Rows with larger keys are chosen, and the earliest of the rows
// with that key. The same two steps count the rows that earlier lanes choose, so the result is in order without a sort.
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
/** Keys that a lane keeps, and loads at once. */
const KEYS = 8u;
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

/** Lanes of a workgroup: one for each digit. */
const LANES = 256u;
/**
 * Prefix sums take two steps: a lane adds the SPAN entries of `counts` that end at it, then SPAN such windows, SPAN
 * lanes apart.
 */
const SPAN = 16u;
alias Keys = array<u32, KEYS>;

// Workgroup memory; both arrays begin with zeros, for windows that reach before lane 0:
//   counts[SPAN + n]     rows with digit 255 − n; later a count of lane n.
//   windows[LANES + n]   the sum of the SPAN entries of `counts` that end at n.
//   digit                x: the digit of the key of rank k; y: rows to choose among the rows with this digit.
var<workgroup> counts: array<atomic<u32>, SPAN + LANES>;
var<workgroup> windows: array<u32, LANES + LANES>;
var<workgroup> digit: vec2u;

/** An integer key in the order of the scores: NaN lowest, −0 as 0. */
fn keyOf(row: u32) -> u32 {
  let bits = bitcast<u32>(value(row));
  let magnitude = bits & 0x7fffffffu;
  let key = select(bits ^ select(0x80000000u, 0xffffffffu, bits >= 0x80000000u), 0x80000000u, magnitude == 0u);
  return select(key, 0u, magnitude > 0x7f800000u);
}

/** The keys of KEYS rows from this one on. Past the end, the last row's key. */
fn keysFrom(row: u32, end: u32) -> Keys {
  var keys: Keys;
  for (var i = 0u; i < KEYS; i++) { keys[i] = keyOf(min(row + i, end - 1u)); }
  return keys;
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
  if (lane == 0u) { publish(b); }
  if (k == 0u) { return; }

  let stretch = (end - first + LANES - 1u) / LANES;
  let begin = min(first + lane * stretch, end);
  let to = min(begin + stretch, end);
  let held = keysFrom(begin, end);

  var threshold = 0u;
  var wanted = k;
  for (var shift = 32u; shift > 0u; ) {
    shift -= 8u;
    let known = select(0xffffffffu << (shift + 8u), 0u, shift == 24u);
    for (var row = begin; row < to; row += KEYS) {
      var keys = held;
      if (row != begin) { keys = keysFrom(row, end); }
      for (var i = 0u; i < KEYS; i++) {
        let counted = row + i < to && (keys[i] & known) == threshold;
        atomicAdd(&counts[SPAN + LANES - 1u - ((keys[i] >> shift) & 255u)], u32(counted));
      }
    }
    workgroupBarrier();
    // Lane n has digit 255 − n. Prefix sums over the lanes count the rows with its digit or a larger one.
    let own = atomicLoad(&counts[SPAN + lane]);
    var window = 0u;
    for (var i = 1u; i <= SPAN; i++) { window += atomicLoad(&counts[lane + i]); }
    windows[LANES + lane] = window;
    workgroupBarrier();
    atomicStore(&counts[SPAN + lane], 0u);
    var reached = 0u;
    for (var i = 1u; i <= SPAN; i++) { reached += windows[lane + i * SPAN]; }
    if (reached >= wanted && reached - own < wanted) { digit = vec2u(LANES - 1u - lane, wanted - (reached - own)); }
    workgroupBarrier();
    threshold |= digit.x << shift;
    wanted = digit.y;
  }

  var mine = vec2u();
  for (var row = begin; row < to; row += KEYS) {
    var keys = held;
    if (row != begin) { keys = keysFrom(row, end); }
    for (var i = 0u; i < KEYS; i++) {
      mine += select(vec2u(), vec2u(u32(keys[i] > threshold), u32(keys[i] == threshold)), row + i < to);
    }
  }
  // Prefix sums over the lanes: rows of earlier lanes above the threshold, then rows at the threshold.
  var ahead: array<u32, 2>;
  for (var n = 0u; n < 2u; n++) {
    let own = mine[n];
    atomicStore(&counts[SPAN + lane], own);
    workgroupBarrier();
    var window = 0u;
    for (var i = 1u; i <= SPAN; i++) { window += atomicLoad(&counts[lane + i]); }
    windows[LANES + lane] = window;
    workgroupBarrier();
    var sum = 0u;
    for (var i = 1u; i <= SPAN; i++) { sum += windows[lane + i * SPAN]; }
    ahead[n] = sum - own;
  }
  let above = ahead[0];
  var equal = ahead[1];
  var at = offset + above + min(equal, wanted);
  for (var row = begin; row < to; row += KEYS) {
    var keys = held;
    if (row != begin) { keys = keysFrom(row, end); }
    var chosen = 0u;
    for (var i = 0u; i < KEYS; i++) {
      let same = keys[i] == threshold;
      let takes = row + i < to && (keys[i] > threshold || (same && equal < wanted));
      chosen |= u32(takes) << i;
      equal += u32(same);
    }
    while (chosen != 0u) {
      let i = firstTrailingBit(chosen);
      index[at] = row + i;
      positions[at] = row + i - first;
      at += 1u;
      chosen &= chosen - 1u;
    }
  }
}
