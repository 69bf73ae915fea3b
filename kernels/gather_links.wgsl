// The lists of the n that look up each row min(indices[n], last row): heads[n] is 1 where n is the first of its list,
// else 0; next[n] is the one after n plus one, 0 where there is none.
// Method: the indices that chose a row become a list in their order, so that what is summed along it has the same bits
// in every run. An invocation looks back for an earlier n of its row, without which it is the first, and ahead for the
// next: no atomics, and what neighbours read at once is near.
// Grid: one invocation for each index.

// --- parameters
struct Sizes { count: u32, rows: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read_write> heads: array<u32>;
@group(0) @binding(3) var<storage, read_write> next: array<u32>;
fn count() -> u32 { return sizes.count; }
fn tableRows() -> u32 { return sizes.rows; }
// --- end of parameters

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
