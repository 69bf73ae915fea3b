// y[h, i] = Σ over j of e(i, j) · v[g, j] / Σ over j of e(i, j), with e(i, j) = exp(f(scale · q[h, i] · k[g, j])), j
// over the keys that query i sees; 0 if there is no such key. f and who sees whom depend on the pair of tokens: a cap,
// a bias, a mask, the weight of a key.
// Method: as attention_subgroup.wgsl. Blocks of keys of which no pair can be seen are not visited.
// Grid: one workgroup of one subgroup for each tile and key head; each sequence starts a new tile.

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
/** Queries of half a tile. */
const HALF = 8u;
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
/** Stores the log of a query's sum of exponentials; HIGHEST if the query sees no key. */
fn keep(head: u32, row: u32, x: f32) { lse[head * startQ(batch()) + row] = x; }
/** 1 if scores depend on more than the product, or a mask hides keys; else 0. */
const PAIRED = 1u;
/** 1 if a mask hides keys, else 0. */
const MASKED = 1u;
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

const TILE = 2u * HALF;
/** Keys of a block: four for each lane. */
const BLOCK = 4u * WIDTH;
/** The score of a key that is not seen. */
const LOWEST = -3.4028234e38;
/** Stored for a query without keys, so that the gradient's exp(score − HIGHEST) is 0. */
const HIGHEST = 3.4028234e38;
/** For each query of a half, a number for each of the lane's four keys: scores, then weights. */
alias Scores = array<vec4f, HALF>;
/** The columns of a row of v or y that a lane owns. */
alias Columns = array<vec4f, PARTS>;
/** The columns that a lane holds of each query of the tile. */
alias Queries = array<array<vec4f, CHUNKS>, TILE>;

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

/** Whether a query at position i of sequence b sees a key. */
fn seesAny(b: u32, i: u32) -> bool {
  let first = keyFrom(startK(b), startK(b + 1u), firstSeen(i));
  return first < startK(b + 1u) && sees(i, positionK(first));
}

/** The lane's `chunk`-th `vec4f` of each query in a half. */
fn chunkOf(queries: ptr<function, Queries>, half: u32, chunk: u32) -> Scores {
  var x: Scores;
  for (var r = 0u; r < HALF; r++) {
    x[r] = (*queries)[half * HALF + r][0];
    for (var p = 1u; p < CHUNKS; p++) { x[r] = select(x[r], (*queries)[half * HALF + r][p], chunk == p); }
  }
  return x;
}

/**
 * Adds q · k over the four columns that lane j holds of each query. `keys`: these columns of the lane's four keys,
 * transposed.
 */
fn multiply(scores: ptr<function, Scores>, chunk: ptr<function, Scores>, j: u32, keys: mat4x4f) {
  for (var r = 0u; r < HALF; r++) {
    let x = subgroupShuffle((*chunk)[r], j);
    (*scores)[r] = fma(vec4f(x.w), keys[3], fma(vec4f(x.z), keys[2],
      fma(vec4f(x.y), keys[1], fma(vec4f(x.x), keys[0], (*scores)[r]))));
  }
}

/**
 * Sets scores of keys that a query does not see to LOWEST. `present`: whether each of the four keys exists; `place`:
 * their positions.
 */
fn hide(
  scores: ptr<function, Scores>,
  positions: ptr<function, array<u32, TILE>>,
  half: u32,
  present: vec4<bool>,
  place: vec4u,
) {
  for (var r = 0u; r < HALF; r++) {
    let i = (*positions)[half * HALF + r];
    let seen = present & vec4<bool>(sees(i, place.x), sees(i, place.y), sees(i, place.z), sees(i, place.w));
    (*scores)[r] = select(vec4f(LOWEST), (*scores)[r], seen);
  }
}

/** A tile: its key head, its first query in all heads of the group, its queries, and the sequence's first row. */
struct Tile { head: u32, entry: u32, filled: u32, firstQuery: u32 }
/** The lane's four keys: their rows, the first row of their sequence, and their positions. */
struct Keys { at: vec4u, first: u32, place: vec4u }

/** Turns scaled products of a half into scores: LOWEST where the mask hides the key. Rows past the last repeat it. */
fn pairUp(
  scores: ptr<function, Scores>,
  positions: ptr<function, array<u32, TILE>>,
  tile: Tile,
  half: u32,
  keys: Keys,
) {
  for (var r = 0u; r < HALF; r++) {
    let e = tile.entry + min(half * HALF + r, tile.filled - 1u);
    let h = tile.head * groupSize() + e % groupSize();
    let query = tile.firstQuery + e / groupSize();
    let i = (*positions)[half * HALF + r];
    let x = (*scores)[r];
    let v0 = pairOf(h, query, keys.at.x, keys.first, i, keys.place.x, x.x);
    let v1 = pairOf(h, query, keys.at.y, keys.first, i, keys.place.y, x.y);
    let v2 = pairOf(h, query, keys.at.z, keys.first, i, keys.place.z, x.z);
    let v3 = pairOf(h, query, keys.at.w, keys.first, i, keys.place.w, x.w);
    let paired = vec4f(v0.score, v1.score, v2.score, v3.score);
    (*scores)[r] = select(vec4f(LOWEST), paired, vec4<bool>(v0.seen, v1.seen, v2.seen, v3.seen));
  }
}

/** Turns scores into weights, relative to the query's largest score so far, and scales the sums down to it. */
fn weigh(
  scores: ptr<function, Scores>,
  best: ptr<function, array<f32, HALF>>,
  sums: ptr<function, array<f32, HALF>>,
  added: ptr<function, array<Columns, HALF>>,
) {
  for (var r = 0u; r < HALF; r++) {
    let score = (*scores)[r];
    let most = max((*best)[r], subgroupMax(max(max(score.x, score.y), max(score.z, score.w))));
    let shrink = select(exp((*best)[r] - most), 1.0, (*best)[r] == most);
    (*best)[r] = most;
    let weight = select(exp(score - most), vec4f(), score == vec4f(LOWEST));
    (*scores)[r] = weight;
    (*sums)[r] = fma((*sums)[r], shrink, (weight.x + weight.y) + (weight.z + weight.w));
    for (var p = 0u; p < PARTS; p++) { (*added)[r][p] *= shrink; }
  }
}

/** The columns that the lane owns of a value. */
fn valuesOf(head: u32, row: u32, lane: u32) -> Columns {
  var x: Columns;
  for (var p = 0u; p < PARTS; p++) { x[p] = valueAt(head, row, min(p * WIDTH + lane, quartersV() - 1u)); }
  return x;
}

/** Adds the values of the four keys that lane j owns. All queries see them. */
fn addFour(
  added: ptr<function, array<Columns, HALF>>,
  weights: ptr<function, Scores>,
  j: u32,
  v0: Columns,
  v1: Columns,
  v2: Columns,
  v3: Columns,
) {
  for (var r = 0u; r < HALF; r++) {
    let w = subgroupShuffle((*weights)[r], j);
    for (var p = 0u; p < PARTS; p++) {
      (*added)[r][p] = fma(vec4f(w.w), v3[p], fma(vec4f(w.z), v2[p],
        fma(vec4f(w.y), v1[p], fma(vec4f(w.x), v0[p], (*added)[r][p]))));
    }
  }
}

/**
 * Adds the value of the i-th of lane j's four keys. If the weight is 0, the value counts as 0: 0 · NaN would be NaN.
 */
fn addOne(added: ptr<function, array<Columns, HALF>>, weights: ptr<function, Scores>, j: u32, i: u32, value: Columns) {
  for (var r = 0u; r < HALF; r++) {
    let w = subgroupShuffle((*weights)[r], j)[i];
    for (var p = 0u; p < PARTS; p++) {
      (*added)[r][p] = fma(vec4f(w), select(value[p], vec4f(), w == 0.0), (*added)[r][p]);
    }
  }
}

@compute @workgroup_size(WIDTH)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
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
  let filled = min(TILE, entries - entry);
  let firstPosition = positionQ(firstQuery + entry / groupSize());
  let lastPosition = positionQ(firstQuery + (entry + filled - 1u) / groupSize());
  // `begin` to `end`: the keys that some query of the tile may see. `seenBegin` to `seenEnd`: the keys that every query
  // sees. Positions are below 2^32 − 1, so `+ 1u` does not overflow.
  let begin = keyFrom(startK(b), startK(b + 1u), firstSeen(firstPosition));
  let end = keyFrom(begin, startK(b + 1u), lastSeen(lastPosition) + 1u);
  let seenBegin = keyFrom(begin, end, firstSeen(lastPosition));
  let seenEnd = keyFrom(seenBegin, end, lastSeen(firstPosition) + 1u);

  let firstKey = startK(b);
  let firstRow = firstQuery + entry / groupSize();
  let lastRow = firstQuery + (entry + filled - 1u) / groupSize();

  var queries: Queries;
  var positions: array<u32, TILE>;
  var seesNone: array<u32, TILE>;
  // The bound is not a constant, so compilers do not unroll the loop, and the text has each load once.
  for (var r = 0u; r < filled; r++) {
    let e = entry + r;
    let row = firstQuery + e / groupSize();
    positions[r] = positionQ(row);
    if (seenBegin >= seenEnd) { seesNone[r] = u32(!seesAny(b, positions[r])); }
    for (var p = 0u; p < CHUNKS; p++) {
      queries[r][p] = queryAt(head * groupSize() + e % groupSize(), row,
        min(p * WIDTH + lane, quarters() - 1u)) * scale();
    }
  }
  var best0: array<f32, HALF>;
  var best1: array<f32, HALF>;
  var sums0: array<f32, HALF>;
  var sums1: array<f32, HALF>;
  var added0: array<Columns, HALF>;
  var added1: array<Columns, HALF>;
  for (var r = 0u; r < HALF; r++) {
    best0[r] = LOWEST;
    best1[r] = LOWEST;
  }

  for (var block = begin - (begin - startK(b)) % BLOCK; block < end; block += BLOCK) {
    let blockEnd = min(block + BLOCK, end);
    if (!mayPair(firstRow, lastRow, block, blockEnd - 1u)) { continue; }
    // The scores of the lane's four keys.
    let own = vec4u(block + 4u * lane) + vec4u(0u, 1u, 2u, 3u);
    let at = min(own, vec4u(end - 1u));
    var scores0: Scores;
    var scores1: Scores;
    for (var r = 0u; r < HALF; r++) {
      scores0[r] = vec4f();
      scores1[r] = vec4f();
    }
    for (var c = 0u; c < quarters(); c += WIDTH) {
      var chunk0 = chunkOf(&queries, 0u, c / WIDTH);
      var chunk1 = chunkOf(&queries, 1u, c / WIDTH);
      let count = min(WIDTH, quarters() - c);
      for (var j = 0u; j < count; j++) {
        let keys = transpose(mat4x4f(keyAt(head, at.x, c + j), keyAt(head, at.y, c + j), keyAt(head, at.z, c + j),
          keyAt(head, at.w, c + j)));
        multiply(&scores0, &chunk0, j, keys);
        multiply(&scores1, &chunk1, j, keys);
      }
    }
    let place = vec4u(positionK(at.x), positionK(at.y), positionK(at.z), positionK(at.w));
    if (PAIRED > 0u) {
      let keys = Keys(at, firstKey, place);
      pairUp(&scores0, &positions, Tile(head, entry, filled, firstQuery), 0u, keys);
      pairUp(&scores1, &positions, Tile(head, entry, filled, firstQuery), 1u, keys);
    }
    if (block < seenBegin || block + BLOCK > seenEnd) {
      hide(&scores0, &positions, 0u, own < vec4u(end), place);
      hide(&scores1, &positions, 1u, own < vec4u(end), place);
    }
    weigh(&scores0, &best0, &sums0, &added0);
    weigh(&scores1, &best1, &sums1, &added1);

    // Adds values: the columns that the lane owns.
    let count = (blockEnd - block + 3u) / 4u;
    for (var j = 0u; j < count; j++) {
      let key = block + 4u * j;
      if (MASKED == 0u && key >= seenBegin && key + 4u <= seenEnd) {
        let v0 = valuesOf(head, key, lane);
        let v1 = valuesOf(head, key + 1u, lane);
        let v2 = valuesOf(head, key + 2u, lane);
        let v3 = valuesOf(head, key + 3u, lane);
        addFour(&added0, &scores0, j, v0, v1, v2, v3);
        addFour(&added1, &scores1, j, v0, v1, v2, v3);
      } else {
        let stop = min(key + 4u, blockEnd);
        for (var i = key; i < stop; i++) {
          let value = valuesOf(head, i, lane);
          addOne(&added0, &scores0, j, i - key, value);
          addOne(&added1, &scores1, j, i - key, value);
        }
      }
    }
  }

  for (var r = 0u; r < TILE; r++) {
    let i = r % HALF;
    let sum = select(sums0[i], sums1[i], r >= HALF);
    let best = select(best0[i], best1[i], r >= HALF);
    let total = subgroupAdd(sum);
    let e = entry + r;
    if (r < filled) {
      // `best` is LOWEST if no key is seen: the result is 0. Without a pair also if all scores are −∞: it is NaN.
      let none = best == LOWEST && (PAIRED > 0u || seesNone[r] == 1u);
      let inverse = select(1.0 / total, 0.0, none);
      if (lane == 0u) {
        keep(head * groupSize() + e % groupSize(), firstQuery + e / groupSize(),
          select(best + log(total), HIGHEST, none));
      }
      for (var p = 0u; p < PARTS; p++) {
        let c = p * WIDTH + lane;
        let x = select(added0[i][p], added1[i][p], r >= HALF);
        if (c < quartersV()) {
          write(head * groupSize() + e % groupSize(), firstQuery + e / groupSize(), c, x * inverse);
        }
      }
    }
  }
}
