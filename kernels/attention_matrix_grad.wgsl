// Rows of one side of attention's gradient: da[h, i] = scale · Σ over j of p(i, j) · (b[h, i] · y[g, j] − delta) · x[g,
// j], and db[h, i] = Σ over j of p(i, j) · y[g, j], with p = exp(scale · a[h, i] · x[g, j] − lse). For queries a, b are
// q, dy and x, y are k, v: da is dq. For keys a, b are k, v and x, y are q, dy: da is dk, and db is dv. Products of f16
// by f16 with sums in f32, on matrix units.
// Method: as attention_grad.wgsl, but each subgroup owns M rows of the tile: their scores, and products of b and y, go
// through workgroup memory, in which lanes make weights and changes of them; what these add stays in registers to the
// end, for here nothing is scaled. Operands, weights and changes are rounded to f16, scores and all sums are f32. Rows
// in workgroup memory are padded by 8 halves, so that rows of a matrix lie in different banks.
// Grid: one workgroup for each tile and head of keys; tiles begin anew with each sequence.
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;

// --- parameters
struct Sizes {
  sharedHeads: u32, groupSize: u32, batch: u32, quarters: u32, quartersV: u32, scale: f32, queries: u32,
  queryHeads: u32, queryRows: u32, keyHeads: u32, keyRows: u32, valueHeads: u32, valueRows: u32, resultHeads: u32,
    resultRows: u32,
}
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> k: array<vec4f>;
@group(0) @binding(3) var<storage, read> v: array<vec4f>;
@group(0) @binding(4) var<storage, read> dy: array<vec4f>;
@group(0) @binding(5) var<storage, read> rows: array<u32>;
@group(0) @binding(6) var<storage, read> stats: array<f32>;
@group(0) @binding(7) var<storage, read_write> dq: array<vec4f>;
/** Invocations of a subgroup. */
const WIDTH = 8u;
const M = 8u;
const N = 8u;
const K = 8u;
/** Subgroups of a workgroup. */
const SUBGROUPS = 2u;
/** Rows of the other side in a block: whole matrices, across and down. */
const BLOCK = 16u;
/** Columns of a, and of b, filled up to whole matrices. */
const COLUMNS = 64u;
const COLUMNS_V = 64u;
/** Whether db is wanted. */
const BOTH = 0u;
/**
 * Heads of keys; rows of a head of keys that each row of the own side and of the other side stands for: one, or one for
 * each head that shares it.
 */
fn sharedHeads() -> u32 { return sizes.sharedHeads; }
fn ownGroup() -> u32 { return sizes.groupSize; }
fn otherGroup() -> u32 { return 1u; }
fn batch() -> u32 { return sizes.batch; }
/** Fours of columns of a, and of b. */
fn quarters() -> u32 { return sizes.quarters; }
fn quartersV() -> u32 { return sizes.quartersV; }
fn scale() -> f32 { return sizes.scale; }
fn ownStart(b: u32) -> u32 { return rows[b]; }
fn otherStart(b: u32) -> u32 { return rows[batch() + 1u + b]; }
fn ownPosition(row: u32) -> u32 { return rows[2u * batch() + 2u + row]; }
fn otherPosition(row: u32) -> u32 { return rows[2u * batch() + 2u + sizes.queries + row]; }
/** Four columns of a row of a head. */
fn aAt(head: u32, row: u32, c: u32) -> vec4f { return q[head * sizes.queryHeads + row * sizes.queryRows + c]; }
fn bAt(head: u32, row: u32, c: u32) -> vec4f { return dy[head * sizes.resultHeads + row * sizes.resultRows + c]; }
fn xAt(head: u32, row: u32, c: u32) -> vec4f { return k[head * sizes.keyHeads + row * sizes.keyRows + c]; }
fn yAt(head: u32, row: u32, c: u32) -> vec4f { return v[head * sizes.valueHeads + row * sizes.valueRows + c]; }
/** lse and delta of a row where it is a query's, else zeros. */
fn ownStats(head: u32, row: u32) -> vec2f {
  let n = sizes.sharedHeads * sizes.groupSize * sizes.queries;
  return vec2f(stats[head * sizes.queries + row], stats[n + head * sizes.queries + row]);
}
fn otherStats(head: u32, row: u32) -> vec2f { return vec2f(); }
fn writeA(head: u32, row: u32, c: u32, x: vec4f) { dq[head * sizes.queryHeads + row * sizes.queryRows + c] = x; }
fn writeB(head: u32, row: u32, c: u32, x: vec4f) {}
/** The nearest f16. */
fn halves(x: vec4f) -> vec4<f16> { return vec4<f16>(x); }
/** Whether rows at these positions, the own and another, are a pair. */
fn pairs(i: u32, j: u32) -> bool { return j <= i; }
/** Positions between which those lie that may be a pair with an own one at i. */
fn firstOf(i: u32) -> u32 { return 0u; }
fn lastOf(i: u32) -> u32 { return i; }
// --- end of parameters

const TILE = SUBGROUPS * M;
const LANES = SUBGROUPS * WIDTH;
const STRIDE = COLUMNS + 8u;
const STRIDE_V = COLUMNS_V + 8u;
const STRIDE_P = BLOCK + 8u;
const STRIDE_SUMS = BLOCK + 4u;
/** Matrices of db in registers: one where it is not wanted. */
const MATRICES_B = max(BOTH * (COLUMNS_V / N), 1u);
var<workgroup> ownA: array<f16, TILE * STRIDE>;
var<workgroup> ownB: array<f16, TILE * STRIDE_V>;
var<workgroup> otherX: array<f16, BLOCK * STRIDE>;
var<workgroup> otherY: array<f16, BLOCK * STRIDE_V>;
/** lse and delta of the rows of the tile and of those of a block, of which one side has none; positions of both. */
var<workgroup> kept: array<vec2f, TILE + BLOCK>;
var<workgroup> places: array<u32, TILE + BLOCK>;
/** Scores of a block, and products of b and y; at the end what is stored. */
var<workgroup> scores: array<f32, TILE * STRIDE_SUMS>;
var<workgroup> products: array<f32, TILE * STRIDE_SUMS>;
/** What pairs weigh, and what their scores change by. */
var<workgroup> weights: array<f16, TILE * STRIDE_P>;
var<workgroup> changes: array<f16, TILE * STRIDE_P>;

/** Tiles of the sequences before b, or a few more: by this a tile finds its sequence. */
fn tilesBefore(b: u32) -> u32 { return ownStart(b) * ownGroup() / TILE + b; }

fn sequenceOf(tile: u32) -> u32 {
  var low = 0u;
  var high = batch();
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (tilesBefore(middle) <= tile) { low = middle; } else { high = middle; }
  }
  return low;
}

/** The first row of the other side from `begin` to `end` whose position is at least this; else `end`. */
fn otherFrom(begin: u32, end: u32, position: u32) -> u32 {
  var low = begin;
  var high = end;
  while (low < high) {
    let middle = (low + high) / 2u;
    if (otherPosition(middle) < position) { low = middle + 1u; } else { high = middle; }
  }
  return low;
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_id) subgroup: u32,
) {
  let n = group.x + group.y * groups.x;
  let tiles = groups.x * groups.y / sharedHeads();
  let tile = n % tiles;
  let b = sequenceOf(tile);
  let first = ownStart(b);
  let entries = (ownStart(b + 1u) - first) * ownGroup();
  let entry = (tile - tilesBefore(b)) * TILE;
  if (n / tiles >= sharedHeads() || entry >= entries) { return; }
  let ownHead = n / tiles * ownGroup();
  let otherHead = n / tiles * otherGroup();
  let filled = min(TILE, entries - entry);
  let firstPosition = ownPosition(first + entry / ownGroup());
  let lastPosition = ownPosition(first + (entry + filled - 1u) / ownGroup());
  // Entries of the other side that are a pair with some row of the tile. No position is the largest number.
  let firstOther = otherStart(b);
  let lastOther = otherStart(b + 1u);
  let firstRow = otherFrom(firstOther, lastOther, firstOf(firstPosition));
  let lastRow = otherFrom(firstRow, lastOther, lastOf(lastPosition) + 1u);
  let begin = firstRow * otherGroup();
  let end = lastRow * otherGroup();

  // Rows beyond the last are as it; zeros beyond the last column.
  for (var i = lane; i < TILE * (COLUMNS / 4u); i += LANES) {
    let e = entry + min(i / (COLUMNS / 4u), filled - 1u);
    let c = i % (COLUMNS / 4u);
    var x = vec4f();
    if (c < quarters()) { x = aAt(ownHead + e % ownGroup(), first + e / ownGroup(), c); }
    let half = halves(x);
    for (var j = 0u; j < 4u; j++) { ownA[i / (COLUMNS / 4u) * STRIDE + 4u * c + j] = half[j]; }
  }
  for (var i = lane; i < TILE * (COLUMNS_V / 4u); i += LANES) {
    let e = entry + min(i / (COLUMNS_V / 4u), filled - 1u);
    let c = i % (COLUMNS_V / 4u);
    var x = vec4f();
    if (c < quartersV()) { x = bAt(ownHead + e % ownGroup(), first + e / ownGroup(), c); }
    let half = halves(x);
    for (var j = 0u; j < 4u; j++) { ownB[i / (COLUMNS_V / 4u) * STRIDE_V + 4u * c + j] = half[j]; }
  }
  for (var i = lane; i < TILE; i += LANES) {
    let e = entry + min(i, filled - 1u);
    kept[i] = ownStats(ownHead + e % ownGroup(), first + e / ownGroup());
    places[i] = ownPosition(first + e / ownGroup());
  }
  var addedA: array<subgroup_matrix_result<f32, N, M>, COLUMNS / N>;
  var addedB: array<subgroup_matrix_result<f32, N, M>, MATRICES_B>;

  // Blocks lie alike in every tile.
  for (var block = begin - (begin - firstOther * otherGroup()) % BLOCK; block < end; block += BLOCK) {
    for (var i = lane; i < BLOCK * (COLUMNS / 4u); i += LANES) {
      let e = block + i / (COLUMNS / 4u);
      let c = i % (COLUMNS / 4u);
      var x = vec4f();
      if (e < end && c < quarters()) { x = xAt(otherHead + e % otherGroup(), e / otherGroup(), c); }
      let half = halves(x);
      for (var j = 0u; j < 4u; j++) { otherX[i / (COLUMNS / 4u) * STRIDE + 4u * c + j] = half[j]; }
    }
    for (var i = lane; i < BLOCK * (COLUMNS_V / 4u); i += LANES) {
      let e = block + i / (COLUMNS_V / 4u);
      let c = i % (COLUMNS_V / 4u);
      var x = vec4f();
      if (e < end && c < quartersV()) { x = yAt(otherHead + e % otherGroup(), e / otherGroup(), c); }
      let half = halves(x);
      for (var j = 0u; j < 4u; j++) { otherY[i / (COLUMNS_V / 4u) * STRIDE_V + 4u * c + j] = half[j]; }
    }
    for (var i = lane; i < BLOCK; i += LANES) {
      let e = min(block + i, end - 1u);
      kept[TILE + i] = otherStats(otherHead + e % otherGroup(), e / otherGroup());
      places[TILE + i] = otherPosition(e / otherGroup());
    }
    workgroupBarrier();

    for (var j = 0u; j < BLOCK; j += N) {
      var score = subgroup_matrix_result<f32, N, M>();
      for (var c = 0u; c < COLUMNS; c += K) {
        let left = subgroupMatrixLoad<subgroup_matrix_left<f16, K, M>, row_major>(
          &ownA, subgroup * M * STRIDE + c, STRIDE);
        let right = subgroupMatrixLoad<subgroup_matrix_right<f16, N, K>, col_major>(&otherX, j * STRIDE + c, STRIDE);
        score = subgroupMatrixMultiplyAccumulate(left, right, score);
      }
      subgroupMatrixStore<row_major>(&scores, subgroup * M * STRIDE_SUMS + j, score, STRIDE_SUMS);
      var product = subgroup_matrix_result<f32, N, M>();
      for (var c = 0u; c < COLUMNS_V; c += K) {
        let left = subgroupMatrixLoad<subgroup_matrix_left<f16, K, M>, row_major>(
          &ownB, subgroup * M * STRIDE_V + c, STRIDE_V);
        let right = subgroupMatrixLoad<subgroup_matrix_right<f16, N, K>, col_major>(
          &otherY, j * STRIDE_V + c, STRIDE_V);
        product = subgroupMatrixMultiplyAccumulate(left, right, product);
      }
      subgroupMatrixStore<row_major>(&products, subgroup * M * STRIDE_SUMS + j, product, STRIDE_SUMS);
    }
    workgroupBarrier();

    // Four rows of the other side at a time; what is beyond the last, or no pair, weighs nothing.
    for (var i = lane; i < TILE * (BLOCK / 4u); i += LANES) {
      let r = i / (BLOCK / 4u);
      let j = i % (BLOCK / 4u) * 4u;
      var weight = vec4f();
      var change = vec4f();
      for (var c = 0u; c < 4u; c++) {
        let at = r * STRIDE_SUMS + j + c;
        let stat = kept[r] + kept[TILE + j + c];
        let seen = block + j + c < end && pairs(places[r], places[TILE + j + c]);
        weight[c] = select(0.0, exp(scores[at] * scale() - stat.x), seen);
        change[c] = select(0.0, weight[c] * (products[at] - stat.y), seen);
      }
      let w = halves(weight);
      let d = halves(change);
      for (var c = 0u; c < 4u; c++) {
        weights[r * STRIDE_P + j + c] = w[c];
        changes[r * STRIDE_P + j + c] = d[c];
      }
    }
    workgroupBarrier();

    for (var j = 0u; j < BLOCK; j += K) {
      let change = subgroupMatrixLoad<subgroup_matrix_left<f16, K, M>, row_major>(
        &changes, subgroup * M * STRIDE_P + j, STRIDE_P);
      for (var c = 0u; c < COLUMNS / N; c++) {
        let right = subgroupMatrixLoad<subgroup_matrix_right<f16, N, K>, row_major>(
          &otherX, j * STRIDE + c * N, STRIDE);
        addedA[c] = subgroupMatrixMultiplyAccumulate(change, right, addedA[c]);
      }
      if (BOTH > 0u) {
        let weight = subgroupMatrixLoad<subgroup_matrix_left<f16, K, M>, row_major>(
          &weights, subgroup * M * STRIDE_P + j, STRIDE_P);
        for (var c = 0u; c < MATRICES_B; c++) {
          let right = subgroupMatrixLoad<subgroup_matrix_right<f16, N, K>, row_major>(
            &otherY, j * STRIDE_V + c * N, STRIDE_V);
          addedB[c] = subgroupMatrixMultiplyAccumulate(weight, right, addedB[c]);
        }
      }
    }
    workgroupBarrier();
  }

  for (var p = 0u; p < COLUMNS / N; p++) {
    subgroupMatrixStore<row_major>(&scores, subgroup * M * STRIDE_SUMS, addedA[p], STRIDE_SUMS);
    workgroupBarrier();
    for (var i = lane; i < filled * (N / 4u); i += LANES) {
      let e = entry + i / (N / 4u);
      let c = i % (N / 4u);
      let at = i / (N / 4u) * STRIDE_SUMS + 4u * c;
      if (p * (N / 4u) + c < quarters()) {
        writeA(ownHead + e % ownGroup(), first + e / ownGroup(), p * (N / 4u) + c,
          vec4f(scores[at], scores[at + 1u], scores[at + 2u], scores[at + 3u]) * scale());
      }
    }
    workgroupBarrier();
  }
  if (BOTH > 0u) {
    for (var p = 0u; p < MATRICES_B; p++) {
      subgroupMatrixStore<row_major>(&scores, subgroup * M * STRIDE_SUMS, addedB[p], STRIDE_SUMS);
      workgroupBarrier();
      for (var i = lane; i < filled * (N / 4u); i += LANES) {
        let e = entry + i / (N / 4u);
        let c = i % (N / 4u);
        let at = i / (N / 4u) * STRIDE_SUMS + 4u * c;
        if (p * (N / 4u) + c < quartersV()) {
          writeB(ownHead + e % ownGroup(), first + e / ownGroup(), p * (N / 4u) + c,
            vec4f(scores[at], scores[at + 1u], scores[at + 2u], scores[at + 3u]));
        }
      }
      workgroupBarrier();
    }
  }
}
