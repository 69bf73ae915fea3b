// Attention's gradient on one side, the queries or the keys: the own side. With p(i, j) = exp(scale · a[h, i] · x[g, j]
// − lse): da[h, i] = scale · Σ over j of p(i, j) · (b[h, i] · y[g, j] − delta) · x[g, j], and db[h, i] = Σ over j of
// p(i, j) · y[g, j]. lse is the log-sum-exp of the query's scores; delta is the query's result · dy. If the own side is
// the queries, a, b are q, dy and x, y are k, v: da is dq. If the own side is the keys, a, b are k, v and x, y are q,
// dy: da is dk, and db is dv.
// Method: as attention_subgroup.wgsl. A workgroup is one subgroup. It takes a tile of rows through the rows on the
// other side that pair with some row of the tile, in blocks. To score, a lane owns four other rows; to add, it owns
// vectors of columns. Shuffles broadcast the tile's rows, weights and gradients of scores. Weights come from the stored
// log-sum-exp (Dao et al. 2022, arXiv 2205.14135). A tile is two halves, for compilers with a limit on unrolling.
// Grid: one workgroup for each tile and key head; each sequence starts a new tile.
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
/** Lanes of a subgroup. */
const WIDTH = 8u;
/** Rows of half a tile. */
const HALF = 8u;
/** `vec4f` columns of a that a lane holds. */
const CHUNKS = 2u;
/** `vec4f` columns of b that a lane holds. */
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

const TILE = 2u * HALF;
/** Entries of the other side in a block: four for each lane. */
const BLOCK = 4u * WIDTH;
/**
 * For each row of a half, a number for each of the lane's four entries. `scores`: a · x, then weights. `changes`: b ·
 * y, then gradients of scores.
 */
alias Fours = array<vec4f, HALF>;
/** The columns that a lane owns, of a row of a, x or da. */
alias ColumnsA = array<vec4f, CHUNKS>;
/** The columns that a lane owns, of a row of b, y or db. */
alias ColumnsB = array<vec4f, PARTS>;

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

/** The lane's `chunk`-th `vec4f` of each row of a in a half. */
fn chunkOfA(own: ptr<function, array<ColumnsA, TILE>>, half: u32, chunk: u32) -> Fours {
  var x: Fours;
  for (var r = 0u; r < HALF; r++) {
    x[r] = (*own)[half * HALF + r][0];
    for (var p = 1u; p < CHUNKS; p++) { x[r] = select(x[r], (*own)[half * HALF + r][p], chunk == p); }
  }
  return x;
}
/** The lane's `chunk`-th `vec4f` of each row of b in a half. */
fn chunkOfB(own: ptr<function, array<ColumnsB, TILE>>, half: u32, chunk: u32) -> Fours {
  var x: Fours;
  for (var r = 0u; r < HALF; r++) {
    x[r] = (*own)[half * HALF + r][0];
    for (var p = 1u; p < PARTS; p++) { x[r] = select(x[r], (*own)[half * HALF + r][p], chunk == p); }
  }
  return x;
}

/**
 * Adds the products of the four columns that lane j holds of each row. `others`: these columns of the lane's four
 * entries, transposed.
 */
fn multiply(sums: ptr<function, Fours>, chunk: ptr<function, Fours>, j: u32, others: mat4x4f) {
  for (var r = 0u; r < HALF; r++) {
    let x = subgroupShuffle((*chunk)[r], j);
    (*sums)[r] = fma(vec4f(x.w), others[3], fma(vec4f(x.z), others[2],
      fma(vec4f(x.y), others[1], fma(vec4f(x.x), others[0], (*sums)[r]))));
  }
}

/**
 * Turns products a · x into weights, and products b · y into gradients of scores. `hide` then clears entries that are
 * not pairs.
 */
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

/**
 * Clears weights and gradients of entries that do not pair with the row. `present`: whether each of the four entries
 * exists; `place`: their positions.
 */
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

/** Adds four rows of x to da. The factors are the gradients of scores that lane j holds. */
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
/** Adds four rows of y to db. The factors are the weights that lane j holds. */
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

/** The columns that the lane owns of an entry of x. */
fn columnsA(head: u32, entry: u32, lane: u32) -> ColumnsA {
  var x: ColumnsA;
  for (var p = 0u; p < CHUNKS; p++) {
    x[p] = xAt(head + entry % otherGroup(), entry / otherGroup(), min(p * WIDTH + lane, quarters() - 1u));
  }
  return x;
}
/** The columns that the lane owns of an entry of y. */
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
  // `begin` to `end`: entries of the other side that may pair with some row of the tile. `seenBegin` to `seenEnd`:
  // entries that pair with every row. Positions are below 2^32 − 1, so `+ 1u` does not overflow.
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
  // The bound is not a constant, so compilers do not unroll the loop, and the text has each load once.
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

  // Blocks start at multiples of BLOCK from the sequence's first entry in every tile, so a row has the same bits in
  // each.
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

    // Adds the columns that the lane owns. Past the last entry, weights are 0.
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
