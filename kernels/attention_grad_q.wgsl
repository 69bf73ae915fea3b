// dq[h, i] = scale · Σ over j of p(i, j) · (dy[h, i] · v[g, j] − delta[h, i]) · k[g, j], p = exp(scale · q[h, i] · k[g, j] − lse[h, i]), over the keys that query i sees.
// Method: an invocation goes through the keys between those that its query may see, and adds to its row of dq where that lies. Weights come from the kept
// logarithms of their sums (Dao et al. 2022, arXiv 2205.14135).
// Grid: one invocation for each query of each head.

// --- parameters
struct Sizes {
  heads: u32, sharedHeads: u32, batch: u32, queries: u32, keys: u32, width: u32, widthV: u32, scale: f32,
}
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read> v: array<f32>;
@group(0) @binding(4) var<storage, read> dy: array<f32>;
@group(0) @binding(5) var<storage, read> rows: array<u32>;
@group(0) @binding(6) var<storage, read> stats: array<f32>;
@group(0) @binding(7) var<storage, read_write> dq: array<f32>;
/** Heads of queries, and of keys. */
fn heads() -> u32 { return sizes.heads; }
fn sharedHeads() -> u32 { return sizes.sharedHeads; }
fn batch() -> u32 { return sizes.batch; }
fn queryCount() -> u32 { return sizes.queries; }
fn keyCount() -> u32 { return sizes.keys; }
fn width() -> u32 { return sizes.width; }
fn widthV() -> u32 { return sizes.widthV; }
fn scale() -> f32 { return sizes.scale; }
fn startQ(b: u32) -> u32 { return rows[b]; }
fn startK(b: u32) -> u32 { return rows[batch() + 1u + b]; }
fn positionQ(row: u32) -> u32 { return rows[2u * batch() + 2u + row]; }
fn positionK(row: u32) -> u32 { return rows[2u * batch() + 2u + queryCount() + row]; }
/** Of a query of a head: the logarithm of the sum of the exponentials of its scores; Σ over the columns of dy · y. */
fn lseOf(query: u32) -> f32 { return stats[query]; }
fn deltaOf(query: u32) -> f32 { return stats[heads() * queryCount() + query]; }
fn rounded(v: f32) -> f32 { return v; }
fn sees(i: u32, j: u32) -> bool { return j <= i; }
/** Positions between which the keys lie that a query at this position may see. */
fn firstSeen(i: u32) -> u32 { return 0u; }
fn lastSeen(i: u32) -> u32 { return i; }
// --- end of parameters

fn sequenceOf(row: u32) -> u32 {
  var low = 0u;
  var high = batch();
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (startQ(middle) <= row) { low = middle; } else { high = middle; }
  }
  return low;
}

/** The first key from `begin` to `end` whose position is at least this; else `end`. */
fn keyFrom(begin: u32, end: u32, position: u32) -> u32 {
  var low = begin;
  var high = end;
  while (low < high) {
    let middle = (low + high) / 2u;
    if (positionK(middle) < position) { low = middle + 1u; } else { high = middle; }
  }
  return low;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let query = (group.x + group.y * groups.x) * 64u + lane;
  if (query >= heads() * queryCount()) { return; }
  let row = query % queryCount();
  let keyHead = query / queryCount() / (heads() / sharedHeads());
  let b = sequenceOf(row);
  let i = positionQ(row);
  let begin = keyFrom(startK(b), startK(b + 1u), firstSeen(i));
  let end = keyFrom(begin, startK(b + 1u), lastSeen(i) + 1u);
  for (var c = 0u; c < width(); c++) { dq[query * width() + c] = 0.0; }
  for (var j = begin; j < end; j++) {
    if (!sees(i, positionK(j))) { continue; }
    let key = keyHead * keyCount() + j;
    var score = 0.0;
    for (var c = 0u; c < width(); c++) { score = fma(q[query * width() + c], k[key * width() + c], score); }
    var change = 0.0;
    for (var c = 0u; c < widthV(); c++) { change = fma(dy[query * widthV() + c], v[key * widthV() + c], change); }
    let d = exp(score * scale() - lseOf(query)) * (change - deltaOf(query)) * scale();
    for (var c = 0u; c < width(); c++) { dq[query * width() + c] = fma(d, k[key * width() + c], dq[query * width() + c]); }
  }
  for (var c = 0u; c < width(); c++) { dq[query * width() + c] = rounded(dq[query * width() + c]); }
}
