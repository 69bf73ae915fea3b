// index[o, ·] = the entries e with chosen[o, e], ascending; then the number of entries, once for each other entry.
// Method: each entry writes one element of the result and counts its place: a chosen entry comes after earlier chosen
// entries; any other entry comes after all chosen entries and earlier others.
// Grid: one invocation for EACH entries.

// --- parameters
struct Sizes { count: u32, among: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> chosen: array<u32>;
@group(0) @binding(2) var<storage, read_write> index: array<u32>;
const LANES = 64u;
const EACH = 1u;
/** Entries of all rows. */
fn count() -> u32 { return sizes.count; }
/** Entries of a row. */
fn among() -> u32 { return sizes.among; }
// --- end of parameters

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.x + group.y * groups.x) * (LANES * EACH);
  let end = min(first + LANES * EACH, count());
  for (var i = first + lane; i < end; i += LANES) {
    let e = i % among();
    let row = i - e;
    var before = 0u;
    for (var other = row; other < i; other++) { before += chosen[other]; }
    if (chosen[i] != 0u) {
      index[row + before] = e;
    } else {
      var all = before;
      for (var other = i; other < row + among(); other++) { all += chosen[other]; }
      index[row + all + e - before] = among();
    }
  }
}
