// y[h, i] = Σ over j of softmax over j (scale · q[h, i] · k[g, j]) · v[g, j], j over the keys that query i sees in its
// sequence; zeros where it sees none: products of f16 by f16 with sums in f32, on matrix units.
// Method: as attention.wgsl, which see, goes through blocks of keys with the largest score so far (Dao et al. 2022,
// arXiv 2205.14135). Each subgroup owns M queries of the tile, whose scores and whose sums of values go through
// workgroup memory, for a matrix in registers can only be scaled as a whole; there the lanes of a subgroup share a
// query, of which each owns columns in registers. Queries, keys, values and weights are rounded to f16; scores, their
// largest, the sums of weights and those of values are f32. Rows in workgroup memory are padded by 8 halves, so that
// rows of a matrix lie in different banks. Blocks of keys that no query of the tile sees are not visited; of a block
// that is, a value that is infinite or NaN reaches the queries of the tile that do not see its key too.
// Grid: one workgroup for each tile and head of keys; tiles begin anew with each sequence.
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;

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
/** Invocations of a subgroup. */
const WIDTH = 8u;
const M = 8u;
const N = 8u;
const K = 8u;
/** Subgroups of a workgroup. */
const SUBGROUPS = 4u;
/** Keys of a block: whole matrices, across and down. */
const BLOCK = 32u;
/** Columns of q and k, and of v, filled up to whole matrices. */
const COLUMNS = 64u;
const COLUMNS_V = 64u;
/** Heads of keys, and query heads that share one. */
fn sharedHeads() -> u32 { return sizes.sharedHeads; }
fn groupSize() -> u32 { return sizes.groupSize; }
fn batch() -> u32 { return sizes.batch; }
/** Fours of columns of q and k, and of v. */
fn quarters() -> u32 { return sizes.quarters; }
fn quartersV() -> u32 { return sizes.quartersV; }
fn scale() -> f32 { return sizes.scale; }
/** Four columns of a row of a head; zeros beyond the last. */
fn queryAt(head: u32, row: u32, c: u32) -> vec4f { return q[head * sizes.queryHeads + row * sizes.queryRows + c]; }
fn keyAt(head: u32, row: u32, c: u32) -> vec4f { return k[head * sizes.keyHeads + row * sizes.keyRows + c]; }
fn valueAt(head: u32, row: u32, c: u32) -> vec4f { return v[head * sizes.valueHeads + row * sizes.valueRows + c]; }
fn write(head: u32, row: u32, c: u32, x: vec4f) { y[head * sizes.resultHeads + row * sizes.resultRows + c] = x; }
fn sees(i: u32, j: u32) -> bool { return j <= i; }
/** Positions between which the keys lie that a query at this position may see. */
fn firstSeen(i: u32) -> u32 { return 0u; }
fn lastSeen(i: u32) -> u32 { return i; }
/** First rows of the queries and keys of a sequence; one more says where the last one ends. Positions of rows. */
fn startQ(b: u32) -> u32 { return startsQ[b]; }
fn startK(b: u32) -> u32 { return startsK[b]; }
fn positionQ(row: u32) -> u32 { return positionsQ[row]; }
fn positionK(row: u32) -> u32 { return positionsK[row]; }
/** The nearest f16. */
fn halves(x: vec4f) -> vec4<f16> { return vec4<f16>(x); }
/** Told of each query the logarithm of the sum of the exponentials of its scores; 0 where it sees no key. */
fn keep(head: u32, row: u32, lse: f32) {}
// --- end of parameters

const TILE = SUBGROUPS * M;
const LANES = SUBGROUPS * WIDTH;
const LOWEST = -3.4028234e38;
/** Lanes that share a query, side by side in a subgroup; queries of a lane. */
const SHARING = max(WIDTH / M, 1u);
const EACH = M * SHARING / WIDTH;
/** Fours of columns of v, and of keys of a block, that a lane owns of a query. */
const PARTS = (COLUMNS_V / 4u + SHARING - 1u) / SHARING;
const FOURS = (BLOCK / 4u + SHARING - 1u) / SHARING;

const STRIDE = COLUMNS + 8u;
const STRIDE_V = COLUMNS_V + 8u;
const STRIDE_P = BLOCK + 8u;
const STRIDE_SUMS = max(BLOCK, COLUMNS_V) + 4u;
var<workgroup> queries: array<f16, TILE * STRIDE>;
var<workgroup> keys: array<f16, BLOCK * STRIDE>;
var<workgroup> values: array<f16, BLOCK * STRIDE_V>;
var<workgroup> weights: array<f16, TILE * STRIDE_P>;
/** Scores of a block, then what its values add. */
var<workgroup> sums: array<f32, TILE * STRIDE_SUMS>;
/** Positions of the keys of a block. */
var<workgroup> places: array<u32, BLOCK>;

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

fn seesAny(b: u32, i: u32) -> bool {
  let first = keyFrom(startK(b), startK(b + 1u), firstSeen(i));
  return first < startK(b + 1u) && sees(i, positionK(first));
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(subgroup_invocation_id) member: u32,
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
  // The keys that some query of the tile may see, and those that every query sees. No position is the largest number.
  let begin = keyFrom(startK(b), startK(b + 1u), firstSeen(firstPosition));
  let end = keyFrom(begin, startK(b + 1u), lastSeen(lastPosition) + 1u);
  let seenBegin = keyFrom(begin, end, firstSeen(lastPosition));
  let seenEnd = keyFrom(seenBegin, end, lastSeen(firstPosition) + 1u);

  // Of a tile's last query what lies beyond; zeros beyond the last column.
  for (var i = lane; i < TILE * (COLUMNS / 4u); i += LANES) {
    let r = i / (COLUMNS / 4u);
    let c = i % (COLUMNS / 4u);
    let e = entry + min(r, filled - 1u);
    var x = vec4f();
    if (c < quarters()) { x = queryAt(head * groupSize() + e % groupSize(), firstQuery + e / groupSize(), c); }
    let half = halves(x);
    for (var j = 0u; j < 4u; j++) { queries[r * STRIDE + 4u * c + j] = half[j]; }
  }

  // The queries that a lane shares, EACH of them.
  let firstRow = subgroup * M + member / SHARING * EACH;
  let share = member % SHARING;
  var positions: array<u32, EACH>;
  var best: array<f32, EACH>;
  var total: array<f32, EACH>;
  var added: array<array<vec4f, PARTS>, EACH>;
  for (var r = 0u; r < EACH; r++) {
    positions[r] = positionQ(firstQuery + (entry + min(firstRow + r, filled - 1u)) / groupSize());
    best[r] = LOWEST;
    total[r] = 0.0;
    for (var p = 0u; p < PARTS; p++) { added[r][p] = vec4f(); }
  }

  // Blocks lie alike in every tile.
  for (var block = begin - (begin - startK(b)) % BLOCK; block < end; block += BLOCK) {
    for (var i = lane; i < BLOCK * (COLUMNS / 4u); i += LANES) {
      let r = i / (COLUMNS / 4u);
      let c = i % (COLUMNS / 4u);
      var x = vec4f();
      if (block + r < end && c < quarters()) { x = keyAt(head, block + r, c); }
      let half = halves(x);
      for (var j = 0u; j < 4u; j++) { keys[r * STRIDE + 4u * c + j] = half[j]; }
    }
    for (var i = lane; i < BLOCK * (COLUMNS_V / 4u); i += LANES) {
      let r = i / (COLUMNS_V / 4u);
      let c = i % (COLUMNS_V / 4u);
      var x = vec4f();
      if (block + r < end && c < quartersV()) { x = valueAt(head, block + r, c); }
      let half = halves(x);
      for (var j = 0u; j < 4u; j++) { values[r * STRIDE_V + 4u * c + j] = half[j]; }
    }
    for (var i = lane; i < BLOCK; i += LANES) { places[i] = positionK(min(block + i, end - 1u)); }
    workgroupBarrier();

    var scores: array<subgroup_matrix_result<f32, N, M>, BLOCK / N>;
    for (var j = 0u; j < BLOCK / N; j++) { scores[j] = subgroup_matrix_result<f32, N, M>(); }
    for (var c = 0u; c < COLUMNS; c += K) {
      let left = subgroupMatrixLoad<subgroup_matrix_left<f16, K, M>, row_major>(
        &queries, subgroup * M * STRIDE + c, STRIDE);
      for (var j = 0u; j < BLOCK / N; j++) {
        let right = subgroupMatrixLoad<subgroup_matrix_right<f16, N, K>, col_major>(&keys, j * N * STRIDE + c, STRIDE);
        scores[j] = subgroupMatrixMultiplyAccumulate(left, right, scores[j]);
      }
    }
    for (var j = 0u; j < BLOCK / N; j++) {
      subgroupMatrixStore<row_major>(&sums, subgroup * M * STRIDE_SUMS + j * N, scores[j], STRIDE_SUMS);
    }
    workgroupBarrier();

    // Weights relative to the largest score so far.
    let allSeen = block >= seenBegin && block + BLOCK <= seenEnd;
    for (var r = 0u; r < EACH; r++) {
      let at = (firstRow + r) * STRIDE_SUMS;
      var own: array<vec4f, FOURS>;
      var most = LOWEST;
      for (var f = 0u; f < FOURS; f++) {
        let j = 4u * (f * SHARING + share);
        own[f] = vec4f(LOWEST);
        if (j < BLOCK) {
          let x = vec4f(sums[at + j], sums[at + j + 1u], sums[at + j + 2u], sums[at + j + 3u]) * scale();
          let i = positions[r];
          let seen = (vec4u(block + j) + vec4u(0u, 1u, 2u, 3u) < vec4u(end)) & vec4<bool>(sees(i, places[j]),
            sees(i, places[j + 1u]), sees(i, places[j + 2u]), sees(i, places[j + 3u]));
          own[f] = select(vec4f(LOWEST), x, seen | vec4<bool>(allSeen));
        }
        most = max(most, max(max(own[f].x, own[f].y), max(own[f].z, own[f].w)));
      }
      for (var d = 1u; d < SHARING; d *= 2u) { most = max(most, subgroupShuffleXor(most, d)); }
      most = max(best[r], most);
      let shrink = select(exp(best[r] - most), 1.0, best[r] == most);
      best[r] = most;
      var sum = 0.0;
      for (var f = 0u; f < FOURS; f++) {
        let j = 4u * (f * SHARING + share);
        let weight = select(exp(own[f] - most), vec4f(), own[f] == vec4f(LOWEST));
        sum += (weight.x + weight.y) + (weight.z + weight.w);
        let half = halves(weight);
        if (j < BLOCK) {
          for (var c = 0u; c < 4u; c++) { weights[(firstRow + r) * STRIDE_P + j + c] = half[c]; }
        }
      }
      total[r] = fma(total[r], shrink, sum);
      for (var p = 0u; p < PARTS; p++) { added[r][p] *= shrink; }
    }
    workgroupBarrier();

    for (var c = 0u; c < COLUMNS_V; c += N) {
      var sum = subgroup_matrix_result<f32, N, M>();
      for (var j = 0u; j < BLOCK; j += K) {
        let left = subgroupMatrixLoad<subgroup_matrix_left<f16, K, M>, row_major>(
          &weights, subgroup * M * STRIDE_P + j, STRIDE_P);
        let right = subgroupMatrixLoad<subgroup_matrix_right<f16, N, K>, row_major>(
          &values, j * STRIDE_V + c, STRIDE_V);
        sum = subgroupMatrixMultiplyAccumulate(left, right, sum);
      }
      subgroupMatrixStore<row_major>(&sums, subgroup * M * STRIDE_SUMS + c, sum, STRIDE_SUMS);
    }
    workgroupBarrier();
    for (var r = 0u; r < EACH; r++) {
      for (var p = 0u; p < PARTS; p++) {
        let c = 4u * (p * SHARING + share);
        if (c < COLUMNS_V) {
          let at = (firstRow + r) * STRIDE_SUMS + c;
          added[r][p] += vec4f(sums[at], sums[at + 1u], sums[at + 2u], sums[at + 3u]);
        }
      }
    }
  }

  for (var r = 0u; r < EACH; r++) {
    var whole = total[r];
    for (var d = 1u; d < SHARING; d *= 2u) { whole += subgroupShuffleXor(whole, d); }
    let e = entry + firstRow + r;
    if (firstRow + r < filled) {
      // Nothing above the lowest: no key is seen, or the scores of all are −∞, whose quotients are NaN.
      let none = best[r] == LOWEST && !seesAny(b, positions[r]);
      let inverse = select(1.0 / whole, 0.0, none);
      let queryHead = head * groupSize() + e % groupSize();
      let row = firstQuery + e / groupSize();
      if (share == 0u) { keep(queryHead, row, select(best[r] + log(whole), 0.0, none)); }
      for (var p = 0u; p < PARTS; p++) {
        let c = p * SHARING + share;
        if (c < quartersV()) { write(queryHead, row, c, added[r][p] * inverse); }
      }
    }
  }
}
