// y[h, j] = Σ over i of exp(scale · q[h, i] · k[g, j] − lse[h, i]), i over the queries that see key j in its sequence:
// how much attention the key gets from each head.
// Method: lanes go through the queries of the sequence in turn; then the lanes' sums are added.
// Grid: one workgroup for each key and each head of queries.

// --- parameters
struct Sizes { heads: u32, groupSize: u32, batch: u32, scale: f32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read> startsQ: array<u32>;
@group(0) @binding(4) var<storage, read> startsK: array<u32>;
@group(0) @binding(5) var<storage, read> positionsQ: array<u32>;
@group(0) @binding(6) var<storage, read> positionsK: array<u32>;
@group(0) @binding(7) var<storage, read> lse: array<f32>;
@group(0) @binding(8) var<storage, read_write> y: array<f32>;
const LANES = 64u;
const WIDTH = 64u;
fn heads() -> u32 { return sizes.heads; }
fn groupSize() -> u32 { return sizes.groupSize; }
fn batch() -> u32 { return sizes.batch; }
fn scale() -> f32 { return sizes.scale; }
fn sees(i: u32, j: u32) -> bool { return j <= i; }
// --- end of parameters

var<workgroup> own: array<f32, WIDTH>;
var<workgroup> sums: array<f32, LANES>;

fn sequenceOf(row: u32) -> u32 {
  var low = 0u;
  var high = batch();
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (startsK[middle] <= row) { low = middle; } else { high = middle; }
  }
  return low;
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let n = group.x + group.y * groups.x;
  let rows = startsK[batch()];
  if (n >= rows * heads()) { return; }
  let head = n / rows;
  let row = n % rows;
  let b = sequenceOf(row);
  let first = head * startsQ[batch()];
  let key = head / groupSize() * rows + row;
  for (var c = lane; c < WIDTH; c += LANES) { own[c] = k[key * WIDTH + c] * scale(); }
  workgroupBarrier();

  var sum = 0.0;
  let position = positionsK[row];
  for (var i = startsQ[b] + lane; i < startsQ[b + 1u]; i += LANES) {
    if (!sees(positionsQ[i], position)) { continue; }
    var score = 0.0;
    for (var c = 0u; c < WIDTH; c++) { score = fma(q[(first + i) * WIDTH + c], own[c], score); }
    sum += exp(score - lse[first + i]);
  }
  sums[lane] = sum;
  workgroupBarrier();
  if (lane == 0u) {
    var total = 0.0;
    for (var l = 0u; l < LANES; l++) { total += sums[l]; }
    y[n] = total;
  }
}
