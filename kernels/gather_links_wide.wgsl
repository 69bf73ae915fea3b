// For each row, the list of the n that look it up; n looks up row min(indices[n], last row). heads[n] = 1 if n is the
// first of its list, else 0. next[n] = the next n of the list, plus 1; 0 at its end.
// Method: the same lists as in gather_links.wgsl, for GPUs. 64 neighbouring n search together, in stretches of 256
// indices that they load into workgroup memory: backwards for an earlier n with the same row, and forwards for the next
// n. They stop when all have found theirs, or at the last index.
// Grid: one workgroup for each 64 indices.

// --- parameters
struct Sizes { count: u32, rows: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read_write> heads: array<u32>;
@group(0) @binding(3) var<storage, read_write> next: array<u32>;
/** Indices. */
fn count() -> u32 { return sizes.count; }
/** Rows of the table. */
fn tableRows() -> u32 { return sizes.rows; }
// --- end of parameters

const LANES = 64u;
/** Indices of a stretch. */
const STRETCH = 4u * LANES;
/** Not an index, and not a row. */
const NONE = 0xffffffffu;
/** The rows that a stretch looks up. */
var<workgroup> rows: array<vec4u, LANES>;
/** 1 if an invocation still searches, else 0. */
var<workgroup> searching: u32;

/** The row that n looks up: the last row, if its index is larger. NONE past the last n. */
fn rowOf(n: u32) -> u32 {
  if (n >= count()) { return NONE; }
  return min(indices[n], tableRows() - 1u);
}

/**
 * Loads the rows of a stretch. `wanted`: whether this invocation still searches. Returns whether any invocation does.
 */
fn bring(first: u32, lane: u32, wanted: bool) -> bool {
  if (lane == 0u) { searching = 0u; }
  workgroupBarrier();
  if (wanted) { searching = 1u; }
  let n = first + 4u * lane;
  rows[lane] = vec4u(rowOf(n), rowOf(n + 1u), rowOf(n + 2u), rowOf(n + 3u));
  return workgroupUniformLoad(&searching) > 0u;
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let begin = (group.x + group.y * groups.x) * LANES;
  if (begin >= count()) { return; }
  let n = begin + lane;
  let exists = n < count();
  let row = rowOf(n);
  let own = begin / STRETCH * STRETCH;
  let places = vec4u(0u, 1u, 2u, 3u);

  var isFirst = true;
  for (var before = own + STRETCH; before > 0u; before -= STRETCH) {
    let first = before - STRETCH;
    if (!bring(first, lane, exists && isFirst)) { break; }
    for (var i = 0u; i < LANES; i++) {
      let earlier = (rows[i] == vec4u(row)) & (places + (first + 4u * i) < vec4u(n));
      isFirst = isFirst && !any(earlier);
    }
    workgroupBarrier();
  }
  var after = NONE;
  for (var first = own; first < count(); first += STRETCH) {
    if (!bring(first, lane, exists && after == NONE)) { break; }
    if (after == NONE) {
      for (var i = 0u; i < LANES; i++) {
        let at = places + (first + 4u * i);
        let later = select(vec4u(NONE), at, (rows[i] == vec4u(row)) & (at > vec4u(n)));
        after = min(after, min(min(later.x, later.y), min(later.z, later.w)));
      }
    }
    workgroupBarrier();
  }
  if (!exists) { return; }
  heads[n] = select(0u, 1u, isFirst);
  next[n] = select(after + 1u, 0u, after == NONE);
}
