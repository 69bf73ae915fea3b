// The rows of each sequence that score above the threshold, ascending: index[starts[b] + j]. Also writes `starts`, the
// new axis's starts.
// Method: as above.wgsl, for GPUs and at most 64 rows of all sequences together. A lane compares a row; or SUMMED lanes
// compute its score from a sum over the row, in the order of row_sums_wide.wgsl. Each row has a bit: 1 if it is chosen.
// The bits below a row's bit give the index of a chosen row.
// Grid: one workgroup.

// --- parameters
struct Sizes { batch: u32, depth: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> threshold: array<f32>;
@group(0) @binding(3) var<storage, read> parent: array<u32>;
@group(0) @binding(4) var<storage, read_write> index: array<u32>;
@group(0) @binding(5) var<storage, read_write> starts: array<u32>;
/** Sequences. */
fn batch() -> u32 { return sizes.batch; }
/** Lanes that share `ownSum`, the sum over a row of `valueX`, which `value` needs; 0 if `value` needs no sum. */
const SUMMED = 16u;
/** Columns of x. */
fn depth() -> u32 { return sizes.depth; }
/** Data of a row: its first element's index. */
struct RowX { at: u32 }
fn rowX(row: u32) -> RowX { return RowX(row * depth()); }
/** Column k's data for all rows of x; here none. */
alias ColX = u32;
fn colX(k: u32) -> ColX { return k; }
/** The summand of element k in a row of x. */
fn valueX(r: RowX, c: ColX, k: u32) -> f32 { return x[r.at + k]; }
/** The score of row i. A prologue may compute it. */
fn value(i: u32) -> f32 { return ownSum; }
/** The threshold for a row. */
fn thresholdAt(row: u32) -> f32 { return threshold[0]; }
/** Called for each chosen row. `at`: its index among all chosen rows. `first`: sequence b's first such index. */
fn publish(at: u32, row: u32, b: u32, first: u32) {}
/** Called once per sequence with the number of its chosen rows. */
fn finish(b: u32, count: u32) {}
const LANES = 256u;
/** The most rows of all sequences together. */
const ROWS = 64u;
// --- end of parameters

/** Lanes of a row. */
const TEAM = max(SUMMED, 1u);
/** Lanes of a row that first add up the sums of other lanes, every MEETING-th. */
const MEETING = 16u;
/** Values that a lane has in flight. */
const AT_ONCE = 8u;
/** A bit for each row: 1 if it is chosen. */
var<workgroup> chosen: array<atomic<u32>, ROWS / 32u>;
/** The sum of each lane; then, of the first MEETING lanes of a row, the sum of several lanes. */
var<workgroup> summing: array<f32, LANES>;
/** The sum over the row of the lane's team. */
var<private> ownSum: f32;

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

fn summedAt(r: RowX, k: u32) -> f32 { return valueX(r, colX(k), k); }

/** Computes `ownSum`. */
fn sumRow(lane: u32, r: RowX) {
  let part = lane % TEAM;
  var total = 0.0;
  for (var start = 0u; start < depth(); start += 32u * TEAM) {
    // Each lane has `whole` values of the block. In the last block, some lanes have one more, `last`.
    let whole = min(32u, (depth() - start) / TEAM);
    var sum = 0.0;
    var i = 0u;
    for (; i + AT_ONCE <= whole; i += AT_ONCE) {
      var values: array<f32, AT_ONCE>;
      for (var n = 0u; n < AT_ONCE; n++) { values[n] = summedAt(r, start + (i + n) * TEAM + part); }
      for (var n = 0u; n < AT_ONCE; n++) { sum += values[n]; }
    }
    for (; i < whole; i++) { sum += summedAt(r, start + i * TEAM + part); }
    let last = start + whole * TEAM + part;
    if (whole < 32u && last < depth()) { sum += summedAt(r, last); }
    total += sum;
  }
  workgroupBarrier();
  summing[lane] = total;
  workgroupBarrier();
  var sum = 0.0;
  for (var i = 0u; i < SUMMED; i += MEETING) { sum += summing[min(lane + i, LANES - 1u)]; }
  workgroupBarrier();
  if (part < MEETING) { summing[lane] = sum; }
  workgroupBarrier();
  ownSum = 0.0;
  for (var i = 0u; i < min(MEETING, SUMMED); i++) { ownSum += summing[lane - part + i]; }
}

/** The number of chosen rows before this one. */
fn before(bits: vec2u, row: u32) -> u32 {
  let low = select((1u << (row % 32u)) - 1u, 0xffffffffu, row >= 32u);
  let high = select(0u, select((1u << (row % 32u)) - 1u, 0xffffffffu, row >= 64u), row >= 32u);
  return countOneBits(bits.x & low) + countOneBits(bits.y & high);
}

/** The sequence of a row, by binary search. */
fn sequenceOf(row: u32) -> u32 {
  var low = 0u;
  var high = batch();
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (parent[middle] <= row) { low = middle; } else { high = middle; }
  }
  return low;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (group.x + group.y > 0u) { return; }
  let rows = min(parent[batch()], ROWS);
  for (var first = 0u; first < rows; first += LANES / TEAM) {
    let row = first + lane / TEAM;
    let own = min(row, rows - 1u);
    if (SUMMED > 0u) { sumRow(lane, rowX(own)); }
    let bit = select(0u, 1u << (row % 32u), (row < rows) & isAbove(own));
    if (lane % TEAM == 0u && bit > 0u) { atomicOr(&chosen[row / 32u], bit); }
  }
  workgroupBarrier();
  let bits = vec2u(atomicLoad(&chosen[0]), atomicLoad(&chosen[1]));
  if (lane < rows && ((select(bits.x, bits.y, lane >= 32u) >> (lane % 32u)) & 1u) == 1u) {
    let b = sequenceOf(lane);
    let at = before(bits, lane);
    index[at] = lane;
    publish(at, lane, b, before(bits, parent[b]));
  }
  storageBarrier();
  for (var b = lane; b < batch(); b += LANES) {
    let end = before(bits, parent[b + 1u]);
    if (b == 0u) { starts[0] = 0u; }
    starts[b + 1u] = end;
    finish(b, end - before(bits, parent[b]));
  }
}
