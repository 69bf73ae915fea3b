// y[h, i] = Σ over j of e(i, j) · v[g, j] / Σ over j of e(i, j), with e(i, j) = exp(f(scale · q[h, i] · k[g, j])), j
// over the keys that query i sees; 0 if there is no such key. f and who sees whom depend on the pair of tokens: a cap,
// a bias, a mask, the weight of a key.
// Method: as attention_query.wgsl. A block is skipped if the query can see none of its keys.
// Grid: one workgroup for each query of each head. Heads of a query are neighbours, because they read the same rows of
// a cache. If the grid has more slots than queries, the queries are spread evenly over the slots.
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
@group(0) @binding(4) var<storage, read> rows: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> lse: array<f32>;
/** Lanes of a workgroup. */
const LANES = 256u;
/** Lanes of a group, at most a subgroup's. */
const ACROSS = 8u;
/** `vec4f` columns of q that a lane holds. */
const CHUNKS = 2u;
/** `vec4f` columns of v that a lane holds. */
const PARTS = 2u;
/** Keys of a group that are in flight together. */
const KEYS = 2u;
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
/** Stores the log of a query's sum of exponentials; HIGHEST if the query sees no key. */
fn keep(head: u32, row: u32, x: f32) { lse[head * startQ(batch()) + row] = x; }
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
// --- end of parameters

/** Groups of lanes in a workgroup. */
const GROUPS = LANES / ACROSS;
/** Keys that all groups take at once. */
const STEP = GROUPS * KEYS;
/** Groups whose results are loaded together at the end. */
const SPAN = min(8u, GROUPS);
/** The score of a key that is not seen. */
const LOWEST = -3.4028234e38;
/** Stored for a query without keys, so that the gradient's exp(score − HIGHEST) is 0. */
const HIGHEST = 3.4028234e38;
/** The stretch in which the search of `keyFrom` continues. */
var<workgroup> stretch: vec2u;
// Workgroup memory at the end:
//   largest[g]              the largest score of group g.
//   totals[g]               the sum of weights of group g.
//   values[g · ACROSS + l]  the p-th columns of lane l of group g, for one p after the other.
var<workgroup> largest: array<f32, GROUPS>;
var<workgroup> totals: array<f32, GROUPS>;
var<workgroup> values: array<vec4f, LANES>;

/** The sequence of a query's row, by binary search. */
fn sequenceOf(row: u32) -> u32 {
  var low = 0u;
  var high = batch();
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (startQ(middle) <= row) { low = middle; } else { high = middle; }
  }
  return low;
}

/**
 * The first key in [begin, end) at or past `position`; `end` if there is none. A LANES-ary search: each lane tests one
 * key, and the lane at the boundary stores the stretch in which the search continues.
 */
fn keyFrom(begin: u32, end: u32, position: u32, lane: u32) -> u32 {
  var low = begin;
  var high = end;
  while (low < high) {
    let each = (high - low + LANES - 1u) / LANES;
    let at = min(low + lane * each, high);
    let next = min(at + each, high);
    // Both loads are issued together.
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

/** The first block from `block` on, `end` or more if there is none, of which the query may see a pair. */
fn visited(block: u32, end: u32, row: u32) -> u32 {
  var at = block;
  while (at < end && !mayPair(row, row, at, min(at + STEP, end) - 1u)) { at += STEP; }
  return at;
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
  let slot = n / heads;
  let slots = groups.x * groups.y / heads;
  let queries = startQ(batch());
  // Row r runs in the first slot s with ⌊s · queries / slots⌋ = r. If there are more than 65535 slots, the product may
  // not fit 32 bits, and row r runs in slot r.
  let spread = slots <= 0xffffu;
  let row = select(slot, slot * queries / slots, spread);
  if (row >= queries || (spread && slot * queries % slots >= queries)) { return; }
  let keyHead = head / groupSize();
  let b = sequenceOf(row);
  let position = positionQ(row);
  let own = lane % ACROSS;
  var query: array<vec4f, CHUNKS>;
  for (var p = 0u; p < CHUNKS; p++) {
    query[p] = queryAt(head, row, min(p * ACROSS + own, QUARTERS - 1u)) * scale();
  }
  // Positions ascend, so the keys that the query sees are contiguous. Positions are below 2^32 − 1, so `+ 1u` does not
  // overflow.
  let firstKey = startK(b);
  let end = keyFrom(firstKey, startK(b + 1u), lastSeen(position) + 1u, lane);
  var begin = firstKey;
  if (firstSeen(position) > 0u) { begin = keyFrom(firstKey, end, firstSeen(position), lane); }

  var block = visited(begin, end, row);
  // The indices of the group's next keys and values.
  let team = lane / ACROSS;
  var places: array<vec2u, KEYS>;
  for (var i = 0u; i < KEYS; i++) {
    let key = min(block + i * GROUPS + team, max(end, 1u) - 1u);
    places[i] = vec2u(keyBegin(keyHead, key), valueBegin(keyHead, key));
  }
  var best = LOWEST;
  var sum = 0.0;
  var added: array<vec4f, PARTS>;
  for (var p = 0u; p < PARTS; p++) { added[p] = vec4f(); }

  while (block < end) {
    let following = visited(block + STEP, end, row);
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
      let key = min(following + i * GROUPS + team, end - 1u);
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
      let key = block + i * GROUPS + team;
      let at = min(key, end - 1u);
      let pair = pairOf(head, row, at, firstKey, position, positionK(at), score);
      scores[i] = select(LOWEST, pair.score, pair.seen && key < end);
    }

    // Weights, relative to the group's largest score so far.
    var most = best;
    for (var i = 0u; i < KEYS; i++) { most = max(most, scores[i]); }
    let shrink = select(exp(best - most), 1.0, best == most);
    best = most;
    sum *= shrink;
    for (var p = 0u; p < PARTS; p++) { added[p] *= shrink; }
    for (var i = 0u; i < KEYS; i++) {
      let weight = select(exp(scores[i] - most), 0.0, scores[i] == LOWEST);
      sum += weight;
      // If the weight is 0, the value counts as 0: 0 · NaN would be NaN.
      for (var p = 0u; p < PARTS; p++) {
        added[p] = fma(vec4f(weight), select(rowsV[i][p], vec4f(), weight == 0.0), added[p]);
      }
    }
    block = following;
  }

  // Adds up the groups, relative to the largest score of all.
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
      // If no key is seen, the result is 0.
      let none = most == LOWEST;
      if (c == 0u) { keep(head, row, select(most + log(total), HIGHEST, none)); }
      write(head, row, c, x * select(1.0 / total, 0.0, none));
    }
  }
}
