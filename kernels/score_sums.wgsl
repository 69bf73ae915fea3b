// lse[h, i] = log Σ over j of exp(scale · q[h, i] · k[g, j]), j over the keys that query i sees in its sequence;
// HIGHEST if the query sees no key.
// Method: as attention.wgsl, without values. The own side is the queries: a tile of queries of one head goes through
// the keys in blocks. A lane owns four keys of a block, and keeps the largest of its scores and a sum relative to it.
// The sums of the lanes are added up at the end (Milakov and Gimelshein 2018, arXiv 1805.02867).
// Grid: one workgroup for each tile and query head; each sequence starts a new tile.

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
/** Lanes of a workgroup. */
const LANES = 8u;
/** Queries of a tile. */
const TILE = 8u;
/** `vec4f` of the tile's queries in workgroup memory. */
const STAGED = 128u;
/** Query heads. */
fn heads() -> u32 { return sizes.heads; }
/** Sequences. */
fn batch() -> u32 { return sizes.batch; }
/** `vec4f` columns of q and k. */
fn quarters() -> u32 { return sizes.quarters; }
fn scale() -> f32 { return sizes.scale; }
/** The head of the own side for a query head. */
fn ownHead(h: u32) -> u32 { return h; }
/** The head of the other side for a query head. */
fn otherHead(h: u32) -> u32 { return h / sizes.groupSize; }
/** The first row of sequence b on the own side. `ownStart(batch())` is the number of rows. */
fn ownStart(b: u32) -> u32 { return startsQ[b]; }
/** The first row of sequence b on the other side. `otherStart(batch())` is the number of rows. */
fn otherStart(b: u32) -> u32 { return startsK[b]; }
/** A row's position on the own side. */
fn ownPosition(row: u32) -> u32 { return positionsQ[row]; }
/** A row's position on the other side. */
fn otherPosition(row: u32) -> u32 { return positionsK[row]; }
/** Columns 4c to 4c + 3 of a row of the own side; zeros past the last column. */
fn ownAt(head: u32, row: u32, c: u32) -> vec4f { return q[head * sizes.ownHeads + row * sizes.ownRows + c]; }
/** Columns 4c to 4c + 3 of a row of the other side; zeros past the last column. */
fn otherAt(head: u32, row: u32, c: u32) -> vec4f { return k[head * sizes.otherHeads + row * sizes.otherRows + c]; }
/**
 * Whether two rows, at position i on the own side and j on the other side, are a pair: a query and a key that it sees.
 */
fn pairs(i: u32, j: u32) -> bool { return j <= i; }
/** The first position that may pair with position i on the own side. */
fn firstOf(i: u32) -> u32 { return 0u; }
/** The last position that may pair with position i on the own side. */
fn lastOf(i: u32) -> u32 { return i; }
// --- end of parameters

/** Rows of the other side in a block: four for each lane. */
const BLOCK = 4u * LANES;
/** The score of a key that is not seen. */
const LOWEST = -3.4028234e38;
/** The largest f32. */
const HIGHEST = 3.4028234e38;
// Workgroup memory:
//   staged[c · TILE + r]     columns 4c to 4c + 3 of query r, scaled.
//   largest[r · LANES + l]   at the end, lane l's largest score of query r.
//   parts[r · LANES + l]     at the end, lane l's sum for query r, relative to its largest score.
var<workgroup> staged: array<vec4f, STAGED>;
var<workgroup> largest: array<f32, TILE * LANES>;
var<workgroup> parts: array<f32, TILE * LANES>;

/** An upper bound on the tiles of the sequences before b. It grows with b, so binary search finds a tile's sequence. */
fn tilesBefore(b: u32) -> u32 { return ownStart(b) / TILE + b; }

/** The sequence of a tile, by binary search. */
fn sequenceOf(tile: u32) -> u32 {
  var low = 0u;
  var high = batch();
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (tilesBefore(middle) <= tile) { low = middle; } else { high = middle; }
  }
  return low;
}

/** The first row of the other side in [begin, end) at or past `position`; `end` if there is none. */
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
  // Positions are below 2^32 − 1, so `+ 1u` does not overflow.
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

  // Blocks start at multiples of BLOCK from the sequence's first row in every tile, so a row has the same bits in each.
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
