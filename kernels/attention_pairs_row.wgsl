// y[h, i] = Σ over j of e(i, j) · v[g, j] / Σ over j of e(i, j), with e(i, j) = exp(f(scale · q[h, i] · k[g, j])), j
// over the keys that query i sees; 0 if there is no such key. f and who sees whom depend on the pair of tokens: a cap,
// a bias, a mask, the weight of a key.
// Method: as attention_row.wgsl. A block is skipped if the query can see none of its keys.
// Grid: a workgroup, which is one subgroup, for each query and head. Heads of a query are neighbours, because they read
// the same rows of a cache. If the grid has more slots than queries, the queries are spread evenly over the slots: a
// software device gives each thread one contiguous range of workgroups.
enable subgroups;

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
/** Lanes of a subgroup. */
const WIDTH = 8u;
/** `vec4f` columns of q that a lane holds. */
const CHUNKS = 2u;
/** `vec4f` columns of v that a lane holds. */
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
fn startQ(b: u32) -> u32 { return rows[b]; }
/** The first row of sequence b in k. `startK(batch())` is the number of rows. */
fn startK(b: u32) -> u32 { return rows[batch() + 1u + b]; }
/** The position of a query. */
fn positionQ(row: u32) -> u32 { return rows[2u * batch() + 2u + row]; }
/** The position of a key. */
fn positionK(row: u32) -> u32 { return rows[2u * batch() + 2u + startQ(batch()) + row]; }
/** Stores the log of a query's sum of exponentials; HIGHEST if the query sees no key. */
fn keep(head: u32, row: u32, x: f32) { lse[head * startQ(batch()) + row] = x; }
/** 1 if scores depend on more than the product, or a mask hides keys; else 0. */
const PAIRED = 1u;
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

/** Keys of a block: four for each lane. */
const BLOCK = 4u * WIDTH;
/** The score of a key that is not seen. */
const LOWEST = -3.4028234e38;
/** Stored for a query without keys, so that the gradient's exp(score − HIGHEST) is 0. */
const HIGHEST = 3.4028234e38;
/** The columns of a row of y that a lane adds up. */
alias Columns = array<vec4f, PARTS>;

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

@compute @workgroup_size(WIDTH)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
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
  let firstKey = startK(b);
  let lastKey = startK(b + 1u);
  let position = positionQ(row);

  // The keys that the query may see: `begin` is the first at or past `firstSeen`, `end` the first past `lastSeen`, both
  // by binary search. Positions are below 2^32 − 1, so `+ 1u` does not overflow. The bound of the loop is always 2; it
  // is not a constant, so that the loop stays rolled.
  var ends = vec2u();
  for (var side = 0u; side < min(2u, queries + 1u); side++) {
    let goal = select(firstSeen(position), lastSeen(position) + 1u, side == 1u);
    var low = firstKey;
    var high = lastKey;
    while (low < high) {
      let middle = (low + high) / 2u;
      if (positionK(middle) < goal) { low = middle + 1u; } else { high = middle; }
    }
    ends[side] = low;
  }
  let begin = ends.x;
  let end = ends.y;

  var query: array<vec4f, CHUNKS>;
  for (var p = 0u; p < CHUNKS; p++) {
    query[p] = queryAt(head, row, min(p * WIDTH + lane, quarters() - 1u)) * scale();
  }

  var best = LOWEST;
  var sum = 0.0;
  var any = false;
  var added: Columns;

  for (var block = begin - (begin - firstKey) % BLOCK; block < end; block += BLOCK) {
    if (!mayPair(row, row, block, min(block + BLOCK, end) - 1u)) { continue; }
    // The scores of the lane's four keys, two at a time: two keys share the columns of the query. Where a key begins is
    // computed once.
    let own = block + 4u * lane;
    let last = end - 1u;
    let four = min(vec4u(own) + vec4u(0u, 1u, 2u, 3u), vec4u(last));
    var dots = vec4f();
    for (var i = 0u; i < min(4u, end - block); i += 2u) {
      let two = select(four.xy, four.zw, i == 2u);
      let begins = vec2u(keyBegin(keyHead, two.x), keyBegin(keyHead, two.y));
      var dot = vec2f();
      for (var c = 0u; c < quarters(); c++) {
        var chunk = query[0];
        for (var p = 1u; p < CHUNKS; p++) { chunk = select(chunk, query[p], c / WIDTH == p); }
        let x = subgroupShuffle(chunk, c % WIDTH);
        let a = keyBehind(begins.x, c);
        let b = keyBehind(begins.y, c);
        dot.x = fma(x.w, a.w, fma(x.z, a.z, fma(x.y, a.y, fma(x.x, a.x, dot.x))));
        dot.y = fma(x.w, b.w, fma(x.z, b.z, fma(x.y, b.y, fma(x.x, b.x, dot.y))));
      }
      dots = select(vec4f(dot, dots.zw), vec4f(dots.xy, dot), i == 2u);
    }
    var score = vec4f(LOWEST);
    for (var i = 0u; i < 4u; i++) {
      let j = positionK(four[i]);
      let pair = pairOf(head, row, four[i], firstKey, position, j, dots[i]);
      if (own + i >= begin && own + i < end && sees(position, j) && pair.seen) {
        score[i] = pair.score;
        any = true;
      }
    }

    // Weights, relative to the query's largest score so far.
    let most = max(best, subgroupMax(max(max(score.x, score.y), max(score.z, score.w))));
    let shrink = select(exp(best - most), 1.0, best == most);
    best = most;
    let weight = select(exp(score - most), vec4f(), score == vec4f(LOWEST));
    sum = fma(sum, shrink, (weight.x + weight.y) + (weight.z + weight.w));
    for (var p = 0u; p < PARTS; p++) { added[p] *= shrink; }

    // Adds values: the columns that the lane owns, of two keys at a time. If a weight is 0, the value counts as 0: 0 ·
    // NaN would be NaN.
    let places = vec4u(
      valueBegin(keyHead, four.x), valueBegin(keyHead, four.y), valueBegin(keyHead, four.z), valueBegin(keyHead, four.w)
    );
    for (var key = 0u; key < min(BLOCK, end - block); key += 2u) {
      let second = key % 4u == 2u;
      let w = subgroupShuffle(select(weight.xy, weight.zw, second), key / 4u);
      let begins = subgroupShuffle(select(places.xy, places.zw, second), key / 4u);
      for (var p = 0u; p < PARTS; p++) {
        let c = min(p * WIDTH + lane, quartersV() - 1u);
        let x = select(valueBehind(begins.x, c), vec4f(), w.x == 0.0);
        let z = select(valueBehind(begins.y, c), vec4f(), w.y == 0.0);
        added[p] = fma(vec4f(w.y), z, fma(vec4f(w.x), x, added[p]));
      }
    }
  }

  // `best` is LOWEST if no key is seen: the result is 0. Without a pair also if all scores are −∞: it is NaN.
  let total = subgroupAdd(sum);
  let seen = subgroupAny(any);
  let none = best == LOWEST && (PAIRED > 0u || !seen);
  let inverse = select(1.0 / total, 0.0, none);
  if (lane == 0u) { keep(head, row, select(best + log(total), HIGHEST, none)); }
  for (var c = lane; c < quartersV(); c += WIDTH) {
    var x = added[0];
    for (var p = 1u; p < PARTS; p++) { x = select(x, added[p], c / WIDTH == p); }
    write(head, row, c, x * inverse);
  }
}
