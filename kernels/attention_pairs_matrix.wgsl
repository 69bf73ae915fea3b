// y[h, i] = Σ over j of e(i, j) · v[g, j] / Σ over j of e(i, j), with e(i, j) = exp(f(scale · q[h, i] · k[g, j])), j
// over the keys that query i sees; 0 if there is no such key. f and who sees whom depend on the pair of tokens: a cap,
// a bias, a mask, the weight of a key. Products of f16 by f16 with sums in f32, on matrix units.
// Method: as attention_matrix.wgsl. Pairs are computed in f32, between the two products. Blocks of keys of which no
// pair can be seen are not visited.
// Grid: one workgroup for each tile and key head; each sequence starts a new tile.
diagnostic(off, chromium.subgroup_matrix_uniformity);
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;

// --- parameters
struct Sizes {
  sharedHeads: u32, groupSize: u32, batch: u32, quarters: u32, quartersV: u32, scale: f32, queryHeads: u32,
  queryRows: u32, keyHeads: u32, keyRows: u32, valueHeads: u32, valueRows: u32, resultHeads: u32, resultRows: u32,
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
/** A matrix unit multiplies M × K by K × N. */
const M = 8u; const N = 8u; const K = 8u;
/** Subgroups of a workgroup. */
const SUBGROUPS = 4u;
/** Keys of a block: a multiple of N and of K. */
const BLOCK = 32u;
/** Columns of q and k, padded to whole matrices. */
const COLUMNS = 64u;
/** Columns of v, padded to whole matrices. */
const COLUMNS_V = 64u;
/** 1 if q and k have fewer than COLUMNS columns, else 0. */
const PADDED = 0u;
// Declarations that attention.wgsl explains:
fn sharedHeads() -> u32 { return sizes.sharedHeads; }
fn groupSize() -> u32 { return sizes.groupSize; }
fn batch() -> u32 { return sizes.batch; }
fn quarters() -> u32 { return sizes.quarters; }
fn quartersV() -> u32 { return sizes.quartersV; }
fn scale() -> f32 { return sizes.scale; }
fn queryAt(head: u32, row: u32, c: u32) -> vec4f { return q[head * sizes.queryHeads + row * sizes.queryRows + c]; }
fn keyAt(head: u32, row: u32, c: u32) -> vec4f { return k[head * sizes.keyHeads + row * sizes.keyRows + c]; }
fn valueAt(head: u32, row: u32, c: u32) -> vec4f { return v[head * sizes.valueHeads + row * sizes.valueRows + c]; }
fn write(head: u32, row: u32, c: u32, x: vec4f) { y[head * sizes.resultHeads + row * sizes.resultRows + c] = x; }
fn sees(i: u32, j: u32) -> bool { return j <= i; }
fn firstSeen(i: u32) -> u32 { return 0u; }
fn lastSeen(i: u32) -> u32 { return i; }
fn startQ(b: u32) -> u32 { return rows[b]; }
fn startK(b: u32) -> u32 { return rows[batch() + 1u + b]; }
fn positionQ(row: u32) -> u32 { return rows[2u * batch() + 2u + row]; }
fn positionK(row: u32) -> u32 { return rows[2u * batch() + 2u + startQ(batch()) + row]; }
/** The nearest f16. */
fn halves(x: vec4f) -> vec4<f16> { return vec4<f16>(x); }
// Declarations that attention_pairs_subgroup.wgsl explains:
fn keep(head: u32, row: u32, x: f32) { lse[head * startQ(batch()) + row] = x; }
const PAIRED = 1u;
struct PairValue { score: f32, slope: f32, seen: bool }
fn pairOf(head: u32, query: u32, key: u32, firstKey: u32, i: u32, j: u32, score: f32) -> PairValue {
  return PairValue(score, 1.0, i / 128u == j / 128u);
}
fn mayPair(firstQuery: u32, lastQuery: u32, firstKey: u32, lastKey: u32) -> bool {
  return positionQ(firstQuery) / 128u <= positionK(lastKey) / 128u &&
    positionK(firstKey) / 128u <= positionQ(lastQuery) / 128u;
}
// Workgroup memory `tiles`: the table in attention_matrix.wgsl.
const FIRST_SUMS = FIRST_VALUES + COLUMNS_V * STRIDE_V;
const FIRST_WEIGHTS = FIRST_SUMS;
const STRIDE_W = STRIDE_SUMS;
var<workgroup> tiles: array<vec4<u32>, max(TILE * STRIDE, FIRST_SUMS + TILE * STRIDE_SUMS)>;
fn put(at: u32, x: vec4<u32>) { tiles[at] = x; }
fn leftAt(at: u32, stride: u32) -> Left { return subgroupMatrixLoad<Left, row_major>(&tiles, at, stride); }
fn rightAt(at: u32, stride: u32) -> Right { return subgroupMatrixLoad<Right, col_major>(&tiles, at, stride); }
fn putSums(at: u32, x: Sum) { subgroupMatrixStore<row_major>(&tiles, FIRST_SUMS + at, x, STRIDE_SUMS); }
fn sumOf(at: u32) -> Sum { return subgroupMatrixLoad<Sum, row_major>(&tiles, FIRST_SUMS + at, STRIDE_SUMS); }
fn sumsAt(at: u32) -> vec4f { return bitcast<vec4f>(tiles[FIRST_SUMS + at]); }
fn setSums(at: u32, x: vec4f) { tiles[FIRST_SUMS + at] = bitcast<vec4<u32>>(x); }
// --- end of parameters

const TILE = SUBGROUPS * M; const LANES = SUBGROUPS * WIDTH;
/** The score of a key that is not seen. */
const LOWEST = -3.4028234e38;
/** Stored for a query without keys, so that the gradient's exp(score − HIGHEST) is 0. */
const HIGHEST = 3.4028234e38;
/** Scores are exponents of 2. A weight is 2^(score − base), at most 2^11, which f16 holds. */
const MARGIN = 11.0;
const LOG2_E = 1.4426950408889634;
alias Left = subgroup_matrix_left<f16, K, M>;
alias Right = subgroup_matrix_right<f16, N, K>;
alias Sum = subgroup_matrix_result<f32, N, M>;
/** Lanes that share a query: neighbours in a subgroup. */
const SHARING = max(WIDTH / M, 1u);
/** Queries of a lane. */
const EACH = M * SHARING / WIDTH;
/** Groups of eight keys in a block. */
const EIGHTS = BLOCK / 8u;
/** Groups of eight keys that a lane owns per query. */
const PARTS = (EIGHTS + SHARING - 1u) / SHARING;

const STRIDE = COLUMNS / 8u + 1u;
const STRIDE_V = EIGHTS + 1u;
const STRIDE_SUMS = BLOCK / 4u + 1u;
const FIRST_VALUES = BLOCK * STRIDE;
/** Matrices of a row of sums that are scaled or stored at a time, in the memory of scores. */
const ACROSS = BLOCK / N;
/** The number of times that this takes. */
const CHUNKS = (COLUMNS_V + BLOCK - 1u) / BLOCK;
/** Loads of a tile's queries: each is eight columns of a query. */
const QUERY_PLACES = TILE * (COLUMNS / 8u);
/** Loads of a block's keys: each is eight columns of a key. */
const KEY_PLACES = BLOCK * (COLUMNS / 8u);
/** Loads of a block's values: each is four columns of eight keys. */
const VALUE_PLACES = EIGHTS * (COLUMNS_V / 4u);
/** Loads of a lane, of each kind; PLACES_EACH: of four keys' positions. */
const QUERIES_EACH = (QUERY_PLACES + LANES - 1u) / LANES; const KEYS_EACH = (KEY_PLACES + LANES - 1u) / LANES;
const PLACES_EACH = (BLOCK / 4u + LANES - 1u) / LANES; const VALUES_EACH = (VALUE_PLACES + LANES - 1u) / LANES;
/** Positions of the keys of a block. */
var<workgroup> places: array<vec4u, BLOCK / 4u>;
/** For each subgroup, the first key of the last block in which a score exceeded the margin, plus 1. */
var<workgroup> grown: array<u32, SUBGROUPS>;
/** Eight halves as a vector of workgroup memory. */
fn eight(x: vec4<f16>, y: vec4<f16>) -> vec4<u32> { return vec4<u32>(bitcast<vec2u>(x), bitcast<vec2u>(y)); }

/** c, or the last `vec4f` column if c is past it. */
fn inside(c: u32) -> u32 { return select(min(c, quarters() - 1u), c, PADDED == 0u); }
/** x, or zeros if column c is past the last. */
fn filledUp(x: vec4f, c: u32) -> vec4f { return select(vec4f(), x, PADDED == 0u || c < quarters()); }
/** Columns 4c to 4c + 3 of a query, padded with zeros. */
fn queryPart(head: u32, row: u32, c: u32) -> vec4f { return filledUp(queryAt(head, row, inside(c)), c); }
/** Columns 4c to 4c + 3 of a key, padded with zeros. */
fn keyPart(head: u32, row: u32, c: u32) -> vec4f { return filledUp(keyAt(head, row, inside(c)), c); }

/** The lane's loads of a block. */
struct Brought {
  places: array<vec4u, PLACES_EACH>,
  keys: array<array<vec4f, 2>, KEYS_EACH>, values: array<array<vec4f, 8>, VALUES_EACH>,
}
/** Loads a block. Keys past `last` repeat it. */
fn bring(head: u32, block: u32, last: u32, lane: u32) -> Brought {
  var own: Brought;
  for (var p = 0u; p < KEYS_EACH; p++) {
    let row = min(block + (lane + p * LANES) / (COLUMNS / 8u), last);
    let c = (lane + p * LANES) % (COLUMNS / 8u) * 2u;
    own.keys[p] = array<vec4f, 2>(keyPart(head, row, c), keyPart(head, row, c + 1u));
  }
  for (var p = 0u; p < VALUES_EACH; p++) {
    let i = lane + p * LANES; let c = min(i % (COLUMNS_V / 4u), quartersV() - 1u);
    for (var j = 0u; j < 8u; j++) {
      own.values[p][j] = valueAt(head, min(block + i / (COLUMNS_V / 4u) * 8u + j, last), c);
    }
  }
  for (var p = 0u; p < PLACES_EACH; p++) {
    for (var i = 0u; i < 4u; i++) { own.places[p][i] = positionK(min(block + 4u * (lane + p * LANES) + i, last)); }
  }
  return own;
}

/** An upper bound on the tiles of the sequences before b. It grows with b, so binary search finds a tile's sequence. */
fn tilesBefore(b: u32) -> u32 { return startQ(b) * groupSize() / TILE + b; }

/** The sequence of a tile. */
fn sequenceOf(tile: u32) -> u32 {
  var low = 0u; var high = batch();
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (tilesBefore(middle) <= tile) { low = middle; } else { high = middle; }
  }
  return low;
}

/** For each of four positions, the first key in [begin, end) at or past it; `end` if there is none. */
fn keysFrom(begin: u32, end: u32, at: vec4u) -> vec4u {
  var low = vec4u(begin); var left = end - begin;
  while (left > 0u) {
    let half = left / 2u; let middle = low + half; let own = min(middle, vec4u(end - 1u));
    let held = vec4u(positionK(own.x), positionK(own.y), positionK(own.z), positionK(own.w));
    low = select(low, middle + 1u, (held < at) & (middle < vec4u(end))); left = half;
  }
  return low;
}

/** Whether a query at position i sees each of the four keys of the block from its j-th on. */
fn seesFour(i: u32, j: u32, block: u32, end: u32) -> vec4<bool> {
  let at = places[j / 4u];
  return (vec4u(block + j) + vec4u(0u, 1u, 2u, 3u) < vec4u(end)) &
    vec4<bool>(sees(i, at.x), sees(i, at.y), sees(i, at.z), sees(i, at.w));
}

/** The first block from `block` on, `end` or more if there is none, of which a query of the tile may see a pair. */
fn visited(block: u32, end: u32, tileQuery: u32, lastQuery: u32) -> u32 {
  var at = block;
  while (at < end && !mayPair(tileQuery, lastQuery, at, min(at + BLOCK, end) - 1u)) { at += BLOCK; }
  return at;
}

/**
 * The scores of a query and the four keys of the block from its j-th on, from their scaled products; LOWEST for a key
 * that the mask hides.
 */
fn pairsOf(head: u32, query: u32, firstKey: u32, i: u32, j: u32, block: u32, last: u32, products: vec4f) -> vec4f {
  let at = places[j / 4u]; var x = vec4f(LOWEST);
  for (var n = 0u; n < 4u; n++) {
    let pair = pairOf(head, query, min(block + j + n, last), firstKey, i, at[n], products[n]);
    x[n] = select(LOWEST, pair.score * LOG2_E, pair.seen);
  }
  return x;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) lane: u32, @builtin(subgroup_id) subgroup: u32,
        @builtin(subgroup_invocation_id) member: u32) {
  let n = group.x + group.y * groups.x; let tiles = groups.x * groups.y / sharedHeads(); let head = n / tiles;
  // Last tiles first: with a causal mask they see the most keys.
  let tile = tiles - 1u - n % tiles; let b = sequenceOf(tile); let firstQuery = startQ(b);
  let entries = (startQ(b + 1u) - firstQuery) * groupSize(); let entry = (tile - tilesBefore(b)) * TILE;
  if (head >= sharedHeads() || entry >= entries) { return; }
  let filled = min(TILE, entries - entry); let firstPosition = positionQ(firstQuery + entry / groupSize());
  let lastPosition = positionQ(firstQuery + (entry + filled - 1u) / groupSize());
  // `begin` to `end`: the keys that some query of the tile may see. `seenBegin` to `seenEnd`: the keys that every query
  // sees. Positions are below 2^32 − 1, so `+ 1u` does not overflow.
  let stretches = keysFrom(startK(b), startK(b + 1u), vec4u(
    firstSeen(firstPosition), lastSeen(lastPosition) + 1u, firstSeen(lastPosition), lastSeen(firstPosition) + 1u));
  let begin = stretches.x; let end = max(begin, stretches.y); let seenBegin = clamp(stretches.z, begin, end);
  let seenEnd = clamp(stretches.w, seenBegin, end); let firstKey = startK(b);
  let tileQuery = firstQuery + entry / groupSize();
  let lastQuery = firstQuery + (entry + filled - 1u) / groupSize();
  // Entries past the tile's last query repeat it.
  for (var p = 0u; p < QUERIES_EACH; p++) {
    let i = lane + p * LANES;
    if (QUERY_PLACES % LANES != 0u && i >= QUERY_PLACES) { continue; }
    let c = i % (COLUMNS / 8u) * 2u; let e = entry + min(i / (COLUMNS / 8u), filled - 1u);
    let own = head * groupSize() + e % groupSize(); let row = firstQuery + e / groupSize();
    put(i / (COLUMNS / 8u) * STRIDE + c / 2u,
      eight(halves(queryPart(own, row, c)), halves(queryPart(own, row, c + 1u))));
  }
  if (lane < SUBGROUPS) { grown[lane] = 0u; }
  workgroupBarrier();
  var queries: array<Left, COLUMNS / K>;
  for (var c = 0u; c < COLUMNS / K; c++) { queries[c] = leftAt(subgroup * M * STRIDE + c * (K / 8u), STRIDE); }
  workgroupBarrier();
  // The first of the lane's EACH queries.
  let firstRow = subgroup * M + member / SHARING * EACH; let share = member % SHARING;
  var positions: array<u32, EACH>; var best: array<f32, EACH>; var total: array<f32, EACH>;
  for (var r = 0u; r < EACH; r++) {
    positions[r] = positionQ(firstQuery + (entry + min(firstRow + r, filled - 1u)) / groupSize());
    best[r] = LOWEST; total[r] = 0.0;
  }
  var added: array<Sum, COLUMNS_V / N>;
  for (var c = 0u; c < COLUMNS_V / N; c++) { added[c] = Sum(); }
  // Blocks start at multiples of BLOCK from the sequence's first key in every tile, so a row has the same bits in each.
  // Keys past the last repeat it, with weight 0.
  let last = max(end, 1u) - 1u;
  // The exit test is at the loop's end, so that the compiler hoists invariants.
  var block = visited(begin - (begin - firstKey) % BLOCK, end, tileQuery, lastQuery);
  if (block < end) { var next = bring(head, block, last, lane); loop {
    let allSeen = block >= seenBegin && block + BLOCK <= seenEnd;
    for (var p = 0u; p < KEYS_EACH; p++) {
      let i = lane + p * LANES;
      if (KEY_PLACES % LANES == 0u || i < KEY_PLACES) {
        put(i / (COLUMNS / 8u) * STRIDE + i % (COLUMNS / 8u), eight(halves(next.keys[p][0]), halves(next.keys[p][1])));
      }
    }
    for (var p = 0u; p < VALUES_EACH; p++) {
      let i = lane + p * LANES;
      if (VALUE_PLACES % LANES != 0u && i >= VALUE_PLACES) { continue; }
      var x: array<vec4<f16>, 8>;
      for (var j = 0u; j < 8u; j++) { x[j] = halves(next.values[p][j]); }
      for (var q = 0u; q < 4u; q++) {
        put(FIRST_VALUES + (i % (COLUMNS_V / 4u) * 4u + q) * STRIDE_V + i / (COLUMNS_V / 4u), eight(
          vec4<f16>(x[0][q], x[1][q], x[2][q], x[3][q]), vec4<f16>(x[4][q], x[5][q], x[6][q], x[7][q])));
      }
    }
    for (var p = 0u; p < PLACES_EACH; p++) {
      let i = lane + p * LANES;
      if (BLOCK / 4u % LANES == 0u || i < BLOCK / 4u) { places[i] = next.places[p]; }
    }
    workgroupBarrier();
    let following = visited(block + BLOCK, end, tileQuery, lastQuery);
    if (following < end) { next = bring(head, following, last, lane); }
    for (var j = 0u; j < BLOCK / N; j++) {
      var score = Sum();
      for (var c = 0u; c < COLUMNS / K; c++) {
        score = subgroupMatrixMultiplyAccumulate(queries[c], rightAt(j * N * STRIDE + c * (K / 8u), STRIDE), score);
      }
      putSums(subgroup * M * STRIDE_SUMS + j * (N / 4u), score);
    }
    workgroupBarrier();
    // Weights are relative to the query's base: its largest score when this last grew by more than MARGIN.
    var own: array<array<array<vec4f, 2>, PARTS>, EACH>; var shrink: array<f32, EACH>; var grows = false;
    for (var r = 0u; r < EACH; r++) {
      var most = LOWEST;
      for (var p = 0u; p < PARTS; p++) {
        let e = p * SHARING + share;
        for (var h = 0u; h < 2u; h++) {
          let j = 8u * min(e, EIGHTS - 1u) + 4u * h;
          let product = sumsAt((firstRow + r) * STRIDE_SUMS + j / 4u) * scale(); var x = product * LOG2_E;
          if (PAIRED > 0u) {
            let e = entry + min(firstRow + r, filled - 1u);
            x = pairsOf(head * groupSize() + e % groupSize(), firstQuery + e / groupSize(), firstKey, positions[r], j,
              block, last, product);
          }
          if (!allSeen) { x = select(vec4f(LOWEST), x, seesFour(positions[r], j, block, end)); }
          own[r][p][h] = x;
          most = max(most, max(max(x.x, x.y), max(x.z, x.w)));
        }
      }
      for (var d = 1u; d < SHARING; d *= 2u) { most = max(most, subgroupShuffleXor(most, d)); }
      let grew = most > best[r] + MARGIN;
      shrink[r] = select(1.0, exp2(best[r] - most), grew);
      best[r] = select(best[r], most, grew);
      total[r] *= shrink[r];
      grows |= grew;
    }
    if (subgroupAny(grows) && member == 0u) { grown[subgroup] = block + 1u; }
    let growth = workgroupUniformLoad(&grown); var any = false;
    for (var s = 0u; s < SUBGROUPS; s++) { any |= growth[s] == block + 1u; }
    if (any) {
      for (var chunk = 0u; chunk < CHUNKS; chunk++) {
        for (var c = 0u; c < ACROSS; c++) {
          let n = chunk * ACROSS + c;
          if (n < COLUMNS_V / N) { putSums(subgroup * M * STRIDE_SUMS + c * (N / 4u), added[n]); }
        }
        workgroupBarrier();
        for (var r = 0u; r < EACH; r++) {
          for (var c = share; c < BLOCK / 4u; c += SHARING) {
            let at = (firstRow + r) * STRIDE_SUMS + c;
            setSums(at, sumsAt(at) * shrink[r]);
          }
        }
        workgroupBarrier();
        for (var c = 0u; c < ACROSS; c++) {
          let n = chunk * ACROSS + c;
          if (n < COLUMNS_V / N) { added[n] = sumOf(subgroup * M * STRIDE_SUMS + c * (N / 4u)); }
        }
        workgroupBarrier();
      }
    }
    for (var r = 0u; r < EACH; r++) {
      for (var p = 0u; p < PARTS; p++) {
        let e = p * SHARING + share;
        // If a query has seen no key, the base stays above LOWEST, so that its weights are 0.
        let base = max(best[r], 0.5 * LOWEST);
        let weight = array<vec4f, 2>(exp2(own[r][p][0] - base), exp2(own[r][p][1] - base));
        let sum = weight[0] + weight[1];
        if (EIGHTS % SHARING == 0u || e < EIGHTS) {
          total[r] += (sum.x + sum.y) + (sum.z + sum.w);
          put(FIRST_WEIGHTS + (firstRow + r) * STRIDE_W + e, eight(halves(weight[0]), halves(weight[1])));
        }
      }
    }
    workgroupBarrier();
    for (var j = 0u; j < BLOCK / K; j++) {
      let left = leftAt(FIRST_WEIGHTS + subgroup * M * STRIDE_W + j * (K / 8u), STRIDE_W);
      for (var c = 0u; c < COLUMNS_V / N; c++) {
        let right = rightAt(FIRST_VALUES + c * N * STRIDE_V + j * (K / 8u), STRIDE_V);
        added[c] = subgroupMatrixMultiplyAccumulate(left, right, added[c]);
      }
    }
    workgroupBarrier();
    continuing { block = following; break if block >= end; }
  } }
  var inverse: array<f32, EACH>;
  for (var r = 0u; r < EACH; r++) {
    var whole = total[r];
    for (var d = 1u; d < SHARING; d *= 2u) { whole += subgroupShuffleXor(whole, d); }
    // If no key is seen, the result is 0.
    let none = best[r] == LOWEST;
    inverse[r] = select(1.0 / whole, 0.0, none);
    let e = entry + firstRow + r;
    if (share == 0u && firstRow + r < filled) {
      let row = firstQuery + e / groupSize();
      keep(head * groupSize() + e % groupSize(), row, select(best[r] / LOG2_E + log(whole), HIGHEST, none));
    }
  }
  for (var chunk = 0u; chunk < CHUNKS; chunk++) {
    for (var c = 0u; c < ACROSS; c++) {
      let n = chunk * ACROSS + c;
      if (n < COLUMNS_V / N) { putSums(subgroup * M * STRIDE_SUMS + c * (N / 4u), added[n]); }
    }
    workgroupBarrier();
    for (var r = 0u; r < EACH; r++) {
      if (firstRow + r < filled) {
        let e = entry + firstRow + r;
        let end = min(BLOCK / 4u, quartersV() - min(chunk * (BLOCK / 4u), quartersV()));
        for (var c = share; c < end; c += SHARING) {
          write(head * groupSize() + e % groupSize(), firstQuery + e / groupSize(), chunk * (BLOCK / 4u) + c,
            sumsAt((firstRow + r) * STRIDE_SUMS + c) * inverse[r]);
        }
      }
    }
    workgroupBarrier();
  }
}
