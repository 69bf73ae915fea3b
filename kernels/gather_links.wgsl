// For each row, the list of the n that look it up; n looks up row min(indices[n], last row). heads[n] = 1 if n is the
// first of its list, else 0. next[n] = the next n of the list, plus 1; 0 at its end.
// Method: lists keep the order of n, so a sum along one has the same bits in every run. An invocation searches
// backwards for an earlier n with the same row; if there is none, n is the first. Then it searches forwards for the
// next n. There are no atomics, and neighbours read neighbouring indices.
// Grid: one invocation for each index.

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

/** The row that n looks up: the last row, if its index is larger. */
fn rowOf(n: u32) -> u32 { return min(indices[n], tableRows() - 1u); }

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let n = (group.x + group.y * groups.x) * 64u + lane;
  if (n >= count()) { return; }
  let row = rowOf(n);
  var before = n;
  while (before > 0u && rowOf(before - 1u) != row) { before--; }
  heads[n] = select(0u, 1u, before == 0u);
  var after = n + 1u;
  while (after < count() && rowOf(after) != row) { after++; }
  next[n] = select(after + 1u, 0u, after == count());
}
