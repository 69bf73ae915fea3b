// lse[h, i] = log Σ over j of exp(scale · q[h, i] · k[g, j]), j over the keys that query i sees in its sequence; the
// largest number where it sees none.
// Method: as attention.wgsl without its values. A tile of queries of one head goes through the keys in blocks. A lane
// owns four keys of a block and keeps the largest of its scores and a sum relative to it; the lanes' sums are added in
// the end (Milakov and Gimelshein 2018, arXiv 1805.02867).
// Grid: one workgroup for each tile and head of queries; tiles begin anew with each sequence.

// --- parameters
struct Sizes {
  heads: u32, groupSize: u32, batch: u32, quarters: u32, scale: f32, ownHeads: u32, ownRows: u32, otherHeads: u32,
    otherRows: u32,
}
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> k: array<vec4f>;
@group(0) @binding(3) var<storage, read> startsQ: array<u32>;
@group(0) @binding(4) var<storage, read> startsK: array<u32>;
@group(0) @binding(5) var<storage, read> positionsQ: array<u32>;
@group(0) @binding(6) var<storage, read> positionsK: array<u32>;
@group(0) @binding(7) var<storage, read_write> lse: array<f32>;
const LANES = 8u;
/** Queries of a tile; `vec4f` of its staged queries. */
const TILE = 8u;
const STAGED = 128u;
fn heads() -> u32 { return sizes.heads; }
fn batch() -> u32 { return sizes.batch; }
fn quarters() -> u32 { return sizes.quarters; }
fn scale() -> f32 { return sizes.scale; }
/** The heads of both sides for a head of queries. */
fn ownHead(h: u32) -> u32 { return h; }
fn otherHead(h: u32) -> u32 { return h / sizes.groupSize; }
fn ownStart(b: u32) -> u32 { return startsQ[b]; }
fn otherStart(b: u32) -> u32 { return startsK[b]; }
fn ownPosition(row: u32) -> u32 { return positionsQ[row]; }
fn otherPosition(row: u32) -> u32 { return positionsK[row]; }
/** Four columns of a row of a head; zeros beyond the last. */
fn ownAt(head: u32, row: u32, c: u32) -> vec4f { return q[head * sizes.ownHeads + row * sizes.ownRows + c]; }
fn otherAt(head: u32, row: u32, c: u32) -> vec4f { return k[head * sizes.otherHeads + row * sizes.otherRows + c]; }
/** Whether rows at these positions, the own and another, are a pair, and between which positions those lie. */
fn pairs(i: u32, j: u32) -> bool { return j <= i; }
fn firstOf(i: u32) -> u32 { return 0u; }
fn lastOf(i: u32) -> u32 { return i; }
// --- end of parameters

const BLOCK = 4u * LANES;
const LOWEST = -3.4028234e38;
const HIGHEST = 3.4028234e38;
/** Scaled queries: columns 4c … of query r at c · TILE + r. */
var<workgroup> staged: array<vec4f, STAGED>;
/** Of each lane and query the largest score and the sum relative to it. */
var<workgroup> largest: array<f32, TILE * LANES>;
var<workgroup> parts: array<f32, TILE * LANES>;

/** Tiles of the sequences before b, or a few more: by this a tile finds its sequence. */
fn tilesBefore(b: u32) -> u32 { return ownStart(b) / TILE + b; }

fn sequenceOf(tile: u32) -> u32 {
  var low = 0u;
  var high = batch();
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (tilesBefore(middle) <= tile) { low = middle; } else { high = middle; }
  }
  return low;
}

/** The first row of the other side from `begin` to `end` whose position is at least this; else `end`. */
fn otherFrom(begin: u32, end: u32, position: u32) -> u32 {
  var low = begin;
  var high = end;
  while (low < high) {
    let middle = (low + high) / 2u;
    if (otherPosition(middle) < position) { low = middle + 1u; } else { high = middle; }
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
  let tiles = groups.x * groups.y / heads();
  let h = n / tiles;
  let tile = n % tiles;
  let b = sequenceOf(tile);
  let first = ownStart(b);
  let rows = ownStart(b + 1u) - first;
  let entry = (tile - tilesBefore(b)) * TILE;
  if (h >= heads() || entry >= rows) { return; }
  let last = min(entry + TILE, rows) - 1u;
  // No position is the largest number.
  let begin = otherFrom(otherStart(b), otherStart(b + 1u), firstOf(ownPosition(first + entry)));
  let end = otherFrom(begin, otherStart(b + 1u), lastOf(ownPosition(first + last)) + 1u);

  for (var i = lane; i < TILE * quarters(); i += LANES) {
    staged[i] = ownAt(ownHead(h), first + min(entry + i % TILE, last), i / TILE) * scale();
  }
  var positions: array<u32, TILE>;
  var best: array<f32, TILE>;
  var sums: array<f32, TILE>;
  for (var r = 0u; r < TILE; r++) {
    positions[r] = ownPosition(first + min(entry + r, last));
    best[r] = LOWEST;
    sums[r] = 0.0;
  }
  workgroupBarrier();

  // Blocks lie alike in every tile, so a row has the same bits in each.
  for (var block = begin - (begin - otherStart(b)) % BLOCK; block < end; block += BLOCK) {
    let own = vec4u(block + 4u * lane) + vec4u(0u, 1u, 2u, 3u);
    let at = min(own, vec4u(end - 1u));
    var scores: array<vec4f, TILE>;
    for (var r = 0u; r < TILE; r++) { scores[r] = vec4f(); }
    for (var c = 0u; c < quarters(); c++) {
      let others = transpose(mat4x4f(otherAt(otherHead(h), at.x, c), otherAt(otherHead(h), at.y, c),
        otherAt(otherHead(h), at.z, c), otherAt(otherHead(h), at.w, c)));
      for (var r = 0u; r < TILE; r++) {
        let x = staged[c * TILE + r];
        scores[r] = fma(vec4f(x.x), others[0], fma(vec4f(x.y), others[1],
          fma(vec4f(x.z), others[2], fma(vec4f(x.w), others[3], scores[r]))));
      }
    }
    let place = vec4u(otherPosition(at.x), otherPosition(at.y), otherPosition(at.z), otherPosition(at.w));
    for (var r = 0u; r < TILE; r++) {
      let i = positions[r];
      let seen = (own < vec4u(end)) & vec4<bool>(pairs(i, place.x), pairs(i, place.y), pairs(i, place.z),
        pairs(i, place.w));
      let score = select(vec4f(LOWEST), scores[r], seen);
      let most = max(best[r], max(max(score.x, score.y), max(score.z, score.w)));
      let part = select(vec4f(), exp(score - most), seen);
      sums[r] = fma(sums[r], exp(best[r] - most), (part.x + part.y) + (part.z + part.w));
      best[r] = most;
    }
  }

  for (var r = 0u; r < TILE; r++) {
    largest[r * LANES + lane] = best[r];
    parts[r * LANES + lane] = sums[r];
  }
  workgroupBarrier();
  for (var r = lane; r <= last - entry; r += LANES) {
    var most = LOWEST;
    for (var l = 0u; l < LANES; l++) { most = max(most, largest[r * LANES + l]); }
    var total = 0.0;
    for (var l = 0u; l < LANES; l++) { total += parts[r * LANES + l] * exp(largest[r * LANES + l] - most); }
    lse[h * ownStart(batch()) + first + entry + r] = select(HIGHEST, most + log(total), total > 0.0);
  }
}
