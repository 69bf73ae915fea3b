// dv[g, j] = Σ over h, i of p(i, j) · dy[h, i], dk[g, j] = scale · Σ over h, i of p(i, j) · (dy[h, i] · v[g, j] − delta[h, i]) · q[h, i], p as in attention_grad_q.wgsl, over the
// queries that see key j in the heads that share g.
// Method: an invocation goes through the queries between those that may see its key, and adds to its rows of dk and dv where those lie.
// Grid: one invocation for each key of each head of keys.

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
@group(0) @binding(7) var<storage, read_write> dk: array<f32>;
@group(0) @binding(8) var<storage, read_write> dv: array<f32>;
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
/** Positions between which the queries lie that may see a key at this position. */
fn firstSeeing(j: u32) -> u32 { return j; }
fn lastSeeing(j: u32) -> u32 { return 0xfffffffeu; }
// --- end of parameters

fn sequenceOf(row: u32) -> u32 {
  var low = 0u;
  var high = batch();
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (startK(middle) <= row) { low = middle; } else { high = middle; }
  }
  return low;
}

/** The first query from `begin` to `end` whose position is at least this; else `end`. */
fn queryFrom(begin: u32, end: u32, position: u32) -> u32 {
  var low = begin;
  var high = end;
  while (low < high) {
    let middle = (low + high) / 2u;
    if (positionQ(middle) < position) { low = middle + 1u; } else { high = middle; }
  }
  return low;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let key = (group.x + group.y * groups.x) * 64u + lane;
  if (key >= sharedHeads() * keyCount()) { return; }
  let row = key % keyCount();
  let groupSize = heads() / sharedHeads();
  let firstHead = key / keyCount() * groupSize;
  let b = sequenceOf(row);
  let j = positionK(row);
  let begin = queryFrom(startQ(b), startQ(b + 1u), firstSeeing(j));
  let end = queryFrom(begin, startQ(b + 1u), lastSeeing(j) + 1u);
  for (var c = 0u; c < width(); c++) { dk[key * width() + c] = 0.0; }
  for (var c = 0u; c < widthV(); c++) { dv[key * widthV() + c] = 0.0; }
  for (var h = firstHead; h < firstHead + groupSize; h++) {
    for (var i = begin; i < end; i++) {
      if (!sees(positionQ(i), j)) { continue; }
      let query = h * queryCount() + i;
      var score = 0.0;
      for (var c = 0u; c < width(); c++) { score = fma(q[query * width() + c], k[key * width() + c], score); }
      var change = 0.0;
      for (var c = 0u; c < widthV(); c++) { change = fma(dy[query * widthV() + c], v[key * widthV() + c], change); }
      let weight = exp(score * scale() - lseOf(query));
      let d = weight * (change - deltaOf(query)) * scale();
      for (var c = 0u; c < widthV(); c++) { dv[key * widthV() + c] = fma(weight, dy[query * widthV() + c], dv[key * widthV() + c]); }
      for (var c = 0u; c < width(); c++) { dk[key * width() + c] = fma(d, q[query * width() + c], dk[key * width() + c]); }
    }
  }
  for (var c = 0u; c < width(); c++) { dk[key * width() + c] = rounded(dk[key * width() + c]); }
  for (var c = 0u; c < widthV(); c++) { dv[key * widthV() + c] = rounded(dv[key * widthV() + c]); }
}
