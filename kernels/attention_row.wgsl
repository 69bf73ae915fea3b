// y[h, i] = Σ over j of softmax over j (scale · q[h, i] · k[g, j]) · v[g, j], j over the keys that query i sees in its
// sequence; zeros where it sees none.
// Method: as attention_subgroup.wgsl, to the bit, for one query at a time: lanes own four keys of a block while they
// score and vectors of columns while they add values; the query, the places of values and weights are spread over the
// lanes and passed round by shuffles. Keys are not shared by queries, so it is for few of them; its text is short, with
// loops over keys and columns rolled, so it is compiled in a tenth of the time.
// Grid: one workgroup, which is one subgroup, for each query of each head. Heads of a query are neighbours, for they
// read the same rows of a cache. The grid has room for more queries than there may be, and they are spread evenly over
// it: a software device gives each of its threads a stretch of workgroups.
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
@group(0) @binding(4) var<storage, read> startsQ: array<u32>;
@group(0) @binding(5) var<storage, read> startsK: array<u32>;
@group(0) @binding(6) var<storage, read> positionsQ: array<u32>;
@group(0) @binding(7) var<storage, read> positionsK: array<u32>;
@group(0) @binding(8) var<storage, read_write> y: array<vec4f>;
const WIDTH = 8u;
/** `vec4f` columns of q and v in a lane. */
const CHUNKS = 2u;
const PARTS = 2u;
/** Key heads, and query heads per key head. */
fn sharedHeads() -> u32 { return sizes.sharedHeads; }
fn groupSize() -> u32 { return sizes.groupSize; }
fn batch() -> u32 { return sizes.batch; }
/** `vec4f` columns of q and k, and of v. */
fn quarters() -> u32 { return sizes.quarters; }
fn quartersV() -> u32 { return sizes.quartersV; }
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

const BLOCK = 4u * WIDTH;
const LOWEST = -3.4028234e38;
/** The columns of a row that a lane owns. */
alias Columns = array<vec4f, PARTS>;

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
  let rows = startQ(batch());
  // Row r has the first slot s with s · rows / slots = r; of so many slots that the product needs more than 32 bits,
  // slot r.
  let spread = slots <= 0xffffu;
  let row = select(slot, slot * rows / slots, spread);
  if (row >= rows || (spread && slot * rows % slots >= rows)) { return; }
  let keys = head / groupSize();
  let b = sequenceOf(row);
  let firstKey = startK(b);
  let lastKey = startK(b + 1u);
  let position = positionQ(row);

  // The keys that the query may see: from the first whose position is at least `firstSeen` to the first beyond
  // `lastSeen`. No position is the largest number.
  var ends = vec2u();
  for (var side = 0u; side < min(2u, rows + 1u); side++) {
    let wanted = select(firstSeen(position), lastSeen(position) + 1u, side == 1u);
    var low = firstKey;
    var high = lastKey;
    while (low < high) {
      let middle = (low + high) / 2u;
      if (positionK(middle) < wanted) { low = middle + 1u; } else { high = middle; }
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
    // Scores of four keys a lane, two at a time, which share the columns of the query; where a key begins is found
    // once.
    let own = block + 4u * lane;
    let last = end - 1u;
    let four = min(vec4u(own) + vec4u(0u, 1u, 2u, 3u), vec4u(last));
    var dots = vec4f();
    for (var i = 0u; i < min(4u, end - block); i += 2u) {
      let two = select(four.xy, four.zw, i == 2u);
      let begins = vec2u(keyBegin(keys, two.x), keyBegin(keys, two.y));
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
      if (own + i >= begin && own + i < end && sees(position, positionK(four[i]))) {
        score[i] = dots[i];
        any = true;
      }
    }

    // Weights relative to the largest score so far.
    let most = max(best, subgroupMax(max(max(score.x, score.y), max(score.z, score.w))));
    let shrink = select(exp(best - most), 1.0, best == most);
    best = most;
    let weight = select(exp(score - most), vec4f(), score == vec4f(LOWEST));
    sum = fma(sum, shrink, (weight.x + weight.y) + (weight.z + weight.w));
    for (var p = 0u; p < PARTS; p++) { added[p] *= shrink; }

    // Values of the columns a lane owns, of two keys at a time; nothing of one that is not seen, be it infinite or NaN.
    let places = vec4u(
      valueBegin(keys, four.x), valueBegin(keys, four.y), valueBegin(keys, four.z), valueBegin(keys, four.w)
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

  // Nothing above the lowest: no key is seen, or the scores of all are −∞, whose quotients are NaN.
  let total = subgroupAdd(sum);
  let seen = subgroupAny(any);
  let none = best == LOWEST && !seen;
  let inverse = select(1.0 / total, 0.0, none);
  if (lane == 0u) { keep(head, row, select(best + log(total), 0.0, none)); }
  for (var c = lane; c < quartersV(); c += WIDTH) {
    var x = added[0];
    for (var p = 1u; p < PARTS; p++) { x = select(x, added[p], c / WIDTH == p); }
    write(head, row, c, x * inverse);
  }
}
