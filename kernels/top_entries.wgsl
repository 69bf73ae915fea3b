// index[o, ·] = the k best of the entries score[o, ·], ascending; of equal scores the lower index is better, NaN is
// last.
// Method: scores become integer keys of the same order (NaN lowest, −0 as 0). LANES invocations share a row; each
// counts, for each of its entries, the entries that are better. The k-th best entry is the bound of its row. The place
// of a chosen entry is the number of earlier entries that reach the bound. Nothing is sorted, and the result is in
// order.
// Grid: one workgroup for each INVOCATIONS / LANES rows.

// --- parameters
struct Sizes { rows: u32, among: u32, chosen: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> score: array<u32>;
@group(0) @binding(2) var<storage, read_write> index: array<u32>;
/** Invocations of a workgroup. */
const INVOCATIONS = 64u;
/** Invocations that share a row. */
const LANES = 64u;
fn rowCount() -> u32 { return sizes.rows; }
/** Entries of a row. */
fn among() -> u32 { return sizes.among; }
/** k. */
fn chosen() -> u32 { return sizes.chosen; }
// --- end of parameters

/** For each row of the workgroup, the k-th best entry: its key and its index. */
var<workgroup> bounds: array<vec2u, INVOCATIONS>;

/** An integer key in the order of the scores: NaN lowest, −0 as 0. */
fn keyAt(at: u32) -> u32 {
  let bits = score[at];
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return 0u; }
  if (magnitude == 0u) { return 0x80000000u; }
  return bits ^ select(0x80000000u, 0xffffffffu, bits >= 0x80000000u);
}

/** Whether entry e is the bound or better. */
fn reaches(key: u32, e: u32, bound: vec2u) -> bool {
  return key > bound.x || (key == bound.x && e <= bound.y);
}

@compute @workgroup_size(INVOCATIONS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) invocation: u32,
) {
  let first = (group.x + group.y * groups.x) * (INVOCATIONS / LANES);
  if (first >= rowCount()) { return; }
  let own = invocation / LANES;
  let o = first + own;
  let lane = invocation % LANES;
  // Lanes past the last row have no entries.
  let end = select(0u, among(), o < rowCount());
  let start = o * among();
  for (var e = lane; e < end; e += LANES) {
    let key = keyAt(start + e);
    var better = 0u;
    for (var other = 0u; other < end; other++) {
      let otherKey = keyAt(start + other);
      better += u32(otherKey > key || (otherKey == key && other < e));
    }
    if (better + 1u == chosen()) { bounds[own] = vec2u(key, e); }
  }
  workgroupBarrier();
  let bound = bounds[own];
  for (var e = lane; e < end; e += LANES) {
    if (!reaches(keyAt(start + e), e, bound)) { continue; }
    var before = 0u;
    for (var other = 0u; other < e; other++) { before += u32(reaches(keyAt(start + other), other, bound)); }
    index[o * chosen() + before] = e;
  }
}
