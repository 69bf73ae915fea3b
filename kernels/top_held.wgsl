// The k best rows of each sequence, ascending: index[firstOf(b) + j], and their places in the sequence.
// Method: for GPUs. Scores become integer keys of the same order (NaN lowest, −0 as 0). Each lane keeps KEYS keys of a
// stretch of its own, loaded at once, and loads those beyond anew, as many at once. Four passes of 8 bits find the key
// of rank k by histograms: a lane for each digit, which adds up those above by sixteens. Rows above that key are
// chosen, and of those equal to it the earlier; counts before each lane are added up likewise, so the result is in
// order without a sort.
// Grid: one workgroup for each sequence; where its rows begin and how many they are is known before (the host's table,
// or top_starts).

// --- parameters
struct Sizes { batch: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> score: array<f32>;
@group(0) @binding(2) var<storage, read> parent: array<u32>;
@group(0) @binding(3) var<storage, read> kept: array<u32>;
@group(0) @binding(4) var<storage, read_write> index: array<u32>;
@group(0) @binding(5) var<storage, read_write> positions: array<u32>;
@group(0) @binding(6) var<storage, read_write> starts: array<u32>;
const KEYS = 8u;
fn batch() -> u32 { return sizes.batch; }
/** The score of a row, which may be computed from others. */
fn value(i: u32) -> f32 { return score[i]; }
/** The starts of the axis the rows make, where they came from the host: a result like the others. */
fn publish(b: u32) {
  if (b == 0u) { starts[0] = 0u; }
  starts[b + 1u] = kept[b + 1u];
}
// --- end of parameters

/** One for each digit. A window is of SPAN of them, and there are as many windows side by side. */
const LANES = 256u;
const SPAN = 16u;
alias Keys = array<u32, KEYS>;

/** A number for each digit from the highest down, or for each lane, behind zeros. */
var<workgroup> counts: array<atomic<u32>, SPAN + LANES>;
/** For each lane the sum of SPAN numbers up to its own, behind zeros. */
var<workgroup> windows: array<u32, LANES + LANES>;
/** The digit of the key of rank k, and how many rows with it are still to be chosen. */
var<workgroup> digit: vec2u;

fn keyOf(row: u32) -> u32 {
  let bits = bitcast<u32>(value(row));
  let magnitude = bits & 0x7fffffffu;
  let key = select(bits ^ select(0x80000000u, 0xffffffffu, bits >= 0x80000000u), 0x80000000u, magnitude == 0u);
  return select(key, 0u, magnitude > 0x7f800000u);
}

/** Keys from this row on; beyond the end that of the last one. */
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
    // Lane n has digit 255 − n: it adds up to its own first within a window, then windows that lie side by side.
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
  // Of the lanes before, how many rows are above, and how many equal.
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
