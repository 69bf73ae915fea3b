// y[h, i] = Σ over j of e(i, j) · v[g, j] / Σ over j of e(i, j), with e(i, j) = exp(f(scale · q[h, i] · k[g, j])), j
// over the keys that query i sees; 0 if there is no such key. f and who sees whom depend on the pair of tokens: a cap,
// a bias, a mask, the weight of a key, which is a bias of its logarithm.
// Method: as attention.wgsl. Blocks of keys of which no pair can be seen are not visited.
// Grid: one workgroup for each tile and key head; each sequence starts a new tile.

// --- parameters
struct Sizes {
  sharedHeads: u32, groupSize: u32, batch: u32, quarters: u32, quartersV: u32, scale: f32,
  queryHeads: u32, queryRows: u32, keyHeads: u32, keyRows: u32, valueHeads: u32, valueRows: u32, resultHeads: u32,
    resultRows: u32,
}
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> k: array<vec4f>;
@group(0) @binding(3) var<storage, read> v: array<vec4f>;
@group(0) @binding(4) var<storage, read> rows: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> lse: array<f32>;
/** Lanes of a workgroup. */
const LANES = 8u;
/** Queries of a tile. */
const TILE = 8u;
/** `vec4f` of the tile's queries in workgroup memory. */
const STAGED = 128u;
/** `vec4f` columns of y that a lane adds up. */
const PARTS = 2u;
/** Key heads. */
fn sharedHeads() -> u32 { return sizes.sharedHeads; }
/** Query heads per key head. */
fn groupSize() -> u32 { return sizes.groupSize; }
/** Sequences. */
fn batch() -> u32 { return sizes.batch; }
/** `vec4f` columns of q and k. */
fn quarters() -> u32 { return sizes.quarters; }
/** `vec4f` columns of v. */
fn quartersV() -> u32 { return sizes.quartersV; }
fn scale() -> f32 { return sizes.scale; }
/** Columns 4c to 4c + 3 of a row of q; zeros past the last column. */
fn queryAt(head: u32, row: u32, c: u32) -> vec4f { return q[head * sizes.queryHeads + row * sizes.queryRows + c]; }
/** Columns 4c to 4c + 3 of a row of k; zeros past the last column. */
fn keyAt(head: u32, row: u32, c: u32) -> vec4f { return k[head * sizes.keyHeads + row * sizes.keyRows + c]; }
/** Columns 4c to 4c + 3 of a row of v; zeros past the last column. */
fn valueAt(head: u32, row: u32, c: u32) -> vec4f { return v[head * sizes.valueHeads + row * sizes.valueRows + c]; }
/** Stores columns 4c to 4c + 3 of a row of y. */
fn write(head: u32, row: u32, c: u32, x: vec4f) { y[head * sizes.resultHeads + row * sizes.resultRows + c] = x; }
/** Whether a query at position i sees a key at position j. */
fn sees(i: u32, j: u32) -> bool { return j <= i; }
/** The first key position that a query at position i may see. */
fn firstSeen(i: u32) -> u32 { return 0u; }
/** The last key position that a query at position i may see. */
fn lastSeen(i: u32) -> u32 { return i; }
/** The first row of sequence b in q. `startQ(batch())` is the number of rows. */
fn startQ(b: u32) -> u32 { return rows[b]; }
/** The first row of sequence b in k. `startK(batch())` is the number of rows. */
fn startK(b: u32) -> u32 { return rows[batch() + 1u + b]; }
/** The position of a query. */
fn positionQ(row: u32) -> u32 { return rows[2u * batch() + 2u + row]; }
/** The position of a key. */
fn positionK(row: u32) -> u32 { return rows[2u * batch() + 2u + startQ(batch()) + row]; }
/** The score of a pair of tokens, d score / d (scaled product), and whether the mask shows the pair. */
struct PairValue { score: f32, slope: f32, seen: bool }
/**
 * The value of a head, a query and a key at positions i and j, from their scaled product. `firstKey`: the first row of
 * the sequence in k.
 */
fn pairOf(head: u32, query: u32, key: u32, firstKey: u32, i: u32, j: u32, score: f32) -> PairValue {
  return PairValue(score, 1.0, i / 128u == j / 128u);
}
/** Whether the mask may show a pair of these rows of queries and of keys. */
fn mayPair(firstQuery: u32, lastQuery: u32, firstKey: u32, lastKey: u32) -> bool {
  return positionQ(firstQuery) / 128u <= positionK(lastKey) / 128u &&
    positionK(firstKey) / 128u <= positionQ(lastQuery) / 128u;
}
/** Stores the log of a query's sum of exponentials; HIGHEST if the query sees no key. */
fn keep(head: u32, row: u32, x: f32) { lse[head * startQ(batch()) + row] = x; }
// --- end of parameters

/** Keys of a block: four for each lane. */
const BLOCK = 4u * LANES;
/** The score of a key that is not seen. */
const LOWEST = -3.4028234e38;
/** Stored for a query without keys, so that the gradient's exp(score − HIGHEST) is 0. */
const HIGHEST = 3.4028234e38;
// Workgroup memory:
//   staged[c · TILE + r]     columns 4c to 4c + 3 of query r, scaled.
//   weights[r · LANES + l]   query r and the four keys of lane l in this block: scaled products, scores, then weights.
//   parts[r · LANES + l]     query r: lane l's largest score of this block; at the end, lane l's sum of weights.
//   whole[r]                 query r: the maximum, at the end the sum, of `parts` over the lanes.
//   flags[r · LANES + l]     at the end, 1 if query r sees a key of lane l, else 0.
//   seen[r]                  at the end, 1 if `flags` has a 1 for query r.
var<workgroup> staged: array<vec4f, STAGED>;
var<workgroup> weights: array<vec4f, TILE * LANES>;
var<workgroup> parts: array<f32, TILE * LANES>;
var<workgroup> whole: array<f32, TILE>;
var<workgroup> flags: array<u32, TILE * LANES>;
var<workgroup> seen: array<u32, TILE>;

/** An upper bound on the tiles of the sequences before b. It grows with b, so binary search finds a tile's sequence. */
fn tilesBefore(b: u32) -> u32 { return startQ(b) * groupSize() / TILE + b; }

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

/** The first key in [begin, end) at or past `position`; `end` if there is none. */
fn keyFrom(begin: u32, end: u32, position: u32) -> u32 {
  var low = begin;
  var high = end;
  while (low < high) {
    let middle = (low + high) / 2u;
    if (positionK(middle) < position) { low = middle + 1u; } else { high = middle; }
  }
  return low;
}

/** others + weight · v. If the weight is 0, v counts as 0: 0 · NaN would be NaN. */
fn share(weight: f32, v: vec4f, others: vec4f) -> vec4f {
  return fma(vec4f(weight), select(v, vec4f(), weight == 0.0), others);
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let n = group.x + group.y * groups.x;
  let tiles = groups.x * groups.y / sharedHeads();
  let head = n / tiles;
  let tile = n % tiles;
  let b = sequenceOf(tile);
  let firstQuery = startQ(b);
  let entries = (startQ(b + 1u) - firstQuery) * groupSize();
  let entry = (tile - tilesBefore(b)) * TILE;
  if (head >= sharedHeads() || entry >= entries) { return; }
  let last = min(entry + TILE, entries) - 1u;
  let begin = keyFrom(startK(b), startK(b + 1u), firstSeen(positionQ(firstQuery + entry / groupSize())));
  // Positions are below 2^32 − 1, so `+ 1u` does not overflow.
  let end = keyFrom(begin, startK(b + 1u), lastSeen(positionQ(firstQuery + last / groupSize())) + 1u);
  // Blocks start at multiples of BLOCK from the sequence's first key in every tile, so a row has the same bits in each.
  let firstBlock = begin - (begin - startK(b)) % BLOCK;

  for (var i = lane; i < TILE * quarters(); i += LANES) {
    let e = min(entry + i % TILE, last);
    staged[i] = queryAt(head * groupSize() + e % groupSize(), firstQuery + e / groupSize(), i / TILE) * scale();
  }
  var best: array<f32, TILE>;
  var sums: array<f32, TILE>;
  var found: array<u32, TILE>;
  var added: array<array<vec4f, PARTS>, TILE>;
  for (var r = 0u; r < TILE; r++) {
    best[r] = LOWEST;
    sums[r] = 0.0;
    found[r] = 0u;
    for (var p = 0u; p < PARTS; p++) { added[r][p] = vec4f(); }
  }

  let firstKey = startK(b);
  let firstRow = firstQuery + entry / groupSize();
  let lastRow = firstQuery + last / groupSize();
  for (var block = firstBlock; block < end; block += BLOCK) {
    if (!mayPair(firstRow, lastRow, block, min(block + BLOCK, end) - 1u)) { continue; }
    workgroupBarrier();
    // The scores of the lane's four keys, and each query's largest score of the block.
    let own = vec4u(block + 4u * lane) + vec4u(0u, 1u, 2u, 3u);
    let at = min(own, vec4u(end - 1u));
    var scores: array<vec4f, TILE>;
    for (var r = 0u; r < TILE; r++) { scores[r] = vec4f(); }
    for (var c = 0u; c < quarters(); c++) {
      let keys = transpose(mat4x4f(keyAt(head, at.x, c), keyAt(head, at.y, c), keyAt(head, at.z, c),
        keyAt(head, at.w, c)));
      for (var r = 0u; r < TILE; r++) {
        let x = staged[c * TILE + r];
        scores[r] = fma(vec4f(x.x), keys[0], fma(vec4f(x.y), keys[1],
          fma(vec4f(x.z), keys[2], fma(vec4f(x.w), keys[3], scores[r]))));
      }
    }
    let place = vec4u(positionK(at.x), positionK(at.y), positionK(at.z), positionK(at.w));
    let present = own < vec4u(end);
    // The bound of this loop is no constant, so compilers do not unroll it.
    for (var r = 0u; r < TILE; r++) { weights[r * LANES + lane] = scores[r]; }
    for (var r = 0u; r <= last - entry; r++) {
      let h = head * groupSize() + (entry + r) % groupSize();
      let query = firstQuery + (entry + r) / groupSize();
      let i = positionQ(query);
      let raw = weights[r * LANES + lane];
      let v0 = pairOf(h, query, at.x, firstKey, i, place.x, raw.x);
      let v1 = pairOf(h, query, at.y, firstKey, i, place.y, raw.y);
      let v2 = pairOf(h, query, at.z, firstKey, i, place.z, raw.z);
      let v3 = pairOf(h, query, at.w, firstKey, i, place.w, raw.w);
      let counts = present & vec4<bool>(sees(i, place.x), sees(i, place.y), sees(i, place.z), sees(i, place.w)) &
        vec4<bool>(v0.seen, v1.seen, v2.seen, v3.seen);
      weights[r * LANES + lane] = select(vec4f(LOWEST), vec4f(v0.score, v1.score, v2.score, v3.score), counts);
    }
    for (var r = 0u; r < TILE; r++) {
      scores[r] = weights[r * LANES + lane];
      found[r] |= u32(any(scores[r] != vec4f(LOWEST)));
      parts[r * LANES + lane] = max(max(scores[r].x, scores[r].y), max(scores[r].z, scores[r].w));
    }
    let filled = min((end - block + 3u) / 4u, LANES);
    workgroupBarrier();
    for (var r = lane; r < TILE; r += LANES) {
      var most = LOWEST;
      for (var l = 0u; l < filled; l++) { most = max(most, parts[r * LANES + l]); }
      whole[r] = most;
    }
    workgroupBarrier();

    // Weights, relative to the query's largest score so far.
    for (var r = 0u; r < TILE; r++) {
      let most = max(best[r], whole[r]);
      let shrink = select(exp(best[r] - most), 1.0, best[r] == most);
      best[r] = most;
      let weight = select(exp(scores[r] - most), vec4f(), scores[r] == vec4f(LOWEST));
      weights[r * LANES + lane] = weight;
      sums[r] = fma(sums[r], shrink, (weight.x + weight.y) + (weight.z + weight.w));
      for (var p = 0u; p < PARTS; p++) { added[r][p] *= shrink; }
    }
    workgroupBarrier();

    // Adds values: the columns that the lane owns, of four keys at a time.
    for (var l = 0u; l < filled; l++) {
      let keyRows = min(vec4u(block + 4u * l) + vec4u(0u, 1u, 2u, 3u), vec4u(end - 1u));
      var w: array<vec4f, TILE>;
      for (var r = 0u; r < TILE; r++) { w[r] = weights[r * LANES + l]; }
      for (var p = 0u; p < PARTS; p++) {
        let c = min(p * LANES + lane, quartersV() - 1u);
        let v0 = valueAt(head, keyRows.x, c);
        let v1 = valueAt(head, keyRows.y, c);
        let v2 = valueAt(head, keyRows.z, c);
        let v3 = valueAt(head, keyRows.w, c);
        for (var r = 0u; r < TILE; r++) {
          added[r][p] = share(w[r].x, v0, share(w[r].y, v1, share(w[r].z, v2, share(w[r].w, v3, added[r][p]))));
        }
      }
    }
  }

  workgroupBarrier();
  for (var r = 0u; r < TILE; r++) {
    parts[r * LANES + lane] = sums[r];
    flags[r * LANES + lane] = found[r];
  }
  workgroupBarrier();
  for (var r = lane; r < TILE; r += LANES) {
    var total = 0.0;
    var some = 0u;
    for (var l = 0u; l < LANES; l++) {
      total += parts[r * LANES + l];
      some |= flags[r * LANES + l];
    }
    whole[r] = total;
    seen[r] = some;
  }
  workgroupBarrier();
  for (var r = 0u; r < TILE; r++) {
    let e = entry + r;
    if (e <= last) {
      let none = seen[r] == 0u;
      let inverse = select(1.0 / whole[r], 0.0, none);
      if (lane == 0u) {
        keep(head * groupSize() + e % groupSize(), firstQuery + e / groupSize(),
          select(best[r] + log(whole[r]), HIGHEST, none));
      }
      for (var p = 0u; p < PARTS; p++) {
        let c = p * LANES + lane;
        if (c < quartersV()) {
          write(head * groupSize() + e % groupSize(), firstQuery + e / groupSize(), c, added[r][p] * inverse);
        }
      }
    }
  }
}
