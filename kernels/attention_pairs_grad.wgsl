// Gradient of attention that reads pairs of tokens on one side, the queries or the keys: the own side. Let s = scale ·
// a[h, i] · x[g, j], p = exp(f(s) − lse) and c = p · (b[h, i] · y[g, j] − delta), where f caps and adds a bias and the
// mask shows the pair. lse is the log of the query's sum of weighted exponentials; delta is the query's result · dy,
// less the cotangent of lse. If the own side is the queries, a, b are q, dy and x, y are k, v: dq[h, i] = scale · Σ
// over j of w[j] · c · f'(s) · k[g, j]. If the own side is the keys, a, b are k, v and x, y are q, dy: dk[g, i] =
// scale · w[i] · Σ over j of c · f'(s) · q[h, j], dv[g, i] = w[i] · Σ over j of p · dy[h, j], and dw[g, i] = Σ over j
// of c, or 0 if w[i] is below 0. For each operand of the bias on the own side: Σ over j of w · c · d bias / d operand.
// Method: as attention_weighted_grad.wgsl. Blocks of which no pair can be seen are not visited.
// Grid: one workgroup for each tile and key head; each sequence starts a new tile.

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
@group(0) @binding(7) var<storage, read_write> ofOperands: array<f32>;
/** Lanes of a workgroup. */
const LANES = 8u;
/** Rows of a tile. */
const TILE = 8u;
/** `vec4f` of the tile's rows of a in workgroup memory. */
const STAGED = 128u;
/** `vec4f` of the tile's rows of b in workgroup memory. */
const STAGED_V = 128u;
/** `vec4f` columns of da that a lane adds up. */
const CHUNKS = 2u;
/** `vec4f` columns of db that a lane adds up. */
const PARTS = 2u;
/** 1 if the own side is the keys: then db and dw are computed. Else 0. */
const BOTH = 0u;
/** Key heads. */
fn sharedHeads() -> u32 { return sizes.sharedHeads; }
/** Entries per row of the own side: query heads per key head if the own side is the queries, else 1. */
fn ownGroup() -> u32 { return sizes.groupSize; }
/** Entries per row of the other side. */
fn otherGroup() -> u32 { return 1u; }
/** Sequences. */
fn batch() -> u32 { return sizes.batch; }
/** `vec4f` columns of a and x. */
fn quarters() -> u32 { return sizes.quarters; }
/** `vec4f` columns of b and y. */
fn quartersV() -> u32 { return sizes.quartersV; }
fn scale() -> f32 { return sizes.scale; }
/** The first row of sequence b on the own side. `ownStart(batch())` is the number of rows. */
fn ownStart(b: u32) -> u32 { return rows[b]; }
/** The first row of sequence b on the other side. `otherStart(batch())` is the number of rows. */
fn otherStart(b: u32) -> u32 { return rows[batch() + 1u + b]; }
/** A row's position on the own side. */
fn ownPosition(row: u32) -> u32 { return rows[2u * batch() + 2u + row]; }
/** A row's position on the other side. */
fn otherPosition(row: u32) -> u32 { return rows[2u * batch() + 2u + sizes.queries + row]; }
/** Columns 4c to 4c + 3 of a row of a. */
fn aAt(head: u32, row: u32, c: u32) -> vec4f { return q[head * sizes.queryHeads + row * sizes.queryRows + c]; }
/** Columns 4c to 4c + 3 of a row of b. */
fn bAt(head: u32, row: u32, c: u32) -> vec4f { return dy[head * sizes.resultHeads + row * sizes.resultRows + c]; }
/** Columns 4c to 4c + 3 of a row of x. */
fn xAt(head: u32, row: u32, c: u32) -> vec4f { return k[head * sizes.keyHeads + row * sizes.keyRows + c]; }
/** Columns 4c to 4c + 3 of a row of y. */
fn yAt(head: u32, row: u32, c: u32) -> vec4f { return v[head * sizes.valueHeads + row * sizes.valueRows + c]; }
/** lse and delta of a row of the own side if it is a query, else zeros. */
fn ownStats(head: u32, row: u32) -> vec2f {
  let n = sizes.sharedHeads * sizes.groupSize * sizes.queries;
  let at = 2u * batch() + 2u + sizes.queries + otherStart(batch()) + head * sizes.queries + row;
  return vec2f(bitcast<f32>(rows[at]), bitcast<f32>(rows[at + n]));
}
/** lse and delta of a row of the other side if it is a query, else zeros. */
fn otherStats(head: u32, row: u32) -> vec2f { return vec2f(); }
/** Stores columns 4c to 4c + 3 of a row of da. */
fn writeA(head: u32, row: u32, c: u32, x: vec4f) { dq[head * sizes.queryHeads + row * sizes.queryRows + c] = x; }
/** Stores columns 4c to 4c + 3 of a row of db. */
fn writeB(head: u32, row: u32, c: u32, x: vec4f) {}
/** Stores dw of a key for one head. */
fn writeWeight(head: u32, row: u32, x: f32) {}
/** The weight of a row of the own side if it is a key, else 1. */
fn ownWeight(row: u32) -> f32 { return 1.0; }
/** The weight of a row of the other side if it is a key, else 1. */
fn otherWeight(row: u32) -> f32 { return 1.0; }
/** Operands on the own side with a gradient. */
const SLOPES = 1u;
/** d bias / d operand, for each operand on the own side. */
alias Slopes = array<f32, 1>;
/** The first row of sequence b in k. */
fn keyStart(b: u32) -> u32 { return otherStart(b); }
/** The score of a pair of tokens, d score / d (scaled product), and whether the mask shows the pair. */
struct PairValue { score: f32, slope: f32, seen: bool }
/** The value of a row of the own side and one of the other side, at positions i and j, from their scaled product. */
fn pairing(
  ownHead: u32, own: u32, otherHead: u32, other: u32, firstKey: u32, i: u32, j: u32, score: f32,
) -> PairValue {
  return PairValue(score + f32(j) * 0.01 * f32(own), 1.0, true);
}
/** d bias / d operand of the pair. */
fn slopesAt(ownHead: u32, own: u32, otherHead: u32, other: u32, firstKey: u32, i: u32, j: u32) -> Slopes {
  return Slopes(f32(j) * 0.01);
}
/** Stores the gradient of operand o at a row of the own side. */
fn writeOperand(o: u32, head: u32, row: u32, x: f32) {
  ofOperands[(o * sizes.sharedHeads * sizes.groupSize + head) * sizes.queries + row] = x;
}
/** Whether the mask may show a pair of rows in these two ranges. */
fn mayMeet(firstOwn: u32, lastOwn: u32, firstOther: u32, lastOther: u32) -> bool { return true; }
/**
 * Whether two rows, at position i on the own side and j on the other side, are a pair: a query and a key that it sees.
 */
fn pairs(i: u32, j: u32) -> bool { return j <= i; }
/** The first position that may pair with position i on the own side. */
fn firstOf(i: u32) -> u32 { return 0u; }
/** The last position that may pair with position i on the own side. */
fn lastOf(i: u32) -> u32 { return i; }
// --- end of parameters

/** Entries of the other side in a block: four for each lane. */
const BLOCK = 4u * LANES;
/** The columns of a row of da that a lane adds up. */
alias ColumnsA = array<vec4f, CHUNKS>;
/** The columns of a row of db that a lane adds up. */
alias ColumnsB = array<vec4f, PARTS>;
// Workgroup memory:
//   stagedA[c · TILE + r]    columns 4c to 4c + 3 of row r of a, scaled.
//   stagedB[c · TILE + r]    columns 4c to 4c + 3 of row r of b.
//   weights[r · LANES + l]   row r and the four entries of lane l in this block: scaled products, then p.
//   changes[r · LANES + l]   b · y, then c · f'(s) of these four entries, times w if the entries are keys.
//   tallies[r · LANES + l]   lane l's sum of c for row r.
//   tallies[((o + 1) · TILE + r) · LANES + l]   lane l's sum for row r and operand o.
var<workgroup> stagedA: array<vec4f, STAGED>;
var<workgroup> stagedB: array<vec4f, STAGED_V>;
var<workgroup> weights: array<vec4f, TILE * LANES>;
var<workgroup> changes: array<vec4f, TILE * LANES>;
var<workgroup> tallies: array<f32, (SLOPES + 1u) * TILE * LANES>;

/** An upper bound on the tiles of the sequences before b. It grows with b, so binary search finds a tile's sequence. */
fn tilesBefore(b: u32) -> u32 { return ownStart(b) * ownGroup() / TILE + b; }

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

/** The first row of the other side in [begin, end) at or past `position`; `end` if there is none. */
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
  // The entries of the other side that may pair with some row of the tile. Positions are below 2^32 − 1, so `+ 1u` does
  // not overflow.
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
  var addedA: array<ColumnsA, TILE>;
  var addedB: array<ColumnsB, TILE>;
  for (var r = 0u; r < TILE; r++) {
    for (var p = 0u; p < CHUNKS; p++) { addedA[r][p] = vec4f(); }
    for (var p = 0u; p < PARTS; p++) { addedB[r][p] = vec4f(); }
  }
  for (var r = 0u; r < (SLOPES + 1u) * TILE; r++) { tallies[r * LANES + lane] = 0.0; }
  let firstKey = keyStart(b);
  let firstOwnRow = first + entry / ownGroup();
  let lastOwnRow = first + (entry + filled - 1u) / ownGroup();

  // Blocks start at multiples of BLOCK from the sequence's first entry in every tile, so a row has the same bits in
  // each.
  for (var block = begin - (begin - firstOther * otherGroup()) % BLOCK; block < end; block += BLOCK) {
    let blockEnd = min(block + BLOCK, end);
    if (!mayMeet(firstOwnRow, lastOwnRow, block / otherGroup(), (blockEnd - 1u) / otherGroup())) { continue; }
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
    // The bound of this loop is no constant, so compilers do not unroll it.
    for (var r = 0u; r < TILE; r++) {
      weights[r * LANES + lane] = scores[r];
      changes[r * LANES + lane] = products[r];
    }
    for (var r = 0u; r < filled; r++) {
      let h = ownHead + (entry + r) % ownGroup();
      let ownRow = first + (entry + r) / ownGroup();
      let i = ownPosition(ownRow);
      let stat = ownStats(h, ownRow);
      let raw = weights[r * LANES + lane];
      let v0 = pairing(h, ownRow, head.x, row.x, firstKey, i, place.x, raw.x);
      let v1 = pairing(h, ownRow, head.y, row.y, firstKey, i, place.y, raw.y);
      let v2 = pairing(h, ownRow, head.z, row.z, firstKey, i, place.z, raw.z);
      let v3 = pairing(h, ownRow, head.w, row.w, firstKey, i, place.w, raw.w);
      let seen = (own < vec4u(end)) & vec4<bool>(pairs(i, place.x), pairs(i, place.y), pairs(i, place.z),
        pairs(i, place.w)) & vec4<bool>(v0.seen, v1.seen, v2.seen, v3.seen);
      let weight = select(vec4f(), exp(vec4f(v0.score, v1.score, v2.score, v3.score) - (lse + stat.x)), seen);
      let change = select(vec4f(), keyWeights * weight * (changes[r * LANES + lane] - (delta + stat.y)),
        seen & (keyWeights > vec4f()));
      weights[r * LANES + lane] = weight;
      changes[r * LANES + lane] = change * vec4f(v0.slope, v1.slope, v2.slope, v3.slope);
      tallies[r * LANES + lane] += (change.x + change.y) + (change.z + change.w);
      // A pair that is not seen may have slopes that are no numbers.
      if (SLOPES > 0u) {
        var s0 = slopesAt(h, ownRow, head.x, row.x, firstKey, i, place.x);
        var s1 = slopesAt(h, ownRow, head.y, row.y, firstKey, i, place.y);
        var s2 = slopesAt(h, ownRow, head.z, row.z, firstKey, i, place.z);
        var s3 = slopesAt(h, ownRow, head.w, row.w, firstKey, i, place.w);
        for (var o = 0u; o < SLOPES; o++) {
          let each = select(vec4f(), vec4f(s0[o], s1[o], s2[o], s3[o]) * change, seen);
          tallies[((o + 1u) * TILE + r) * LANES + lane] += (each.x + each.y) + (each.z + each.w);
        }
      }
    }
    workgroupBarrier();

    // Adds the columns that the lane owns. Past the last entry, weights are 0.
    let count = (blockEnd - block + 3u) / 4u;
    for (var j = 0u; j < count; j++) {
      let e = min(vec4u(block + 4u * j) + vec4u(0u, 1u, 2u, 3u), vec4u(end - 1u));
      let heads = vec4u(otherHead) + e % otherGroup();
      let otherRows = e / otherGroup();
      for (var p = 0u; p < CHUNKS; p++) {
        let c = min(p * LANES + lane, quarters() - 1u);
        let x = mat4x4f(xAt(heads.x, otherRows.x, c), xAt(heads.y, otherRows.y, c), xAt(heads.z, otherRows.z, c),
          xAt(heads.w, otherRows.w, c));
        for (var r = 0u; r < TILE; r++) { addedA[r][p] += x * changes[r * LANES + j]; }
      }
      if (BOTH > 0u) {
        for (var p = 0u; p < PARTS; p++) {
          let c = min(p * LANES + lane, quartersV() - 1u);
          let y = mat4x4f(yAt(heads.x, otherRows.x, c), yAt(heads.y, otherRows.y, c), yAt(heads.z, otherRows.z, c),
            yAt(heads.w, otherRows.w, c));
          for (var r = 0u; r < TILE; r++) { addedB[r][p] += y * weights[r * LANES + j]; }
        }
      }
    }
  }

  workgroupBarrier();
  for (var n = lane; n < (SLOPES + 1u) * TILE; n += LANES) {
    let r = n % TILE;
    if (r < filled && (BOTH > 0u || n >= TILE)) {
      let head = ownHead + (entry + r) % ownGroup();
      let row = first + (entry + r) / ownGroup();
      var total = 0.0;
      for (var l = 0u; l < LANES; l++) { total += tallies[n * LANES + l]; }
      // If the weight is not above 0, a key adds nothing; the weight itself has a gradient at 0.
      let own = ownWeight(row);
      if (n < TILE) {
        writeWeight(head, row, select(0.0, total, own >= 0.0));
      } else {
        writeOperand(n / TILE - 1u, head, row, select(0.0, total * own, own > 0.0));
      }
    }
  }
  for (var r = 0u; r < TILE; r++) {
    if (r < filled) {
      let head = ownHead + (entry + r) % ownGroup();
      let row = first + (entry + r) / ownGroup();
      // If the weight is not above 0, the gradient is 0, even if the sums are infinite.
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
