// Entries sorted by group, in a stable order. For each place p: entries[p] is the entry, rows[p] its row, groups[p] its
// group, and place[entries[p]] = p. starts[g] is the first place of group g; starts[groupCount()] is the first place of
// entries without a group.
// Method: a counting sort. A workgroup goes through all entries for its group. Each lane counts, in one stretch, the
// entries of earlier groups and of the workgroup's group. A prefix sum over the lanes gives each lane's first place,
// and each lane goes through its stretch again.
// Grid: a workgroup for each group, and a workgroup for entries without a group.

// --- parameters
struct Sizes { entries: u32, each: u32, groups: u32, listed: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> group: array<u32>;
@group(0) @binding(2) var<storage, read_write> entries: array<u32>;
@group(0) @binding(3) var<storage, read_write> rows: array<u32>;
@group(0) @binding(4) var<storage, read_write> place: array<u32>;
@group(0) @binding(5) var<storage, read_write> starts: array<u32>;
@group(0) @binding(6) var<storage, read_write> groups: array<u32>;
const LANES = 64u;
fn entryCount() -> u32 { return sizes.entries; }
/** Entries of a row. */
fn each() -> u32 { return sizes.each; }
/** Groups. */
fn groupCount() -> u32 { return sizes.groups; }
/** Places in `entries`, `rows` and `groups`. Entries at later places have no group. */
fn listed() -> u32 { return sizes.listed; }
// --- end of parameters

/** Prefix sums over the lanes: x entries of earlier groups, y entries of this group. */
var<workgroup> counts: array<vec2u, LANES>;

/** The group of an entry; `groupCount()` if it has none. */
fn groupOf(entry: u32) -> u32 { return min(group[entry], groupCount()); }

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let own = workgroup.x + workgroup.y * workgroups.x;
  if (own > groupCount()) { return; }
  let stretch = (entryCount() + LANES - 1u) / LANES;
  let begin = min(lane * stretch, entryCount());
  let end = min(begin + stretch, entryCount());
  var found = vec2u();
  for (var entry = begin; entry < end; entry++) {
    let g = groupOf(entry);
    found += vec2u(u32(g < own), u32(g == own));
  }
  counts[lane] = found;
  workgroupBarrier();
  for (var reach = 1u; reach < LANES; reach *= 2u) {
    var left = vec2u();
    if (lane >= reach) { left = counts[lane - reach]; }
    workgroupBarrier();
    counts[lane] += left;
    workgroupBarrier();
  }
  let first = counts[LANES - 1u].x;
  if (lane == 0u) { starts[own] = first; }
  var at = first + counts[lane].y - found.y;
  for (var entry = begin; entry < end; entry++) {
    if (groupOf(entry) == own) {
      if (at < listed()) {
        entries[at] = entry;
        rows[at] = entry / each();
        groups[at] = own;
      }
      place[entry] = at;
      at++;
    }
  }
}
