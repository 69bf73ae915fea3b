// y[h, i] = Σ over j of softmax over j (scale · q[h, i] · k[g, j]) · v[g, j], j over the keys that query i sees in its
// sequence; zeros where it sees none.
// Method: for few queries on a GPU. A group of ACROSS lanes shares a key: each lane has loads of 16 bytes of it, and
// shuffles within the group add up the score. A group takes KEYS keys at once, every GROUPS-th of the sequence, and
// keeps its own largest score, sum and weighted values (Milakov and Gimelshein 2018, arXiv 1805.02867), which meet in
// workgroup memory once at the end. Loads of keys and of values are in flight together, and so are the places of the
// next ones. Sums go in another order than in tiles of queries.
// Grid: one workgroup for each part of each query of each head; many keys are divided into parts, which
// attention_parts.wgsl adds up. Heads of a query are neighbours, for they read the same rows of a cache. The grid has
// room for more queries than there may be, and they are spread evenly over it.
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
const LANES = 256u;
/** Lanes of a group, at most a subgroup's; `vec4f` columns of q and v in a lane; keys in flight together. */
const ACROSS = 8u;
const CHUNKS = 2u;
const PARTS = 2u;
const KEYS = 2u;
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
/** The most parts of a query, and the keys of one: of a query that sees `begin` to `end`. */
fn partCount() -> u32 { return 1u; }
fn keysOf(part: u32, begin: u32, end: u32) -> vec2u { return vec2u(begin, end); }
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
/** Stores four columns of weighted values; weights are relative to the largest score, `most`, and add up to `total`. */
fn finish(head: u32, place: u32, c: u32, x: vec4f, most: f32, total: f32) {
  if (c == 0u) { keep(head, place, most + log(total)); }
  write(head, place, c, x * (1.0 / total));
}
// --- end of parameters

const GROUPS = LANES / ACROSS;
const STEP = GROUPS * KEYS;
/** Groups that are added at once, in the end. */
const SPAN = min(8u, GROUPS);
const LOWEST = -3.4028234e38;
/** The stretch in which a search goes on. */
var<workgroup> stretch: vec2u;
/** Of each group the largest score and the sum, and of each lane its columns. */
var<workgroup> largest: array<f32, GROUPS>;
var<workgroup> totals: array<f32, GROUPS>;
var<workgroup> values: array<vec4f, LANES>;

fn sequenceOf(row: u32) -> u32 {
  var low = 0u;
  var high = batch();
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (startQ(middle) <= row) { low = middle; } else { high = middle; }
  }
  return low;
}

/** The first key from `begin` to `end` whose position is at least this; else `end`. All lanes look at once. */
fn keyFrom(begin: u32, end: u32, position: u32, lane: u32) -> u32 {
  var low = begin;
  var high = end;
  while (low < high) {
    let each = (high - low + LANES - 1u) / LANES;
    let at = min(low + lane * each, high);
    let next = min(at + each, high);
    // Both are loaded, whatever the first is.
    let own = positionK(min(at, high - 1u));
    let behind = positionK(min(next, high - 1u));
    let before = (at < high) & (own < position);
    let nextBefore = (next < high) & (behind < position);
    if (lane == 0u && !before) { stretch = vec2u(low); }
    if (before && !nextBefore) { stretch = vec2u(at + 1u, next); }
    let found = workgroupUniformLoad(&stretch);
    low = found.x;
    high = found.y;
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
  let heads = groupSize() * sharedHeads();
  let head = n % heads;
  let keyPart = n / heads % partCount();
  let slot = n / heads / partCount();
  let slots = groups.x * groups.y / heads / partCount();
  let rows = startQ(batch());
  // Row r has the first slot s with s · rows / slots = r; of so many slots that the product needs more than 32 bits,
  // slot r.
  let spread = slots <= 0xffffu;
  let row = select(slot, slot * rows / slots, spread);
  if (row >= rows || (spread && slot * rows % slots >= rows)) { return; }
  let keyHead = head / groupSize();
  let b = sequenceOf(row);
  let position = positionQ(row);
  let own = lane % ACROSS;
  var query: array<vec4f, CHUNKS>;
  for (var p = 0u; p < CHUNKS; p++) {
    query[p] = queryAt(head, row, min(p * ACROSS + own, QUARTERS - 1u)) * scale();
  }
  // Positions ascend, so the keys that the query sees are a stretch. No position is the largest number.
  let firstKey = startK(b);
  let seenEnd = keyFrom(firstKey, startK(b + 1u), lastSeen(position) + 1u, lane);
  var seenBegin = firstKey;
  if (firstSeen(position) > 0u) { seenBegin = keyFrom(firstKey, seenEnd, firstSeen(position), lane); }
  let mine = keysOf(keyPart, seenBegin, seenEnd);
  let begin = mine.x;
  let end = mine.y;
  let place = row * partCount() + keyPart;
  if (keyPart > 0u && begin >= end) {
    if (lane == 0u) { finish(head, place, 0u, vec4f(), LOWEST, 0.0); }
    return;
  }

  let team = lane / ACROSS;
  var places: array<vec2u, KEYS>;
  for (var i = 0u; i < KEYS; i++) {
    let key = min(begin + i * GROUPS + team, max(end, 1u) - 1u);
    places[i] = vec2u(keyBegin(keyHead, key), valueBegin(keyHead, key));
  }
  var best = LOWEST;
  var sum = 0.0;
  var added: array<vec4f, PARTS>;
  for (var p = 0u; p < PARTS; p++) { added[p] = vec4f(); }

  for (var block = begin; block < end; block += STEP) {
    var keys: array<array<vec4f, CHUNKS>, KEYS>;
    var rowsV: array<array<vec4f, PARTS>, KEYS>;
    for (var i = 0u; i < KEYS; i++) {
      for (var p = 0u; p < CHUNKS; p++) {
        keys[i][p] = keyBehind(places[i].x, min(p * ACROSS + own, QUARTERS - 1u));
      }
    }
    for (var i = 0u; i < KEYS; i++) {
      for (var p = 0u; p < PARTS; p++) {
        rowsV[i][p] = valueBehind(places[i].y, min(p * ACROSS + own, QUARTERS_V - 1u));
      }
    }
    for (var i = 0u; i < KEYS; i++) {
      let key = min(block + STEP + i * GROUPS + team, end - 1u);
      places[i] = vec2u(keyBegin(keyHead, key), valueBegin(keyHead, key));
    }
    var scores: array<f32, KEYS>;
    for (var i = 0u; i < KEYS; i++) {
      var score = 0.0;
      for (var p = 0u; p < CHUNKS; p++) {
        let x = query[p];
        let a = keys[i][p];
        let more = fma(x.w, a.w, fma(x.z, a.z, fma(x.y, a.y, fma(x.x, a.x, score))));
        score = select(score, more, p * ACROSS + own < QUARTERS);
      }
      for (var reach = 1u; reach < ACROSS; reach *= 2u) { score += subgroupShuffleXor(score, reach); }
      scores[i] = select(LOWEST, score, block + i * GROUPS + team < end);
    }

    // Weights relative to the group's largest score so far.
    var most = best;
    for (var i = 0u; i < KEYS; i++) { most = max(most, scores[i]); }
    let shrink = select(exp(best - most), 1.0, best == most);
    best = most;
    sum *= shrink;
    for (var p = 0u; p < PARTS; p++) { added[p] *= shrink; }
    for (var i = 0u; i < KEYS; i++) {
      let weight = select(0.0, exp(scores[i] - most), block + i * GROUPS + team < end);
      sum += weight;
      // Nothing of a value that weighs nothing, be it infinite or NaN.
      for (var p = 0u; p < PARTS; p++) {
        added[p] = fma(vec4f(weight), select(rowsV[i][p], vec4f(), weight == 0.0), added[p]);
      }
    }
  }

  // Groups meet: relative to the largest score of all.
  if (own == 0u) { largest[team] = best; }
  workgroupBarrier();
  var most = LOWEST;
  for (var at = 0u; at < GROUPS; at += SPAN) {
    for (var i = 0u; i < SPAN; i++) { most = max(most, largest[at + i]); }
  }
  let shrink = select(exp(best - most), 1.0, best == most);
  if (own == 0u) { totals[team] = sum * shrink; }
  for (var p = 0u; p < PARTS; p++) {
    if (p > 0u) { workgroupBarrier(); }
    values[lane] = added[p] * shrink;
    workgroupBarrier();
    let c = p * ACROSS + lane;
    if (lane < ACROSS && c < QUARTERS_V) {
      var total = 0.0;
      var x = vec4f();
      for (var at = 0u; at < GROUPS; at += SPAN) {
        for (var i = 0u; i < SPAN; i++) {
          total += totals[at + i];
          x += values[(at + i) * ACROSS + lane];
        }
      }
      // Where all scores are −∞, quotients are NaN.
      let none = begin >= end;
      finish(head, place, c, x, select(most, 0.0, none), select(total, 1.0, none));
    }
  }
}
