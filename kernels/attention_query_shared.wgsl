// y[h, i] = Σ over j of softmax over j (scale · q[h, i] · k[g, j]) · v[g, j], j over the keys that query i sees in its
// sequence; 0 if the query sees no key.
// Method: as attention_query.wgsl, without subgroups. Blocks have as many keys as LANES. Four lanes score four keys
// together: each takes every fourth `vec4f` of the columns, and their partial scores are added up in workgroup memory.
// Then each group of ACROSS lanes adds the values of ACROSS keys of the block; a lane owns columns. A group keeps its
// own largest score, sum of weights and weighted values (Milakov and Gimelshein 2018, arXiv 1805.02867), which are
// added up at the end.
// Grid: one workgroup for each part of the keys of each query of each head. attention_parts.wgsl adds up the parts of a
// query with many keys. Heads of a query are neighbours, because they read the same rows of a cache. If the grid has
// more slots than queries, the queries are spread evenly over the slots.

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
/** Lanes of a workgroup. */
const LANES = 256u;
/** Lanes of a group: at least four. */
const ACROSS = 16u;
/** `vec4f` columns of v that a lane holds. */
const PARTS = 1u;
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
/** The most parts into which the keys of a query are divided. */
fn partCount() -> u32 { return 1u; }
/** The keys of one part of a query that sees keys `begin` to `end`: the first, and the first after the last. */
fn keysOf(part: u32, begin: u32, end: u32) -> vec2u { return vec2u(begin, end); }
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
/**
 * Stores four columns of weighted values. Weights are relative to `most`, the largest score, and `total` is their sum.
 */
fn finish(head: u32, place: u32, c: u32, x: vec4f, most: f32, total: f32) {
  if (c == 0u) { keep(head, place, most + log(total)); }
  write(head, place, c, x * (1.0 / total));
}
// --- end of parameters

/** Groups of lanes in a workgroup. */
const GROUPS = LANES / ACROSS;
/** Lanes that score four keys together. */
const SHARE = 4u;
/** Fours of keys in a block. */
const FOURS = LANES / SHARE;
/** `vec4f` columns of q that a lane holds. */
const CHUNKS = (QUARTERS + SHARE - 1u) / SHARE;
/** Fours of keys of a block whose values a group adds. */
const FOURS_EACH = ACROSS / 4u;
/** Groups whose results are loaded together at the end. */
const SPAN = min(8u, GROUPS);
/** The score of a key past the last. */
const LOWEST = -3.4028234e38;
/** The stretch in which the search of `keyFrom` continues. */
var<workgroup> stretch: vec2u;
// Workgroup memory:
//   largest[g]                 at the end, the largest score of group g.
//   totals[g]                  at the end, the sum of weights of group g.
//   scratch[q · FOURS + f]     the partial scores of the f-th four keys of the block, by the lane with `quarter` q.
//   scratch[g · ACROSS + l]    at the end, the p-th columns of lane l of group g, for one p after the other.
var<workgroup> largest: array<f32, GROUPS>;
var<workgroup> totals: array<f32, GROUPS>;
var<workgroup> scratch: array<vec4f, LANES>;

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
  let heads = groupSize() * sharedHeads();
  let head = n % heads;
  let keyPart = n / heads % partCount();
  let slot = n / heads / partCount();
  let slots = groups.x * groups.y / heads / partCount();
  let rows = startQ(batch());
  // Row r runs in the first slot s with ⌊s · rows / slots⌋ = r. If there are more than 65535 slots, the product may not
  // fit 32 bits, and row r runs in slot r.
  let spread = slots <= 0xffffu;
  let row = select(slot, slot * rows / slots, spread);
  if (row >= rows || (spread && slot * rows % slots >= rows)) { return; }
  let keyHead = head / groupSize();
  let b = sequenceOf(row);
  let position = positionQ(row);
  let quarter = lane % SHARE;
  var query: array<vec4f, CHUNKS>;
  for (var p = 0u; p < CHUNKS; p++) {
    query[p] = queryAt(head, row, min(p * SHARE + quarter, QUARTERS - 1u)) * scale();
  }
  // Positions ascend, so the keys that the query sees are contiguous. Positions are below 2^32 − 1, so `+ 1u` does not
  // overflow.
  let firstKey = startK(b);
  let seenEnd = keyFrom(firstKey, startK(b + 1u), lastSeen(position) + 1u, lane);
  var seenBegin = firstKey;
  if (firstSeen(position) > 0u) { seenBegin = keyFrom(firstKey, seenEnd, firstSeen(position), lane); }
  let mine = keysOf(keyPart, seenBegin, seenEnd);
  let begin = mine.x;
  let end = mine.y;
  let place = row * partCount() + keyPart;
  // A part without keys leaves the lowest score and the sum 0. Part 0 always runs, so that the result is stored.
  if (keyPart > 0u && begin >= end) {
    if (lane == 0u) { finish(head, place, 0u, vec4f(), LOWEST, 0.0); }
    return;
  }

  let own = lane % ACROSS;
  let team = lane / ACROSS;
  let four = lane / SHARE;
  let last = max(end, 1u) - 1u;
  var best = LOWEST;
  var sum = 0.0;
  var added: array<vec4f, PARTS>;
  for (var p = 0u; p < PARTS; p++) { added[p] = vec4f(); }

  for (var block = begin; block < end; block += LANES) {
    let first = block + 4u * four;
    if (first < end) {
      let at0 = keyBegin(keyHead, first);
      let at1 = keyBegin(keyHead, min(first + 1u, last));
      let at2 = keyBegin(keyHead, min(first + 2u, last));
      let at3 = keyBegin(keyHead, min(first + 3u, last));
      var dots = vec4f();
      for (var p = 0u; p < CHUNKS; p++) {
        let c = min(p * SHARE + quarter, QUARTERS - 1u);
        let x = query[p];
        let keys = transpose(mat4x4f(keyBehind(at0, c), keyBehind(at1, c), keyBehind(at2, c), keyBehind(at3, c)));
        let more = fma(vec4f(x.w), keys[3], fma(vec4f(x.z), keys[2], fma(vec4f(x.y), keys[1],
          fma(vec4f(x.x), keys[0], dots))));
        dots = select(dots, more, p * SHARE + quarter < QUARTERS);
      }
      scratch[quarter * FOURS + four] = dots;
    }
    workgroupBarrier();

    // Weights of the group's keys, relative to its largest score so far, and the keys' values.
    let taken = block + team * ACROSS;
    if (taken < end) {
      var scores: array<vec4f, FOURS_EACH>;
      var most = best;
      for (var i = 0u; i < FOURS_EACH; i++) {
        let at = team * FOURS_EACH + i;
        let score = (scratch[at] + scratch[FOURS + at]) +
          (scratch[2u * FOURS + at] + scratch[3u * FOURS + at]);
        let key = vec4u(taken + 4u * i) + vec4u(0u, 1u, 2u, 3u);
        scores[i] = select(vec4f(LOWEST), score, key < vec4u(end));
        most = max(most, max(max(scores[i].x, scores[i].y), max(scores[i].z, scores[i].w)));
      }
      let shrink = select(exp(best - most), 1.0, best == most);
      best = most;
      sum *= shrink;
      for (var p = 0u; p < PARTS; p++) { added[p] *= shrink; }
      for (var i = 0u; i < FOURS_EACH; i++) {
        let key = vec4u(taken + 4u * i) + vec4u(0u, 1u, 2u, 3u);
        let at = min(key, vec4u(last));
        let weight = select(vec4f(), exp(scores[i] - most), key < vec4u(end));
        sum += (weight.x + weight.y) + (weight.z + weight.w);
        let at0 = valueBegin(keyHead, at.x);
        let at1 = valueBegin(keyHead, at.y);
        let at2 = valueBegin(keyHead, at.z);
        let at3 = valueBegin(keyHead, at.w);
        for (var p = 0u; p < PARTS; p++) {
          let c = min(p * ACROSS + own, QUARTERS_V - 1u);
          let v0 = valueBehind(at0, c);
          let v1 = valueBehind(at1, c);
          let v2 = valueBehind(at2, c);
          let v3 = valueBehind(at3, c);
          added[p] = share(weight.w, v3, share(weight.z, v2, share(weight.y, v1, share(weight.x, v0, added[p]))));
        }
      }
    }
    workgroupBarrier();
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
    scratch[lane] = added[p] * shrink;
    workgroupBarrier();
    let c = p * ACROSS + lane;
    if (lane < ACROSS && c < QUARTERS_V) {
      var total = 0.0;
      var x = vec4f();
      for (var at = 0u; at < GROUPS; at += SPAN) {
        for (var i = 0u; i < SPAN; i++) {
          total += totals[at + i];
          x += scratch[(at + i) * ACROSS + lane];
        }
      }
      // If no key is seen, the result is 0. If all scores are −∞, it is NaN.
      let none = begin >= end;
      finish(head, place, c, x, select(most, 0.0, none), select(total, 1.0, none));
    }
  }
}
