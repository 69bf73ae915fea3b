// Attention's gradient on one side, the queries or the keys: the own side. With p(i, j) = exp(scale · a[h, i] · x[g, j]
// − lse): da[h, i] = scale · Σ over j of p(i, j) · (b[h, i] · y[g, j] − delta) · x[g, j], and db[h, i] = Σ over j of
// p(i, j) · y[g, j]. lse is the log-sum-exp of the query's scores; delta is the query's result · dy. If the own side is
// the queries, a, b are q, dy and x, y are k, v: da is dq. If the own side is the keys, a, b are k, v and x, y are q,
// dy: da is dk, and db is dv.
// Method: as attention.wgsl. A workgroup takes a tile of rows through the rows on the other side that pair with some
// row of the tile, in blocks. To score, a lane owns four other rows; to add, it owns columns. Weights and gradients of
// scores pass between the two roles through workgroup memory. Weights come from the stored log-sum-exp (Dao et al.
// 2022, arXiv 2205.14135).
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
@group(0) @binding(6) var<storage, read> stats: array<f32>;
@group(0) @binding(7) var<storage, read_write> dq: array<vec4f>;
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
/** 1 if db is computed, else 0. */
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
  return vec2f(stats[head * sizes.queries + row], stats[n + head * sizes.queries + row]);
}
/** lse and delta of a row of the other side if it is a query, else zeros. */
fn otherStats(head: u32, row: u32) -> vec2f { return vec2f(); }
/** Stores columns 4c to 4c + 3 of a row of da. */
fn writeA(head: u32, row: u32, c: u32, x: vec4f) { dq[head * sizes.queryHeads + row * sizes.queryRows + c] = x; }
/** Stores columns 4c to 4c + 3 of a row of db. */
fn writeB(head: u32, row: u32, c: u32, x: vec4f) {}
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
//   weights[r · LANES + l]   p of row r and the four entries of lane l, in this block.
//   changes[r · LANES + l]   the gradients of these four scores: p · (b · y − delta).
var<workgroup> stagedA: array<vec4f, STAGED>;
var<workgroup> stagedB: array<vec4f, STAGED_V>;
var<workgroup> weights: array<vec4f, TILE * LANES>;
var<workgroup> changes: array<vec4f, TILE * LANES>;

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
  var ownStat: array<vec2f, TILE>;
  var positions: array<u32, TILE>;
  var addedA: array<ColumnsA, TILE>;
  var addedB: array<ColumnsB, TILE>;
  for (var r = 0u; r < TILE; r++) {
    let e = entry + min(r, filled - 1u);
    positions[r] = ownPosition(first + e / ownGroup());
    ownStat[r] = ownStats(ownHead + e % ownGroup(), first + e / ownGroup());
    for (var p = 0u; p < CHUNKS; p++) { addedA[r][p] = vec4f(); }
    for (var p = 0u; p < PARTS; p++) { addedB[r][p] = vec4f(); }
  }

  // Blocks start at multiples of BLOCK from the sequence's first entry in every tile, so a row has the same bits in
  // each.
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
    let place = vec4u(otherPosition(row.x), otherPosition(row.y), otherPosition(row.z), otherPosition(row.w));
    for (var r = 0u; r < TILE; r++) {
      let i = positions[r];
      let seen = (own < vec4u(end)) & vec4<bool>(pairs(i, place.x), pairs(i, place.y), pairs(i, place.z),
        pairs(i, place.w));
      let weight = select(vec4f(), exp(scores[r] - (lse + ownStat[r].x)), seen);
      weights[r * LANES + lane] = weight;
      changes[r * LANES + lane] = select(vec4f(), weight * (products[r] - (delta + ownStat[r].y)), seen);
    }
    workgroupBarrier();

    // Adds the columns that the lane owns. Past the last entry, weights are 0.
    let count = (min(block + BLOCK, end) - block + 3u) / 4u;
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

  for (var r = 0u; r < TILE; r++) {
    if (r < filled) {
      let head = ownHead + (entry + r) % ownGroup();
      let row = first + (entry + r) / ownGroup();
      for (var p = 0u; p < CHUNKS; p++) {
        let c = p * LANES + lane;
        if (c < quarters()) { writeA(head, row, c, addedA[r][p] * scale()); }
      }
      if (BOTH > 0u) {
        for (var p = 0u; p < PARTS; p++) {
          let c = p * LANES + lane;
          if (c < quartersV()) { writeB(head, row, c, addedB[r][p]); }
        }
      }
    }
  }
}
