// Rows of one side of attention's gradient: da[h, i] = scale · Σ over j of p(i, j) · (b[h, i] · y[g, j] − delta) · x[g,
// j], and db[h, i] = Σ over j of p(i, j) · y[g, j], with p = exp(scale · a[h, i] · x[g, j] − lse). For queries a, b are
// q, dy and x, y are k, v: da is dq. For keys a, b are k, v and x, y are q, dy: da is dk, and db is dv.
// Method: as attention_subgroup.wgsl. A workgroup is one subgroup and owns a tile of rows, which goes through the rows
// of the other side that share a pair with it in blocks: lanes own four of these while they score, and vectors of
// columns while they add; what is owned and what pairs weigh is passed round by shuffles. Weights come from the kept
// logarithms of their sums (Dao et al. 2022, arXiv 2205.14135). A tile is two halves, for compilers that unroll loops
// only up to some size.
// Grid: one workgroup for each tile and head of keys; tiles begin anew with each sequence.
enable subgroups;

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
const WIDTH = 8u;
const HALF = 8u;
/** `vec4f` columns of a and b in a lane. */
const CHUNKS = 2u;
const PARTS = 2u;
/** Whether db is wanted. */
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
  return vec2f(stats[head * sizes.queries + row], stats[n + head * sizes.queries + row]);
}
fn otherStats(head: u32, row: u32) -> vec2f { return vec2f(); }
fn writeA(head: u32, row: u32, c: u32, x: vec4f) { dq[head * sizes.queryHeads + row * sizes.queryRows + c] = x; }
fn writeB(head: u32, row: u32, c: u32, x: vec4f) {}
/** Whether rows at these positions, the own and another, are a pair. */
fn pairs(i: u32, j: u32) -> bool { return j <= i; }
/** The range of positions that may pair with position i of the own side. */
fn firstOf(i: u32) -> u32 { return 0u; }
fn lastOf(i: u32) -> u32 { return i; }
// --- end of parameters

const TILE = 2u * HALF;
const BLOCK = 4u * WIDTH;
/**
 * Of four rows of the other side, for each own row of a half: products of a and x, then weights; products of b and y,
 * then what those weights change by.
 */
alias Fours = array<vec4f, HALF>;
/** The columns of a row that a lane owns. */
alias ColumnsA = array<vec4f, CHUNKS>;
alias ColumnsB = array<vec4f, PARTS>;

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

/** One chunk of the rows of a half. */
fn chunkOfA(own: ptr<function, array<ColumnsA, TILE>>, half: u32, chunk: u32) -> Fours {
  var x: Fours;
  for (var r = 0u; r < HALF; r++) {
    x[r] = (*own)[half * HALF + r][0];
    for (var p = 1u; p < CHUNKS; p++) { x[r] = select(x[r], (*own)[half * HALF + r][p], chunk == p); }
  }
  return x;
}
fn chunkOfB(own: ptr<function, array<ColumnsB, TILE>>, half: u32, chunk: u32) -> Fours {
  var x: Fours;
  for (var r = 0u; r < HALF; r++) {
    x[r] = (*own)[half * HALF + r][0];
    for (var p = 1u; p < PARTS; p++) { x[r] = select(x[r], (*own)[half * HALF + r][p], chunk == p); }
  }
  return x;
}

/** Adds the products of the columns that lane j holds of each own row. */
fn multiply(sums: ptr<function, Fours>, chunk: ptr<function, Fours>, j: u32, others: mat4x4f) {
  for (var r = 0u; r < HALF; r++) {
    let x = subgroupShuffle((*chunk)[r], j);
    (*sums)[r] = fma(vec4f(x.w), others[3], fma(vec4f(x.z), others[2],
      fma(vec4f(x.y), others[1], fma(vec4f(x.x), others[0], (*sums)[r]))));
  }
}

/** Makes weights of scores, and of the other products what they change by; nothing of what is no pair. */
fn weigh(
  scores: ptr<function, Fours>,
  changes: ptr<function, Fours>,
  own: ptr<function, array<vec2f, TILE>>,
  half: u32,
  lse: vec4f,
  delta: vec4f,
) {
  for (var r = 0u; r < HALF; r++) {
    let stat = (*own)[half * HALF + r];
    let weight = exp((*scores)[r] - (lse + stat.x));
    (*scores)[r] = weight;
    (*changes)[r] = weight * ((*changes)[r] - (delta + stat.y));
  }
}

fn hide(
  scores: ptr<function, Fours>,
  changes: ptr<function, Fours>,
  positions: ptr<function, array<u32, TILE>>,
  half: u32,
  present: vec4<bool>,
  place: vec4u,
) {
  for (var r = 0u; r < HALF; r++) {
    let i = (*positions)[half * HALF + r];
    let seen = present & vec4<bool>(pairs(i, place.x), pairs(i, place.y), pairs(i, place.z), pairs(i, place.w));
    (*scores)[r] = select(vec4f(), (*scores)[r], seen);
    (*changes)[r] = select(vec4f(), (*changes)[r], seen);
  }
}

/** Adds four rows of the other side by the weights that lane j holds. */
fn addA(
  added: ptr<function, array<ColumnsA, HALF>>,
  weights: ptr<function, Fours>,
  j: u32,
  x0: ColumnsA,
  x1: ColumnsA,
  x2: ColumnsA,
  x3: ColumnsA,
) {
  for (var r = 0u; r < HALF; r++) {
    let w = subgroupShuffle((*weights)[r], j);
    for (var p = 0u; p < CHUNKS; p++) {
      (*added)[r][p] = fma(vec4f(w.w), x3[p], fma(vec4f(w.z), x2[p],
        fma(vec4f(w.y), x1[p], fma(vec4f(w.x), x0[p], (*added)[r][p]))));
    }
  }
}
fn addB(
  added: ptr<function, array<ColumnsB, HALF>>,
  weights: ptr<function, Fours>,
  j: u32,
  y0: ColumnsB,
  y1: ColumnsB,
  y2: ColumnsB,
  y3: ColumnsB,
) {
  for (var r = 0u; r < HALF; r++) {
    let w = subgroupShuffle((*weights)[r], j);
    for (var p = 0u; p < PARTS; p++) {
      (*added)[r][p] = fma(vec4f(w.w), y3[p], fma(vec4f(w.z), y2[p],
        fma(vec4f(w.y), y1[p], fma(vec4f(w.x), y0[p], (*added)[r][p]))));
    }
  }
}

fn columnsA(head: u32, entry: u32, lane: u32) -> ColumnsA {
  var x: ColumnsA;
  for (var p = 0u; p < CHUNKS; p++) {
    x[p] = xAt(head + entry % otherGroup(), entry / otherGroup(), min(p * WIDTH + lane, quarters() - 1u));
  }
  return x;
}
fn columnsB(head: u32, entry: u32, lane: u32) -> ColumnsB {
  var x: ColumnsB;
  for (var p = 0u; p < PARTS; p++) {
    x[p] = yAt(head + entry % otherGroup(), entry / otherGroup(), min(p * WIDTH + lane, quartersV() - 1u));
  }
  return x;
}

@compute @workgroup_size(WIDTH)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
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
  // Entries of the other side that are a pair with some row of the tile, and those that are one with every row. No
  // position is the largest number.
  let firstOther = otherStart(b);
  let lastOther = otherStart(b + 1u);
  let firstRow = otherFrom(firstOther, lastOther, firstOf(firstPosition));
  let lastRow = otherFrom(firstRow, lastOther, lastOf(lastPosition) + 1u);
  let firstWhole = otherFrom(firstRow, lastRow, firstOf(lastPosition));
  let seenBegin = firstWhole * otherGroup();
  let seenEnd = otherFrom(firstWhole, lastRow, lastOf(firstPosition) + 1u) * otherGroup();
  let begin = firstRow * otherGroup();
  let end = lastRow * otherGroup();

  var ownA: array<ColumnsA, TILE>;
  var ownB: array<ColumnsB, TILE>;
  var ownStat: array<vec2f, TILE>;
  var positions: array<u32, TILE>;
  // Rolled, for its bound is no constant: so the loads are few in the text.
  for (var r = 0u; r < filled; r++) {
    let head = ownHead + (entry + r) % ownGroup();
    let row = first + (entry + r) / ownGroup();
    positions[r] = ownPosition(row);
    ownStat[r] = ownStats(head, row);
    for (var p = 0u; p < CHUNKS; p++) { ownA[r][p] = aAt(head, row, min(p * WIDTH + lane, quarters() - 1u)) * scale(); }
    for (var p = 0u; p < PARTS; p++) { ownB[r][p] = bAt(head, row, min(p * WIDTH + lane, quartersV() - 1u)); }
  }
  var addedA0: array<ColumnsA, HALF>;
  var addedA1: array<ColumnsA, HALF>;
  var addedB0: array<ColumnsB, HALF>;
  var addedB1: array<ColumnsB, HALF>;

  // Blocks lie alike in every tile.
  for (var block = begin - (begin - firstOther * otherGroup()) % BLOCK; block < end; block += BLOCK) {
    let own = vec4u(block + 4u * lane) + vec4u(0u, 1u, 2u, 3u);
    let at = min(own, vec4u(end - 1u));
    let row = at / otherGroup();
    let head = vec4u(otherHead) + at % otherGroup();
    var scores0: Fours;
    var scores1: Fours;
    var changes0: Fours;
    var changes1: Fours;
    for (var r = 0u; r < HALF; r++) {
      scores0[r] = vec4f();
      scores1[r] = vec4f();
    }
    for (var r = 0u; r < HALF; r++) {
      changes0[r] = vec4f();
      changes1[r] = vec4f();
    }
    for (var c = 0u; c < quarters(); c += WIDTH) {
      var chunk0 = chunkOfA(&ownA, 0u, c / WIDTH);
      var chunk1 = chunkOfA(&ownA, 1u, c / WIDTH);
      let count = min(WIDTH, quarters() - c);
      for (var j = 0u; j < count; j++) {
        let others = transpose(mat4x4f(xAt(head.x, row.x, c + j), xAt(head.y, row.y, c + j), xAt(head.z, row.z, c + j),
          xAt(head.w, row.w, c + j)));
        multiply(&scores0, &chunk0, j, others);
        multiply(&scores1, &chunk1, j, others);
      }
    }
    for (var c = 0u; c < quartersV(); c += WIDTH) {
      var chunk0 = chunkOfB(&ownB, 0u, c / WIDTH);
      var chunk1 = chunkOfB(&ownB, 1u, c / WIDTH);
      let count = min(WIDTH, quartersV() - c);
      for (var j = 0u; j < count; j++) {
        let others = transpose(mat4x4f(yAt(head.x, row.x, c + j), yAt(head.y, row.y, c + j), yAt(head.z, row.z, c + j),
          yAt(head.w, row.w, c + j)));
        multiply(&changes0, &chunk0, j, others);
        multiply(&changes1, &chunk1, j, others);
      }
    }
    let stats0 = otherStats(head.x, row.x);
    let stats1 = otherStats(head.y, row.y);
    let stats2 = otherStats(head.z, row.z);
    let stats3 = otherStats(head.w, row.w);
    let lse = vec4f(stats0.x, stats1.x, stats2.x, stats3.x);
    let delta = vec4f(stats0.y, stats1.y, stats2.y, stats3.y);
    weigh(&scores0, &changes0, &ownStat, 0u, lse, delta);
    weigh(&scores1, &changes1, &ownStat, 1u, lse, delta);
    let blockEnd = min(block + BLOCK, end);
    if (block < seenBegin || block + BLOCK > seenEnd) {
      let place = vec4u(otherPosition(row.x), otherPosition(row.y), otherPosition(row.z), otherPosition(row.w));
      hide(&scores0, &changes0, &positions, 0u, own < vec4u(end), place);
      hide(&scores1, &changes1, &positions, 1u, own < vec4u(end), place);
    }

    // The columns a lane owns; beyond the last entry weights are zeros.
    let count = (blockEnd - block + 3u) / 4u;
    for (var j = 0u; j < count; j++) {
      let e = min(vec4u(block + 4u * j) + vec4u(0u, 1u, 2u, 3u), vec4u(end - 1u));
      let x0 = columnsA(otherHead, e.x, lane);
      let x1 = columnsA(otherHead, e.y, lane);
      let x2 = columnsA(otherHead, e.z, lane);
      let x3 = columnsA(otherHead, e.w, lane);
      addA(&addedA0, &changes0, j, x0, x1, x2, x3);
      addA(&addedA1, &changes1, j, x0, x1, x2, x3);
    }
    if (BOTH > 0u) {
      for (var j = 0u; j < count; j++) {
        let e = min(vec4u(block + 4u * j) + vec4u(0u, 1u, 2u, 3u), vec4u(end - 1u));
        let y0 = columnsB(otherHead, e.x, lane);
        let y1 = columnsB(otherHead, e.y, lane);
        let y2 = columnsB(otherHead, e.z, lane);
        let y3 = columnsB(otherHead, e.w, lane);
        addB(&addedB0, &scores0, j, y0, y1, y2, y3);
        addB(&addedB1, &scores1, j, y0, y1, y2, y3);
      }
    }
  }

  for (var r = 0u; r < TILE; r++) {
    let i = r % HALF;
    if (r < filled) {
      let head = ownHead + (entry + r) % ownGroup();
      let row = first + (entry + r) / ownGroup();
      for (var p = 0u; p < CHUNKS; p++) {
        let c = p * WIDTH + lane;
        if (c < quarters()) { writeA(head, row, c, select(addedA0[i][p], addedA1[i][p], r >= HALF) * scale()); }
      }
      if (BOTH > 0u) {
        for (var p = 0u; p < PARTS; p++) {
          let c = p * WIDTH + lane;
          if (c < quartersV()) { writeB(head, row, c, select(addedB0[i][p], addedB1[i][p], r >= HALF)); }
        }
      }
    }
  }
}
