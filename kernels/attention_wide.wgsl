// y[h, i] = Σ over j of softmax over j (scale · q[h, i] · k[g, j]) · v[g, j], j over the keys that query i sees in its
// sequence; 0 if the query sees no key.
// Method: online softmax (Milakov and Gimelshein 2018, arXiv 1805.02867; Dao et al. 2022, arXiv 2205.14135), for many
// queries on a GPU without matrix units. A lane owns a query: the query's largest score so far, sum of weights and
// weighted values stay in registers. All lanes of a subgroup read the same key and value, so the subgroup loads them
// once, and no lane waits for another. SLICES lanes share a query: the slices take the keys of a tile in turn, KEYS at
// once. At the end, the slices are added up in workgroup memory, which held the queries until then. Positions ascend,
// so the keys that a tile sees are contiguous; no other keys are visited.
// Grid: one workgroup for each tile and key head; each sequence starts a new tile.
enable subgroups;

// --- parameters
struct Sizes {
  sharedHeads: u32, groupSize: u32, batch: u32, scale: f32,
  queryHeads: u32, queryRows: u32, keyHeads: u32, keyRows: u32, valueHeads: u32, valueRows: u32, resultHeads: u32,
    resultRows: u32,
}
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> k: array<vec4f>;
@group(0) @binding(3) var<storage, read> v: array<vec4f>;
@group(0) @binding(4) var<storage, read> startsQ: array<u32>;
@group(0) @binding(5) var<storage, read> startsK: array<u32>;
@group(0) @binding(6) var<storage, read> positionsQ: array<u32>;
@group(0) @binding(7) var<storage, read> positionsK: array<u32>;
@group(0) @binding(8) var<storage, read_write> y: array<vec4f>;
/** Lanes of a workgroup: SLICES for each query of a tile. */
const LANES = 256u;
/** Keys that a slice takes at once. */
const KEYS = 8u;
/** 1 if no subgroup is wider than a tile, so that each subgroup has one slice; else 0. */
const NARROW = 0u;
/** `vec4f` columns of q and k. */
const QUARTERS = 16u;
/** `vec4f` columns of v. */
const QUARTERS_V = 16u;
/** Key heads. */
fn sharedHeads() -> u32 { return sizes.sharedHeads; }
/** Query heads per key head. */
fn groupSize() -> u32 { return sizes.groupSize; }
/** Sequences. */
fn batch() -> u32 { return sizes.batch; }
fn scale() -> f32 { return sizes.scale; }
/** Columns 4c to 4c + 3 of a row of q; zeros past the last column. */
fn queryAt(head: u32, row: u32, c: u32) -> vec4f { return q[head * sizes.queryHeads + row * sizes.queryRows + c]; }
/** The index in k of a row's first `vec4f`. */
fn keyBegin(head: u32, row: u32) -> u32 { return head * sizes.keyHeads + row * sizes.keyRows; }
/** Columns 4c to 4c + 3 of the row of k that begins at `begin`; zeros past the last column. */
fn keyBehind(begin: u32, c: u32) -> vec4f { return k[begin + c]; }
/** The index in v of a row's first `vec4f`. */
fn valueBegin(head: u32, row: u32) -> u32 { return head * sizes.valueHeads + row * sizes.valueRows; }
/** Columns 4c to 4c + 3 of the row of v that begins at `begin`; zeros past the last column. */
fn valueBehind(begin: u32, c: u32) -> vec4f { return v[begin + c]; }
/** Stores columns 4c to 4c + 3 of a row of y. */
fn write(head: u32, row: u32, c: u32, x: vec4f) { y[head * sizes.resultHeads + row * sizes.resultRows + c] = x; }
/** Whether a query at position i sees a key at position j. */
fn sees(i: u32, j: u32) -> bool { return j <= i; }
/** The first key position that a query at position i may see. */
fn firstSeen(i: u32) -> u32 { return 0u; }
/** The last key position that a query at position i may see. */
fn lastSeen(i: u32) -> u32 { return i; }
/** The first row of sequence b in q. `startQ(batch())` is the number of rows. */
fn startQ(b: u32) -> u32 { return startsQ[b]; }
/** The first row of sequence b in k. `startK(batch())` is the number of rows. */
fn startK(b: u32) -> u32 { return startsK[b]; }
/** The position of a query. */
fn positionQ(row: u32) -> u32 { return positionsQ[row]; }
/** The position of a key. */
fn positionK(row: u32) -> u32 { return positionsK[row]; }
/** Stores the log-sum-exp of a query's scores; 0 if the query sees no key. */
fn keep(head: u32, row: u32, lse: f32) {}
// --- end of parameters

/** Queries of a tile. */
const TILE = 64u;
/** Lanes that share a query. */
const SLICES = LANES / TILE;
/** The score of a key that is not seen. */
const LOWEST = -3.4028234e38;
// Workgroup memory `staged`, one use after the other:
//   c · TILE + r   columns 4c to 4c + 3 of query r, scaled, while keys are visited.
//   s · TILE + r   the largest score and the sum of weights of slice s of query r.
//   c · TILE + r   the weighted values of slice s of query r, for one s after the other.
//   c · TILE + r   columns 4c to 4c + 3 of the result of query r.
var<workgroup> staged: array<vec4f, max(TILE * max(QUARTERS, QUARTERS_V), LANES)>;

/** The factor by which sums relative to the score `before` become relative to the score `now`. */
fn grown(before: f32, now: f32) -> f32 { return select(exp(before - now), 1.0, before == now); }

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

/**
 * For each of four positions, the first key in [begin, end) at or past it; `end` if there is none. The loads of the
 * four searches are in flight together.
 */
fn keysFrom(begin: u32, end: u32, at: vec4u) -> vec4u {
  var low = vec4u(begin);
  var left = end - begin;
  while (left > 0u) {
    let half = left / 2u;
    let middle = low + half;
    let held = vec4u(positionK(min(middle.x, end - 1u)), positionK(min(middle.y, end - 1u)),
      positionK(min(middle.z, end - 1u)), positionK(min(middle.w, end - 1u)));
    low = select(low, middle + 1u, (held < at) & (middle < vec4u(end)));
    left = half;
  }
  return low;
}

/** Whether a query at position i of sequence b sees a key. */
fn seesAny(b: u32, i: u32) -> bool {
  let first = keyFrom(startK(b), startK(b + 1u), firstSeen(i));
  return first < startK(b + 1u) && sees(i, positionK(first));
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_size) width: u32,
) {
  // The slice of a subgroup. `subgroupBroadcastFirst` lets the compiler know that all lanes have the same. A subgroup
  // wider than a tile goes through slices `slice` to `behind` − 1.
  let slice = subgroupBroadcastFirst(lane / TILE);
  let behind = min(slice + max(width / TILE, 1u), SLICES);
  let own = lane % TILE;
  let n = group.x + group.y * groups.x;
  let tiles = groups.x * groups.y / sharedHeads();
  let head = n / tiles;
  // Last tiles first: with a causal mask they see the most keys.
  let tile = tiles - 1u - n % tiles;
  let b = sequenceOf(tile);
  let firstQuery = startQ(b);
  let entries = (startQ(b + 1u) - firstQuery) * groupSize();
  let entry = (tile - tilesBefore(b)) * TILE;
  if (head >= sharedHeads() || entry >= entries) { return; }
  let filled = min(TILE, entries - entry);
  let firstPosition = positionQ(firstQuery + entry / groupSize());
  let lastPosition = positionQ(firstQuery + (entry + filled - 1u) / groupSize());
  // `begin` to `end`: the keys that some query of the tile may see. `seenBegin` to `seenEnd`: the keys that every query
  // sees. Positions are below 2^32 − 1, so `+ 1u` does not overflow.
  let stretches = keysFrom(startK(b), startK(b + 1u), vec4u(
    firstSeen(firstPosition), lastSeen(lastPosition) + 1u, firstSeen(lastPosition), lastSeen(firstPosition) + 1u));
  let begin = stretches.x;
  let end = max(begin, stretches.y);
  let seenBegin = clamp(stretches.z, begin, end);
  let seenEnd = clamp(stretches.w, seenBegin, end);

  for (var i = lane; i < TILE * QUARTERS; i += LANES) {
    let e = entry + min(i / QUARTERS, filled - 1u);
    staged[i % QUARTERS * TILE + i / QUARTERS] =
      queryAt(head * groupSize() + e % groupSize(), firstQuery + e / groupSize(), i % QUARTERS) * scale();
  }
  let position = positionQ(firstQuery + (entry + min(own, filled - 1u)) / groupSize());
  var best = LOWEST;
  var total = 0.0;
  var added: array<vec4f, QUARTERS_V>;
  for (var c = 0u; c < QUARTERS_V; c++) { added[c] = vec4f(); }
  workgroupBarrier();

  // Blocks start at multiples of KEYS · SLICES from the sequence's first key in every tile, so a row has the same bits
  // in each. Keys past the last repeat it.
  let last = max(end, 1u) - 1u;
  let first = begin - (begin - startK(b)) % (KEYS * SLICES);
  var s = slice;
  loop {
    for (var block = first + s * KEYS; block < end; block += KEYS * SLICES) {
      let allSeen = block >= seenBegin && block + KEYS <= seenEnd;
      var at: array<u32, KEYS>;
      for (var j = 0u; j < KEYS; j++) { at[j] = keyBegin(head, min(block + j, last)); }
      var score: array<f32, KEYS>;
      for (var j = 0u; j < KEYS; j++) { score[j] = 0.0; }
      for (var c = 0u; c < QUARTERS; c++) {
        let x = staged[c * TILE + own];
        for (var j = 0u; j < KEYS; j++) {
          let y = keyBehind(at[j], c);
          score[j] = fma(x.x, y.x, fma(x.y, y.y, fma(x.z, y.z, fma(x.w, y.w, score[j]))));
        }
      }
      if (!allSeen) {
        for (var j = 0u; j < KEYS; j++) {
          let key = block + j;
          score[j] = select(LOWEST, score[j], key < end && sees(position, positionK(min(key, last))));
        }
      }
      var most = score[0];
      for (var j = 1u; j < KEYS; j++) { most = max(most, score[j]); }
      if (most > best) {
        let shrink = exp(best - most);
        best = most;
        total *= shrink;
        for (var c = 0u; c < QUARTERS_V; c++) { added[c] *= shrink; }
      }
      var weight: array<f32, KEYS>;
      for (var j = 0u; j < KEYS; j++) {
        weight[j] = select(exp(score[j] - best), 0.0, score[j] == LOWEST);
        total += weight[j];
        at[j] = valueBegin(head, min(block + j, last));
      }
      if (allSeen) {
        for (var c = 0u; c < QUARTERS_V; c++) {
          for (var j = 0u; j < KEYS; j++) { added[c] = fma(vec4f(weight[j]), valueBehind(at[j], c), added[c]); }
        }
      } else {
        // Values with weight 0 are skipped: 0 · NaN would be NaN.
        for (var j = 0u; j < KEYS; j++) {
          if (weight[j] != 0.0) {
            for (var c = 0u; c < QUARTERS_V; c++) {
              added[c] = fma(vec4f(weight[j]), valueBehind(at[j], c), added[c]);
            }
          }
        }
      }
    }
    continuing {
      s++;
      break if NARROW > 0u || s >= behind;
    }
  }
  let mine = lane / TILE;
  if (mine != slice) {
    best = LOWEST;
    total = 0.0;
    for (var c = 0u; c < QUARTERS_V; c++) { added[c] = vec4f(); }
  }

  // Adds up the slices: their largest scores and sums, then their values, one slice after the other.
  workgroupBarrier();
  staged[lane] = vec4f(best, total, 0.0, 0.0);
  workgroupBarrier();
  var most = LOWEST;
  for (var s = 0u; s < SLICES; s++) { most = max(most, staged[s * TILE + own].x); }
  var whole = 0.0;
  for (var s = 0u; s < SLICES; s++) { whole += staged[s * TILE + own].y * grown(staged[s * TILE + own].x, most); }
  let shrink = grown(best, most);
  for (var c = 0u; c < QUARTERS_V; c++) { added[c] *= shrink; }
  for (var s = 1u; s < SLICES; s++) {
    workgroupBarrier();
    if (mine == s) { for (var c = 0u; c < QUARTERS_V; c++) { staged[c * TILE + own] = added[c]; } }
    workgroupBarrier();
    if (mine == 0u) { for (var c = 0u; c < QUARTERS_V; c++) { added[c] += staged[c * TILE + own]; } }
  }
  workgroupBarrier();
  if (mine == 0u) {
    // `most` is LOWEST in two cases. If no key is seen, the result is 0. If all scores are −∞, it is NaN.
    let none = most == LOWEST && !seesAny(b, position);
    let inverse = select(1.0 / whole, 0.0, none);
    if (own < filled) {
      let e = entry + own;
      keep(head * groupSize() + e % groupSize(), firstQuery + e / groupSize(), select(most + log(whole), 0.0, none));
    }
    for (var c = 0u; c < QUARTERS_V; c++) { staged[c * TILE + own] = added[c] * inverse; }
  }
  workgroupBarrier();
  for (var i = lane; i < filled * QUARTERS_V; i += LANES) {
    let e = entry + i / QUARTERS_V;
    let c = i % QUARTERS_V;
    write(head * groupSize() + e % groupSize(), firstQuery + e / groupSize(), c, staged[c * TILE + i / QUARTERS_V]);
  }
}
