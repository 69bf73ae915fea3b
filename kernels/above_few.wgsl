// The rows of each sequence that score above the threshold, ascending: index[starts[b] + j], and the starts of the axis
// they make.
// Method: as above.wgsl, for GPUs and up to 64 rows of all sequences together. A lane compares a row, or SUMMED lanes
// share its score, which is a sum in the order of row_sums_wide.wgsl. A row that is chosen has a bit, and the rows
// before one are counted in the bits.
// Grid: one workgroup.

// --- parameters
struct Sizes { batch: u32, depth: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> threshold: array<f32>;
@group(0) @binding(3) var<storage, read> parent: array<u32>;
@group(0) @binding(4) var<storage, read_write> index: array<u32>;
@group(0) @binding(5) var<storage, read_write> starts: array<u32>;
fn batch() -> u32 { return sizes.batch; }
/** Lanes that share the sum over a row of `valueX`, `ownSum`, which `value` needs; 0: it needs none. */
const SUMMED = 16u;
fn depth() -> u32 { return sizes.depth; }
struct RowX { at: u32 }
fn rowX(row: u32) -> RowX { return RowX(row * depth()); }
alias ColX = u32;
fn colX(k: u32) -> ColX { return k; }
fn valueX(r: RowX, c: ColX, k: u32) -> f32 { return x[r.at + k]; }
/** The score of a row, which may be computed from others. */
fn value(i: u32) -> f32 { return ownSum; }
fn thresholdAt(row: u32) -> f32 { return threshold[0]; }
/** Row `row` of sequence b is number `at` of all that are chosen; `first`: that of the sequence's first. */
fn publish(at: u32, row: u32, b: u32, first: u32) {}
/** So many rows of sequence b are chosen. */
fn finish(b: u32, count: u32) {}
const LANES = 256u;
/** The most rows of a sequence. */
const ROWS = 64u;
// --- end of parameters

/** Lanes of a row. */
const TEAM = max(SUMMED, 1u);
/** Lanes of a row that add up others first, and values that a lane has in flight. */
const MEETING = 16u;
const AT_ONCE = 8u;
/** A bit for each row. */
var<workgroup> chosen: array<atomic<u32>, ROWS / 32u>;
var<workgroup> summing: array<f32, LANES>;
var<private> ownSum: f32;

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

fn summedAt(r: RowX, k: u32) -> f32 { return valueX(r, colX(k), k); }

fn sumRow(lane: u32, r: RowX) {
  let part = lane % TEAM;
  var total = 0.0;
  for (var start = 0u; start < depth(); start += 32u * TEAM) {
    // Values of a block that every lane has.
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

/** How many of the rows before this one are chosen. */
fn before(bits: vec2u, row: u32) -> u32 {
  let low = select((1u << (row % 32u)) - 1u, 0xffffffffu, row >= 32u);
  let high = select(0u, select((1u << (row % 32u)) - 1u, 0xffffffffu, row >= 64u), row >= 32u);
  return countOneBits(bits.x & low) + countOneBits(bits.y & high);
}

/** The sequence of a row. */
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
