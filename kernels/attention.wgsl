// y[h, i] = Σ over j of softmax over j (scale · q[h, i] · k[g, j]) · v[g, j], j over the keys that query i sees in its sequence; zeros where it sees none.
// Method: a query goes through the keys of its sequence once, keeping the largest score, the sum and the weighted values, which are
// scaled down whenever a larger score comes (Milakov and Gimelshein 2018, arXiv 1805.02867). Nothing of size T × T exists.
// Grid: one invocation for each head and query; consecutive invocations share a head and its keys.

// --- parameters
struct Sizes { heads: u32, groupSize: u32, batch: u32, scale: f32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read> v: array<f32>;
@group(0) @binding(4) var<storage, read> startsQ: array<u32>;
@group(0) @binding(5) var<storage, read> startsK: array<u32>;
@group(0) @binding(6) var<storage, read> positionsQ: array<u32>;
@group(0) @binding(7) var<storage, read> positionsK: array<u32>;
@group(0) @binding(8) var<storage, read_write> y: array<f32>;
const WIDTH = 4u;
const WIDTH_V = 4u;
fn heads() -> u32 { return sizes.heads; }
/** Query heads that share a head of keys. */
fn groupSize() -> u32 { return sizes.groupSize; }
fn batch() -> u32 { return sizes.batch; }
fn scale() -> f32 { return sizes.scale; }
fn sees(i: u32, j: u32) -> bool { return j <= i; }
fn rounded(x: f32) -> f32 { return x; }
// --- end of parameters

fn sequenceOf(n: u32) -> u32 {
  var low = 0u;
  var high = batch();
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (startsQ[middle] <= n) { low = middle; } else { high = middle; }
  }
  return low;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.x + group.y * groups.x) * 64u + lane;
  let queries = startsQ[batch()];
  if (i >= heads() * queries) { return; }
  let row = i % queries;
  let keys = startsK[batch()];
  let rowsBefore = (i / queries / groupSize()) * keys;
  let b = sequenceOf(row);
  let position = positionsQ[row];

  var query: array<f32, WIDTH>;
  for (var c = 0u; c < WIDTH; c++) { query[c] = q[i * WIDTH + c] * scale(); }
  var value: array<f32, WIDTH_V>;
  for (var c = 0u; c < WIDTH_V; c++) { value[c] = 0.0; }
  var largest = 0.0;
  var sum = 0.0;
  var any = false;
  for (var j = startsK[b]; j < startsK[b + 1u]; j++) {
    if (!sees(position, positionsK[j])) { continue; }
    let atK = (rowsBefore + j) * WIDTH;
    var score = 0.0;
    for (var c = 0u; c < WIDTH; c++) { score = fma(query[c], k[atK + c], score); }
    if (!any) {
      any = true;
      largest = score;
    } else if (score > largest) {
      let shrink = exp(largest - score);
      sum *= shrink;
      for (var c = 0u; c < WIDTH_V; c++) { value[c] *= shrink; }
      largest = score;
    }
    let weight = exp(score - largest);
    sum += weight;
    let atV = (rowsBefore + j) * WIDTH_V;
    for (var c = 0u; c < WIDTH_V; c++) { value[c] = fma(weight, v[atV + c], value[c]); }
  }
  let inverse = select(0.0, 1.0 / sum, any);
  for (var c = 0u; c < WIDTH_V; c++) { y[i * WIDTH_V + c] = rounded(value[c] * inverse); }
}
