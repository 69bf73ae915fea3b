// keys[n] = (position, pool row) of packed row n. Row i of a sequence is row pages[sequence, i / PAGE] · PAGE + i %
// PAGE of the pool. Rows past the sequence's count get position UNUSED and row 0.
// Method: binary search finds the last sequence that starts at or before n.
// Grid: one invocation for each packed row.

// --- parameters
struct Sizes { batch: u32, pages: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> starts: array<u32>;
@group(0) @binding(2) var<storage, read> counts: array<u32>;
@group(0) @binding(3) var<storage, read> pages: array<u32>;
@group(0) @binding(4) var<storage, read_write> keys: array<u32>;
/** Rows of a page. */
const PAGE = 16u;
fn batch() -> u32 { return sizes.batch; }
/** Pages of a sequence in the table. */
fn pagesEach() -> u32 { return sizes.pages; }
/** The position of row i of a sequence; `row` is its row of the pool. */
fn positionAt(i: u32, row: u32) -> u32 { return i; }
// --- end of parameters

/** The position of an unused row. */
const UNUSED = 0xffffffffu;

/** The sequence of a packed row, by binary search. */
fn sequenceOf(n: u32) -> u32 {
  var low = 0u;
  var high = batch();
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (starts[middle] <= n) { low = middle; } else { high = middle; }
  }
  return low;
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let n = (group.x + group.y * groups.x) * 64u + lane;
  if (n >= starts[batch()]) { return; }
  let sequence = sequenceOf(n);
  let i = n - starts[sequence];
  if (i >= counts[sequence]) {
    keys[2u * n] = UNUSED;
    keys[2u * n + 1u] = 0u;
    return;
  }
  let row = pages[sequence * pagesEach() + min(i / PAGE, pagesEach() - 1u)] * PAGE + i % PAGE;
  keys[2u * n] = positionAt(i, row);
  keys[2u * n + 1u] = row;
}
