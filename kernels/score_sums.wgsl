// lse[h, i] = log Σ over j of exp(scale · q[h, i] · k[g, j]), j over the keys that query i sees in its sequence; the
// largest number where it sees none.
// Method: lanes go through the keys of the sequence in turn, each with its largest score so far and a sum relative to
// that (Milakov and Gimelshein 2018, arXiv 1805.02867); then the lanes' sums are added.
// Grid: one workgroup for each query of each head.

// --- parameters
struct Sizes { heads: u32, groupSize: u32, batch: u32, scale: f32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read> startsQ: array<u32>;
@group(0) @binding(4) var<storage, read> startsK: array<u32>;
@group(0) @binding(5) var<storage, read> positionsQ: array<u32>;
@group(0) @binding(6) var<storage, read> positionsK: array<u32>;
@group(0) @binding(7) var<storage, read_write> lse: array<f32>;
const LANES = 64u;
const WIDTH = 64u;
fn heads() -> u32 { return sizes.heads; }
fn groupSize() -> u32 { return sizes.groupSize; }
fn batch() -> u32 { return sizes.batch; }
fn scale() -> f32 { return sizes.scale; }
fn sees(i: u32, j: u32) -> bool { return j <= i; }
// --- end of parameters

const LOWEST = -3.4028234e38;
const HIGHEST = 3.4028234e38;
var<workgroup> own: array<f32, WIDTH>;
var<workgroup> largest: array<f32, LANES>;
var<workgroup> sums: array<f32, LANES>;

fn sequenceOf(row: u32) -> u32 {
  var low = 0u;
  var high = batch();
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (startsQ[middle] <= row) { low = middle; } else { high = middle; }
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
  let rows = startsQ[batch()];
  if (n >= rows * heads()) { return; }
  let head = n / rows;
  let row = n % rows;
  let b = sequenceOf(row);
  let keyRows = startsK[batch()];
  let first = head / groupSize() * keyRows;
  for (var c = lane; c < WIDTH; c += LANES) { own[c] = q[n * WIDTH + c] * scale(); }
  workgroupBarrier();

  var most = LOWEST;
  var sum = 0.0;
  let position = positionsQ[row];
  for (var j = startsK[b] + lane; j < startsK[b + 1u]; j += LANES) {
    if (!sees(position, positionsK[j])) { continue; }
    var score = 0.0;
    for (var c = 0u; c < WIDTH; c++) { score = fma(own[c], k[(first + j) * WIDTH + c], score); }
    let next = max(most, score);
    sum = fma(sum, exp(most - next), exp(score - next));
    most = next;
  }
  largest[lane] = most;
  sums[lane] = sum;
  workgroupBarrier();
  if (lane == 0u) {
    var whole = LOWEST;
    for (var l = 0u; l < LANES; l++) { whole = max(whole, largest[l]); }
    var total = 0.0;
    for (var l = 0u; l < LANES; l++) { total += sums[l] * exp(largest[l] - whole); }
    lse[n] = select(HIGHEST, whole + log(total), total > 0.0);
  }
}
