// For attention with a mask and a bias: the gradient of one operand of the bias, a table or numbers in memory pair by
// pair. For a pair (i, j) of head h it is w[j] · p · (dy[h, i] · v[g, j] − delta) · d bias / d operand, with p =
// exp(score − lse) as in attention_pairs_grad.wgsl; for a table it is added to the entry that the pair reads.
// Method: as attention_pairs_grad.wgsl with the queries as own side. For a table, each lane adds up the entries whose
// number is its own modulo LANES, so every entry of a tile's partial table is added up by one lane, in one order.
// Grid: one workgroup for each tile of queries and key head; each sequence starts a new tile.

// --- parameters
struct Sizes {
  sharedHeads: u32, groupSize: u32, batch: u32, quarters: u32, quartersV: u32, scale: f32, queries: u32,
  queryHeads: u32, queryRows: u32, keyHeads: u32, keyRows: u32, valueHeads: u32, valueRows: u32, resultHeads: u32,
    resultRows: u32,
}
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> k: array<vec4f>;
@group(0) @binding(3) var<storage, read> v: array<vec4f>;
@group(0) @binding(4) var<storage, read> dy: array<vec4f>;
@group(0) @binding(5) var<storage, read> rows: array<u32>;
@group(0) @binding(6) var<storage, read_write> partials: array<f32>;
/** Lanes of a workgroup. */
const LANES = 8u;
/** Rows of a tile. */
const TILE = 8u;
/** `vec4f` of the tile's rows of a in workgroup memory. */
const STAGED = 128u;
/** `vec4f` of the tile's rows of b in workgroup memory. */
const STAGED_V = 128u;
/** Readings of the operand in the expression of the bias. */
const READINGS = 1u;
/** Entries of the table; 0 if the operand is no table. */
const ENTRIES = 16u;
/** Key heads. */
fn sharedHeads() -> u32 { return sizes.sharedHeads; }
/** Entries per row of the own side: query heads per key head if the own side is the queries, else 1. */
fn ownGroup() -> u32 { return sizes.groupSize; }
/** Entries per row of the other side. */
fn otherGroup() -> u32 { return 1u; }
/** Sequences. */
fn batch() -> u32 { return sizes.batch; }
/** `vec4f` columns of a and x. */
fn quarters() -> u32 { return sizes.quarters; }
/** `vec4f` columns of b and y. */
fn quartersV() -> u32 { return sizes.quartersV; }
fn scale() -> f32 { return sizes.scale; }
/** The first row of sequence b on the own side. `ownStart(batch())` is the number of rows. */
fn ownStart(b: u32) -> u32 { return rows[b]; }
/** The first row of sequence b on the other side. `otherStart(batch())` is the number of rows. */
fn otherStart(b: u32) -> u32 { return rows[batch() + 1u + b]; }
/** A row's position on the own side. */
fn ownPosition(row: u32) -> u32 { return rows[2u * batch() + 2u + row]; }
/** A row's position on the other side. */
fn otherPosition(row: u32) -> u32 { return rows[2u * batch() + 2u + sizes.queries + row]; }
/** Columns 4c to 4c + 3 of a row of a. */
fn aAt(head: u32, row: u32, c: u32) -> vec4f { return q[head * sizes.queryHeads + row * sizes.queryRows + c]; }
/** Columns 4c to 4c + 3 of a row of b. */
fn bAt(head: u32, row: u32, c: u32) -> vec4f { return dy[head * sizes.resultHeads + row * sizes.resultRows + c]; }
/** Columns 4c to 4c + 3 of a row of x. */
fn xAt(head: u32, row: u32, c: u32) -> vec4f { return k[head * sizes.keyHeads + row * sizes.keyRows + c]; }
/** Columns 4c to 4c + 3 of a row of y. */
fn yAt(head: u32, row: u32, c: u32) -> vec4f { return v[head * sizes.valueHeads + row * sizes.valueRows + c]; }
/** lse and delta of a row of the own side if it is a query, else zeros. */
fn ownStats(head: u32, row: u32) -> vec2f {
  let n = sizes.sharedHeads * sizes.groupSize * sizes.queries;
  let at = 2u * batch() + 2u + sizes.queries + otherStart(batch()) + head * sizes.queries + row;
  return vec2f(bitcast<f32>(rows[at]), bitcast<f32>(rows[at + n]));
}
/** The weight of a row of the other side if it is a key, else 1. */
fn otherWeight(row: u32) -> f32 { return 1.0; }
/** The first row of sequence b in k. */
fn keyStart(b: u32) -> u32 { return otherStart(b); }
/** The score of a pair of tokens, d score / d (scaled product), and whether the mask shows the pair. */
struct PairValue { score: f32, slope: f32, seen: bool }
/** The value of a row of the own side and one of the other side, at positions i and j, from their scaled product. */
fn pairing(
  ownHead: u32, own: u32, otherHead: u32, other: u32, firstKey: u32, i: u32, j: u32, score: f32,
) -> PairValue {
  return PairValue(score + f32(j) * 0.01 * f32(own), 1.0, true);
}
/** d bias / d element of the operand, for reading n. */
fn slopeAt(n: u32, head: u32, query: u32, key: u32, firstKey: u32, i: u32, j: u32) -> f32 { return 1.0; }
/** The entry of the table that reading n reads. */
fn indexAt(n: u32, head: u32, query: u32, key: u32, firstKey: u32, i: u32, j: u32) -> u32 { return min(j, 15u); }
/** Stores the gradient of a pair's own number; `key`: from the sequence's first. */
fn leave(head: u32, query: u32, key: u32, x: f32) {}
/** Adds to an entry of the partial table of a tile and head. */
fn addTo(tile: u32, head: u32, entry: u32, x: f32) {
  partials[(tile * sizes.sharedHeads * sizes.groupSize + head) * ENTRIES + entry] += x;
}
/** Whether the mask may show a pair of rows in these two ranges. */
fn mayMeet(firstOwn: u32, lastOwn: u32, firstOther: u32, lastOther: u32) -> bool { return true; }
/**
 * Whether two rows, at position i on the own side and j on the other side, are a pair: a query and a key that it sees.
 */
fn pairs(i: u32, j: u32) -> bool { return j <= i; }
/** The first position that may pair with position i on the own side. */
fn firstOf(i: u32) -> u32 { return 0u; }
/** The last position that may pair with position i on the own side. */
fn lastOf(i: u32) -> u32 { return i; }
// --- end of parameters

/** Entries of the other side in a block: four for each lane. */
const BLOCK = 4u * LANES;
// Workgroup memory:
//   stagedA[c · TILE + r]    columns 4c to 4c + 3 of row r of a, scaled.
//   stagedB[c · TILE + r]    columns 4c to 4c + 3 of row r of b.
//   found[r · LANES + l]     row r and the four entries of lane l in this block: b · y, then c.
//   changes[r · LANES + l]   scaled products of these, then the gradients by the entries that they read.
//   entriesOf[r · LANES + l] the entries of the table that these pairs read.
var<workgroup> stagedA: array<vec4f, STAGED>;
var<workgroup> stagedB: array<vec4f, STAGED_V>;
var<workgroup> found: array<vec4f, TILE * LANES>;
var<workgroup> changes: array<vec4f, TILE * LANES>;
var<workgroup> entriesOf: array<vec4u, TILE * LANES>;

/** An upper bound on the tiles of the sequences before b. It grows with b, so binary search finds a tile's sequence. */
fn tilesBefore(b: u32) -> u32 { return ownStart(b) * ownGroup() / TILE + b; }

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

/** d bias / d operand, if every reading reads one element. */
fn slope(head: u32, query: u32, key: u32, firstKey: u32, i: u32, j: u32) -> f32 {
  var sum = 0.0;
  for (var m = 0u; m < READINGS; m++) { sum += slopeAt(m, head, query, key, firstKey, i, j); }
  return sum;
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let n = group.x + group.y * groups.x;
  let tiles = groups.x * groups.y / sharedHeads();
  let tile = n % tiles;
  let b = sequenceOf(tile);
  let first = ownStart(b);
  let entries = (ownStart(b + 1u) - first) * ownGroup();
  let entry = (tile - tilesBefore(b)) * TILE;
  if (n / tiles >= sharedHeads() || entry >= entries) { return; }
  let ownHead = n / tiles * ownGroup();
  let otherHead = n / tiles * otherGroup();
  let filled = min(TILE, entries - entry);
  let firstPosition = ownPosition(first + entry / ownGroup());
  let lastPosition = ownPosition(first + (entry + filled - 1u) / ownGroup());
  // The entries of the other side that may pair with some row of the tile. Positions are below 2^32 − 1, so `+ 1u` does
  // not overflow.
  let firstOther = otherStart(b);
  let lastOther = otherStart(b + 1u);
  let firstRow = otherFrom(firstOther, lastOther, firstOf(firstPosition));
  let lastRow = otherFrom(firstRow, lastOther, lastOf(lastPosition) + 1u);
  let begin = firstRow * otherGroup();
  let end = lastRow * otherGroup();

  for (var i = lane; i < TILE * quarters(); i += LANES) {
    let e = entry + min(i % TILE, filled - 1u);
    stagedA[i] = aAt(ownHead + e % ownGroup(), first + e / ownGroup(), i / TILE) * scale();
  }
  for (var i = lane; i < TILE * quartersV(); i += LANES) {
    let e = entry + min(i % TILE, filled - 1u);
    stagedB[i] = bAt(ownHead + e % ownGroup(), first + e / ownGroup(), i / TILE);
  }
  let firstKey = keyStart(b);
  let firstOwnRow = first + entry / ownGroup();
  let lastOwnRow = first + (entry + filled - 1u) / ownGroup();

  // Blocks start at multiples of BLOCK from the sequence's first entry in every tile, so a row has the same bits in
  // each.
  for (var block = begin - (begin - firstOther * otherGroup()) % BLOCK; block < end; block += BLOCK) {
    let blockEnd = min(block + BLOCK, end);
    if (!mayMeet(firstOwnRow, lastOwnRow, block / otherGroup(), (blockEnd - 1u) / otherGroup())) { continue; }
    let own = vec4u(block + 4u * lane) + vec4u(0u, 1u, 2u, 3u);
    let at = min(own, vec4u(end - 1u));
    let row = at / otherGroup();
    let head = vec4u(otherHead) + at % otherGroup();
    var scores: array<vec4f, TILE>;
    var products: array<vec4f, TILE>;
    for (var r = 0u; r < TILE; r++) {
      scores[r] = vec4f();
      products[r] = vec4f();
    }
    workgroupBarrier();
    for (var c = 0u; c < quarters(); c++) {
      let others = transpose(mat4x4f(xAt(head.x, row.x, c), xAt(head.y, row.y, c), xAt(head.z, row.z, c),
        xAt(head.w, row.w, c)));
      for (var r = 0u; r < TILE; r++) {
        let a = stagedA[c * TILE + r];
        scores[r] = fma(vec4f(a.x), others[0], fma(vec4f(a.y), others[1],
          fma(vec4f(a.z), others[2], fma(vec4f(a.w), others[3], scores[r]))));
      }
    }
    for (var c = 0u; c < quartersV(); c++) {
      let others = transpose(mat4x4f(yAt(head.x, row.x, c), yAt(head.y, row.y, c), yAt(head.z, row.z, c),
        yAt(head.w, row.w, c)));
      for (var r = 0u; r < TILE; r++) {
        let b = stagedB[c * TILE + r];
        products[r] = fma(vec4f(b.x), others[0], fma(vec4f(b.y), others[1],
          fma(vec4f(b.z), others[2], fma(vec4f(b.w), others[3], products[r]))));
      }
    }
    let keyWeights = vec4f(otherWeight(row.x), otherWeight(row.y), otherWeight(row.z), otherWeight(row.w));
    let place = vec4u(otherPosition(row.x), otherPosition(row.y), otherPosition(row.z), otherPosition(row.w));
    for (var r = 0u; r < TILE; r++) {
      changes[r * LANES + lane] = scores[r];
      found[r * LANES + lane] = products[r];
    }
    for (var r = 0u; r < filled; r++) {
      let h = ownHead + (entry + r) % ownGroup();
      let query = first + (entry + r) / ownGroup();
      let i = ownPosition(query);
      let stat = ownStats(h, query);
      let raw = changes[r * LANES + lane];
      let v0 = pairing(h, query, head.x, row.x, firstKey, i, place.x, raw.x);
      let v1 = pairing(h, query, head.y, row.y, firstKey, i, place.y, raw.y);
      let v2 = pairing(h, query, head.z, row.z, firstKey, i, place.z, raw.z);
      let v3 = pairing(h, query, head.w, row.w, firstKey, i, place.w, raw.w);
      let seen = (own < vec4u(end)) & (keyWeights > vec4f()) &
        vec4<bool>(pairs(i, place.x), pairs(i, place.y), pairs(i, place.z), pairs(i, place.w)) &
        vec4<bool>(v0.seen, v1.seen, v2.seen, v3.seen);
      let weight = keyWeights * exp(vec4f(v0.score, v1.score, v2.score, v3.score) - stat.x);
      let change = select(vec4f(), weight * (found[r * LANES + lane] - stat.y), seen);
      found[r * LANES + lane] = change;
      if (seen.x) { leave(h, query, row.x - firstKey, change.x * slope(h, query, row.x, firstKey, i, place.x)); }
      if (seen.y) { leave(h, query, row.y - firstKey, change.y * slope(h, query, row.y, firstKey, i, place.y)); }
      if (seen.z) { leave(h, query, row.z - firstKey, change.z * slope(h, query, row.z, firstKey, i, place.z)); }
      if (seen.w) { leave(h, query, row.w - firstKey, change.w * slope(h, query, row.w, firstKey, i, place.w)); }
    }
    if (ENTRIES > 0u) {
      for (var m = 0u; m < READINGS; m++) {
        workgroupBarrier();
        for (var r = 0u; r < filled; r++) {
          let h = ownHead + (entry + r) % ownGroup();
          let query = first + (entry + r) / ownGroup();
          let i = ownPosition(query);
          let slopes = vec4f(slopeAt(m, h, query, row.x, firstKey, i, place.x),
            slopeAt(m, h, query, row.y, firstKey, i, place.y), slopeAt(m, h, query, row.z, firstKey, i, place.z),
            slopeAt(m, h, query, row.w, firstKey, i, place.w));
          let read = vec4u(indexAt(m, h, query, row.x, firstKey, i, place.x),
            indexAt(m, h, query, row.y, firstKey, i, place.y), indexAt(m, h, query, row.z, firstKey, i, place.z),
            indexAt(m, h, query, row.w, firstKey, i, place.w));
          // A pair that is not seen may have a slope that is no number.
          let own = found[r * LANES + lane];
          let change = select(own * slopes, vec4f(), own == vec4f());
          changes[r * LANES + lane] = change;
          entriesOf[r * LANES + lane] = min(read, vec4u(max(ENTRIES, 1u) - 1u));
        }
        workgroupBarrier();
        for (var r = 0u; r < filled; r++) {
          let h = ownHead + (entry + r) % ownGroup();
          for (var l = 0u; l < LANES; l++) {
            let e = entriesOf[r * LANES + l];
            let x = changes[r * LANES + l];
            if (e.x % LANES == lane && x.x != 0.0) { addTo(tile, h, e.x, x.x); }
            if (e.y % LANES == lane && x.y != 0.0) { addTo(tile, h, e.y, x.y); }
            if (e.z % LANES == lane && x.z != 0.0) { addTo(tile, h, e.z, x.z); }
            if (e.w % LANES == lane && x.w != 0.0) { addTo(tile, h, e.w, x.w); }
          }
        }
      }
    }
  }
}
