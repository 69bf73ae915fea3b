// y[h, i] = Σ over j of softmax over j (scale · q[h, i] · k[g, j]) · v[g, j], j over the keys that query i sees in its
// sequence; zeros where it sees none.
// Method: for many queries on a GPU without matrix units. A lane owns a query, with its largest score so far, its sum
// and its weighted values in registers (Milakov and Gimelshein 2018, arXiv 1805.02867; Dao et al. 2022, arXiv
// 2205.14135); a key and a value are the same for all lanes of a subgroup, so that they are read once for it, and no
// lane waits for another. SLICES of such lanes share out the keys of a tile, KEYS in turn, and meet at the end in
// workgroup memory, which holds the queries until then. Positions ascend, so the keys that a tile sees are a stretch;
// no others are visited.
// Grid: one workgroup for each tile and head of keys; tiles begin anew with each sequence.
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
/** So many for each query of a tile. */
const LANES = 256u;
/** Keys that a slice takes at once. */
const KEYS = 8u;
/** 1 where no subgroup is wider than a tile, and so has one slice; else 0. */
const NARROW = 0u;
/** `vec4f` columns of q and k, and of v. */
const QUARTERS = 16u;
const QUARTERS_V = 16u;
/** Key heads, and query heads per key head. */
fn sharedHeads() -> u32 { return sizes.sharedHeads; }
fn groupSize() -> u32 { return sizes.groupSize; }
fn batch() -> u32 { return sizes.batch; }
fn scale() -> f32 { return sizes.scale; }
/** Four columns of a row of a head; zeros beyond the last. */
fn queryAt(head: u32, row: u32, c: u32) -> vec4f { return q[head * sizes.queryHeads + row * sizes.queryRows + c]; }
/** The offset of a row of keys or values, and the `vec4f` at column c after an offset. */
fn keyBegin(head: u32, row: u32) -> u32 { return head * sizes.keyHeads + row * sizes.keyRows; }
fn keyBehind(begin: u32, c: u32) -> vec4f { return k[begin + c]; }
fn valueBegin(head: u32, row: u32) -> u32 { return head * sizes.valueHeads + row * sizes.valueRows; }
fn valueBehind(begin: u32, c: u32) -> vec4f { return v[begin + c]; }
fn write(head: u32, row: u32, c: u32, x: vec4f) { y[head * sizes.resultHeads + row * sizes.resultRows + c] = x; }
fn sees(i: u32, j: u32) -> bool { return j <= i; }
/** Positions between which the keys lie that a query at this position may see. */
fn firstSeen(i: u32) -> u32 { return 0u; }
fn lastSeen(i: u32) -> u32 { return i; }
/** First rows of a sequence's queries and keys (entry `batch()` is the number of rows). Positions of rows. */
fn startQ(b: u32) -> u32 { return startsQ[b]; }
fn startK(b: u32) -> u32 { return startsK[b]; }
fn positionQ(row: u32) -> u32 { return positionsQ[row]; }
fn positionK(row: u32) -> u32 { return positionsK[row]; }
/** Stores the log-sum-exp of a query's scores; 0 if the query sees no key. */
fn keep(head: u32, row: u32, lse: f32) {}
// --- end of parameters

const TILE = 64u;
const SLICES = LANES / TILE;
const LOWEST = -3.4028234e38;
/** Scaled queries: columns 4c … of query r at c · TILE + r. Behind the keys, what slices hand over. */
var<workgroup> staged: array<vec4f, max(TILE * max(QUARTERS, QUARTERS_V), LANES)>;

/** What sums that rest on a score come to if they rest on a larger one. */
fn grown(before: f32, now: f32) -> f32 { return select(exp(before - now), 1.0, before == now); }

/** Tiles of the sequences before b, or a few more: by this a tile finds its sequence. */
fn tilesBefore(b: u32) -> u32 { return startQ(b) * groupSize() / TILE + b; }

fn sequenceOf(tile: u32) -> u32 {
  var low = 0u;
  var high = batch();
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (tilesBefore(middle) <= tile) { low = middle; } else { high = middle; }
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

/** The same for four positions, whose loads are on their way together. What lies behind is as large. */
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
  // The slice of a subgroup, and known to the compiler to be one; a subgroup wider than a tile goes through several.
  let slice = subgroupBroadcastFirst(lane / TILE);
  let behind = min(slice + max(width / TILE, 1u), SLICES);
  let own = lane % TILE;
  let n = group.x + group.y * groups.x;
  let tiles = groups.x * groups.y / sharedHeads();
  let head = n / tiles;
  // The last first, which see the most keys where none is ahead.
  let tile = tiles - 1u - n % tiles;
  let b = sequenceOf(tile);
  let firstQuery = startQ(b);
  let entries = (startQ(b + 1u) - firstQuery) * groupSize();
  let entry = (tile - tilesBefore(b)) * TILE;
  if (head >= sharedHeads() || entry >= entries) { return; }
  let filled = min(TILE, entries - entry);
  let firstPosition = positionQ(firstQuery + entry / groupSize());
  let lastPosition = positionQ(firstQuery + (entry + filled - 1u) / groupSize());
  // The keys that some query of the tile may see, and those that every query sees. No position is the largest number.
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

  // Blocks lie alike in every tile, so a row has the same bits in each. What lies beyond the last key is the last.
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
        // Nothing of a value that is not seen, be it infinite or NaN.
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

  // Slices meet: their largest scores and sums, and then their values, one slice's after another's.
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
    // Nothing above the lowest: no key is seen, or the scores of all are −∞, whose quotients are NaN.
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
