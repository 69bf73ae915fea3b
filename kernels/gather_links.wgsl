// first[r] = the first n with min(indices[n], last row) = r, next[n] = the one after n with the same row; COUNT where there is none.
// Method: the indices that chose a row become a list in their order, so that what is summed along it has the same bits in every run. One invocation goes through all
// indices for its row: no atomics, and what neighbours read at once is one address.
// Grid: one invocation for each row of the table.

// --- parameters
struct Sizes { count: u32, rows: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read_write> first: array<u32>;
@group(0) @binding(3) var<storage, read_write> next: array<u32>;
fn count() -> u32 { return sizes.count; }
fn tableRows() -> u32 { return sizes.rows; }
// --- end of parameters

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = (group.x + group.y * groups.x) * 64u + lane;
  if (row >= tableRows()) { return; }
  let last = tableRows() - 1u;
  var head = count();
  var tail = count();
  for (var n = 0u; n < count(); n++) {
    if (min(indices[n], last) == row) {
      if (tail == count()) { head = n; } else { next[tail] = n; }
      tail = n;
    }
  }
  first[row] = head;
  if (tail < count()) { next[tail] = count(); }
}
