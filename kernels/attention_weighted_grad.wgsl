// Rows of one side of the gradient of attention with weighted keys. Let p = exp(scale · a[h, i] · x[g, j] − lse) and
// c = p · (b[h, i] · y[g, j] − delta). For queries a, b are q, dy and x, y are k, v:
// dq[h, i] = scale · Σ over j of w[j] · c · k[g, j]. For keys a, b are k, v and x, y are q, dy:
// dk[g, i] = scale · w[i] · Σ over j of c · q[h, j], dv[g, i] = w[i] · Σ over j of p · dy[h, j], and
// dw[g, i] = Σ over j of c, or 0 where w[i] is below 0.
// Method: as attention_grad.wgsl. Of keys the weight is a factor of the whole sums; of queries one of each term.
// Grid: one workgroup for each tile and head of keys; tiles begin anew with each sequence.

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
@group(0) @binding(6) var<storage, read_write> dq: array<vec4f>;
const LANES = 8u;
/** Rows of a tile; `vec4f` of its staged rows, for a and b. */
const TILE = 8u;
const STAGED = 128u;
const STAGED_V = 128u;
/** `vec4f` columns of a and b in a lane. */
const CHUNKS = 2u;
const PARTS = 2u;
/** Whether the own side are the keys: then db and the gradient of weights are wanted. */
const BOTH = 0u;
/** Key heads; entries per row on the own and on the other side: the group size for queries, 1 for keys. */
fn sharedHeads() -> u32 { return sizes.sharedHeads; }
fn ownGroup() -> u32 { return sizes.groupSize; }
fn otherGroup() -> u32 { return 1u; }
fn batch() -> u32 { return sizes.batch; }
/** `vec4f` columns of a and b. */
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
  let at = 2u * batch() + 2u + sizes.queries + 2u * otherStart(batch()) + head * sizes.queries + row;
  return vec2f(bitcast<f32>(rows[at]), bitcast<f32>(rows[at + n]));
}
fn otherStats(head: u32, row: u32) -> vec2f { return vec2f(); }
fn writeA(head: u32, row: u32, c: u32, x: vec4f) { dq[head * sizes.queryHeads + row * sizes.queryRows + c] = x; }
fn writeB(head: u32, row: u32, c: u32, x: vec4f) {}
fn writeWeight(head: u32, row: u32, x: f32) {}
/** The weight of a row where it is a key's, else 1. */
fn ownWeight(row: u32) -> f32 { return 1.0; }
fn otherWeight(row: u32) -> f32 {
  return bitcast<f32>(rows[2u * batch() + 2u + sizes.queries + otherStart(batch()) + row]);
}
/** Whether rows at these positions, the own and another, are a pair. */
fn pairs(i: u32, j: u32) -> bool { return j <= i; }
/** The range of positions that may pair with position i of the own side. */
fn firstOf(i: u32) -> u32 { return 0u; }
fn lastOf(i: u32) -> u32 { return i; }
// --- end of parameters

const BLOCK = 4u * LANES;
/** The columns of a row that a lane owns. */
alias ColumnsA = array<vec4f, CHUNKS>;
alias ColumnsB = array<vec4f, PARTS>;
/** Scaled rows of a, and rows of b: columns 4c … of row r at c · TILE + r. */
var<workgroup> stagedA: array<vec4f, STAGED>;
var<workgroup> stagedB: array<vec4f, STAGED_V>;
/**
 * Of a block, four rows of the other side together: weights, and what they change by; those of lane l for row r at r ·
 * LANES + l.
 */
var<workgroup> weights: array<vec4f, TILE * LANES>;
var<workgroup> changes: array<vec4f, TILE * LANES>;
/** Of each lane and row the sum of what weights change by. */
var<workgroup> parts: array<f32, TILE * LANES>;

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

  for (var i = lane; i < TILE * quarters(); i += LANES) {
    let e = entry + min(i % TILE, filled - 1u);
    stagedA[i] = aAt(ownHead + e % ownGroup(), first + e / ownGroup(), i / TILE) * scale();
  }
  for (var i = lane; i < TILE * quartersV(); i += LANES) {
    let e = entry + min(i % TILE, filled - 1u);
    stagedB[i] = bAt(ownHead + e % ownGroup(), first + e / ownGroup(), i / TILE);
  }
  var ownStat: array<vec2f, TILE>;
  var positions: array<u32, TILE>;
  var addedA: array<ColumnsA, TILE>;
  var addedB: array<ColumnsB, TILE>;
  var tally: array<f32, TILE>;
  for (var r = 0u; r < TILE; r++) {
    let e = entry + min(r, filled - 1u);
    positions[r] = ownPosition(first + e / ownGroup());
    ownStat[r] = ownStats(ownHead + e % ownGroup(), first + e / ownGroup());
    for (var p = 0u; p < CHUNKS; p++) { addedA[r][p] = vec4f(); }
    for (var p = 0u; p < PARTS; p++) { addedB[r][p] = vec4f(); }
    tally[r] = 0.0;
  }

  // Blocks lie alike in every tile.
  for (var block = begin - (begin - firstOther * otherGroup()) % BLOCK; block < end; block += BLOCK) {
    let own = vec4u(block + 4u * lane) + vec4u(0u, 1u, 2u, 3u);
    let at = min(own, vec4u(end - 1u));
    let row = at / otherGroup();
    let head = vec4u(otherHead) + at % otherGroup();
    var scores: array<vec4f, TILE>;
    var products: array<vec4f, TILE>;
    for (var r = 0u; r < TILE; r++) {
      scores[r] = vec4f();
      products[r] = vec4f();
    }
    workgroupBarrier();
    for (var c = 0u; c < quarters(); c++) {
      let others = transpose(mat4x4f(xAt(head.x, row.x, c), xAt(head.y, row.y, c), xAt(head.z, row.z, c),
        xAt(head.w, row.w, c)));
      for (var r = 0u; r < TILE; r++) {
        let a = stagedA[c * TILE + r];
        scores[r] = fma(vec4f(a.x), others[0], fma(vec4f(a.y), others[1],
          fma(vec4f(a.z), others[2], fma(vec4f(a.w), others[3], scores[r]))));
      }
    }
    for (var c = 0u; c < quartersV(); c++) {
      let others = transpose(mat4x4f(yAt(head.x, row.x, c), yAt(head.y, row.y, c), yAt(head.z, row.z, c),
        yAt(head.w, row.w, c)));
      for (var r = 0u; r < TILE; r++) {
        let b = stagedB[c * TILE + r];
        products[r] = fma(vec4f(b.x), others[0], fma(vec4f(b.y), others[1],
          fma(vec4f(b.z), others[2], fma(vec4f(b.w), others[3], products[r]))));
      }
    }
    let stats0 = otherStats(head.x, row.x);
    let stats1 = otherStats(head.y, row.y);
    let stats2 = otherStats(head.z, row.z);
    let stats3 = otherStats(head.w, row.w);
    let lse = vec4f(stats0.x, stats1.x, stats2.x, stats3.x);
    let delta = vec4f(stats0.y, stats1.y, stats2.y, stats3.y);
    let keyWeights = vec4f(otherWeight(row.x), otherWeight(row.y), otherWeight(row.z), otherWeight(row.w));
    let place = vec4u(otherPosition(row.x), otherPosition(row.y), otherPosition(row.z), otherPosition(row.w));
    for (var r = 0u; r < TILE; r++) {
      let i = positions[r];
      let seen = (own < vec4u(end)) & vec4<bool>(pairs(i, place.x), pairs(i, place.y), pairs(i, place.z),
        pairs(i, place.w));
      let weight = select(vec4f(), exp(scores[r] - (lse + ownStat[r].x)), seen);
      let change = select(vec4f(), keyWeights * weight * (products[r] - (delta + ownStat[r].y)),
        seen & (keyWeights > vec4f()));
      weights[r * LANES + lane] = weight;
      changes[r * LANES + lane] = change;
      tally[r] += (change.x + change.y) + (change.z + change.w);
    }
    workgroupBarrier();

    // The columns a lane owns; beyond the last entry weights are zeros.
    let count = (min(block + BLOCK, end) - block + 3u) / 4u;
    for (var j = 0u; j < count; j++) {
      let e = min(vec4u(block + 4u * j) + vec4u(0u, 1u, 2u, 3u), vec4u(end - 1u));
      let heads = vec4u(otherHead) + e % otherGroup();
      let rows = e / otherGroup();
      for (var p = 0u; p < CHUNKS; p++) {
        let c = min(p * LANES + lane, quarters() - 1u);
        let x = mat4x4f(xAt(heads.x, rows.x, c), xAt(heads.y, rows.y, c), xAt(heads.z, rows.z, c),
          xAt(heads.w, rows.w, c));
        for (var r = 0u; r < TILE; r++) { addedA[r][p] += x * changes[r * LANES + j]; }
      }
      if (BOTH > 0u) {
        for (var p = 0u; p < PARTS; p++) {
          let c = min(p * LANES + lane, quartersV() - 1u);
          let y = mat4x4f(yAt(heads.x, rows.x, c), yAt(heads.y, rows.y, c), yAt(heads.z, rows.z, c),
            yAt(heads.w, rows.w, c));
          for (var r = 0u; r < TILE; r++) { addedB[r][p] += y * weights[r * LANES + j]; }
        }
      }
    }
  }

  for (var r = 0u; r < TILE; r++) { parts[r * LANES + lane] = tally[r]; }
  workgroupBarrier();
  if (BOTH > 0u) {
    for (var r = lane; r < filled; r += LANES) {
      let row = first + (entry + r) / ownGroup();
      var total = 0.0;
      for (var l = 0u; l < LANES; l++) { total += parts[r * LANES + l]; }
      writeWeight(ownHead + (entry + r) % ownGroup(), row, select(0.0, total, ownWeight(row) >= 0.0));
    }
  }
  for (var r = 0u; r < TILE; r++) {
    if (r < filled) {
      let head = ownHead + (entry + r) % ownGroup();
      let row = first + (entry + r) / ownGroup();
      // Nothing of a key that weighs nothing, be its sums infinite.
      let own = ownWeight(row);
      let counts = own > 0.0;
      for (var p = 0u; p < CHUNKS; p++) {
        let c = p * LANES + lane;
        if (c < quarters()) { writeA(head, row, c, select(vec4f(), addedA[r][p] * (scale() * own), counts)); }
      }
      if (BOTH > 0u) {
        for (var p = 0u; p < PARTS; p++) {
          let c = p * LANES + lane;
          if (c < quartersV()) { writeB(head, row, c, select(vec4f(), addedB[r][p] * own, counts)); }
        }
      }
    }
  }
}
