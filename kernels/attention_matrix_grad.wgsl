// Rows of one side of attention's gradient: da[h, i] = scale · Σ over j of p(i, j) · (b[h, i] · y[g, j] − delta) · x[g,
// j], and db[h, i] = Σ over j of p(i, j) · y[g, j], with p = exp(scale · a[h, i] · x[g, j] − lse). For queries a, b are
// q, dy and x, y are k, v: da is dq. For keys a, b are k, v and x, y are q, dy: da is dk, and db is dv. Products of f16
// by f16 with sums in f32, on matrix units.
// Method: as attention_grad.wgsl, but each subgroup owns M rows of the tile, which stay in registers as matrices where
// those have room. Scores, and products of b and y, go through workgroup memory, where the lanes of a subgroup share a
// row, and weights and changes come to lie over them; what these add stays in registers, for here nothing is scaled.
// Operands, weights and changes are rounded to f16, scores and all sums are f32. In workgroup memory eight columns of a
// row are a vector; x, and y where db is wanted, lie turned too, eight rows of a column a vector: so units load 16
// bytes at a time. Rows are padded by a vector, so that those of a matrix lie in different banks.
// Grid: one workgroup for each tile and head of keys; tiles begin anew with each sequence.
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;

// --- parameters
struct Sizes {
  sharedHeads: u32, groupSize: u32, batch: u32, quarters: u32, quartersV: u32, scale: f32, queries: u32, heads: u32,
  rows: u32, headsV: u32, rowsV: u32,
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
/** Whether db is wanted, for which the own side is the keys; else it is the queries. */
const BOTH = 0u;
/** Whether registers have room for the own rows; else they stay in workgroup memory. */
const HELD = 1u;
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
fn aAt(head: u32, row: u32, c: u32) -> vec4f { return q[head * sizes.heads + row * sizes.rows + c]; }
fn bAt(head: u32, row: u32, c: u32) -> vec4f { return dy[head * sizes.headsV + row * sizes.rowsV + c]; }
fn xAt(head: u32, row: u32, c: u32) -> vec4f { return k[head * sizes.heads + row * sizes.rows + c]; }
fn yAt(head: u32, row: u32, c: u32) -> vec4f { return v[head * sizes.headsV + row * sizes.rowsV + c]; }
/** lse and delta of a row where it is a query's, else zeros. */
fn ownStats(head: u32, row: u32) -> vec2f {
  let n = sizes.sharedHeads * sizes.groupSize * sizes.queries;
  return vec2f(stats[head * sizes.queries + row], stats[n + head * sizes.queries + row]);
}
fn otherStats(head: u32, row: u32) -> vec2f { return vec2f(); }
fn writeA(head: u32, row: u32, c: u32, x: vec4f) { dq[head * sizes.heads + row * sizes.rows + c] = x; }
fn writeB(head: u32, row: u32, c: u32, x: vec4f) {}
/** The nearest f16. */
fn halves(x: vec4f) -> vec4<f16> { return vec4<f16>(x); }
/** Whether rows at these positions, the own and another, are a pair. */
fn pairs(i: u32, j: u32) -> bool { return j <= i; }
/** The range of positions that may pair with position i of the own side. */
fn firstOf(i: u32) -> u32 { return 0u; }
fn lastOf(i: u32) -> u32 { return i; }
/** Weights and changes lie where scores and products lay. */
const FIRST_WEIGHTS = FIRST_BEHIND;
const STRIDE_W = STRIDE_SUMS;
/** Rows of both sides. From FIRST_BEHIND on: sums as vectors of four, then weights and changes. */
var<workgroup> tiles: array<vec4<u32>, CELLS>;
fn put(at: u32, x: vec4<u32>) { tiles[at] = x; }
fn leftAt(at: u32, stride: u32) -> Left { return subgroupMatrixLoad<Left, row_major>(&tiles, at, stride); }
fn rightAt(at: u32, stride: u32) -> Right { return subgroupMatrixLoad<Right, col_major>(&tiles, at, stride); }
fn putSums(at: u32, x: Sum) { subgroupMatrixStore<row_major>(&tiles, FIRST_BEHIND + at, x, STRIDE_SUMS); }
fn sumsAt(at: u32) -> vec4f { return bitcast<vec4f>(tiles[FIRST_BEHIND + at]); }
// --- end of parameters

const TILE = SUBGROUPS * M;
const LANES = SUBGROUPS * WIDTH;
const LOG2_E = 1.4426950408889634;
alias Left = subgroup_matrix_left<f16, K, M>;
alias Right = subgroup_matrix_right<f16, N, K>;
alias Sum = subgroup_matrix_result<f32, N, M>;
/** Lanes that share a row, side by side in a subgroup; rows of a lane. */
const SHARING = max(WIDTH / M, 1u);
const EACH = M * SHARING / WIDTH;
/** Eights of rows of a block; a lane owns so many of a row of its own. */
const EIGHTS = BLOCK / 8u;
const PARTS = (EIGHTS + SHARING - 1u) / SHARING;
/** In vectors of eight halves or four sums: rows of a and x, of b and y, columns of x and y, rows of sums. */
const STRIDE = COLUMNS / 8u + 1u;
const STRIDE_V = COLUMNS_V / 8u + 1u;
const STRIDE_T = EIGHTS + 1u;
const STRIDE_SUMS = BLOCK / 4u + 1u;
/** Behind x lie y, x turned, y turned where db is wanted, scores and products. */
const FIRST_Y = BLOCK * STRIDE;
const FIRST_TURNED = FIRST_Y + BLOCK * STRIDE_V;
const FIRST_TURNED_Y = FIRST_TURNED + COLUMNS * STRIDE_T;
const FIRST_BEHIND = FIRST_TURNED_Y + BOTH * COLUMNS_V * STRIDE_T;
/** Rows of a and b: at the beginning where registers take them, else behind all others. */
const END = FIRST_WEIGHTS + 2u * TILE * STRIDE_W;
const FIRST_A = (1u - HELD) * END;
const FIRST_B = FIRST_A + TILE * STRIDE;
const CELLS = max(END, FIRST_B + TILE * STRIDE_V);
/** What lanes bring: of a and b eight columns of a row, of x and then of y four columns of eight rows. */
const PLACES_A = TILE * (COLUMNS / 8u);
const PLACES_B = TILE * (COLUMNS_V / 8u);
const PLACES_X = EIGHTS * (COLUMNS / 4u);
const PLACES = PLACES_X + EIGHTS * (COLUMNS_V / 4u);
const EACH_OTHER = (PLACES + LANES - 1u) / LANES;
const ROWS_EACH = (BLOCK + LANES - 1u) / LANES;
/** Matrices of db in registers: one where it is not wanted. */
const MATRICES_B = max(BOTH * (COLUMNS_V / N), 1u);
/** What is stored goes through the memory of a block's scores, so many matrices of a row at a time. */
const ACROSS = BLOCK / N;
const CHUNKS = (COLUMNS + BLOCK - 1u) / BLOCK;
const CHUNKS_B = (BOTH * COLUMNS_V + BLOCK - 1u) / BLOCK;
/** Of the rows of a block: positions; lse, as a power of two, and delta where they are queries. */
var<workgroup> places: array<array<u32, 4>, BLOCK / 4u>;
var<workgroup> keptOther: array<array<array<f32, 4>, 2>, BLOCK / 4u>;
fn vectorOf(x: array<f32, 4>) -> vec4f { return vec4f(x[0], x[1], x[2], x[3]); }
fn inside(x: vec4f, isInside: bool) -> vec4<f16> { return halves(select(vec4f(), x, isInside)); }
/** Eight halves as a vector of workgroup memory. */
fn eight(x: vec4<f16>, y: vec4<f16>) -> vec4<u32> { return vec4<u32>(bitcast<vec2u>(x), bitcast<vec2u>(y)); }
/** Which eight rows of a block and which four columns the i-th place is, of x, then of y. */
fn placeOf(i: u32) -> vec2u {
  let y = i - PLACES_X;
  let ofY = vec2u(y / (COLUMNS_V / 4u), y % (COLUMNS_V / 4u));
  return select(ofY, vec2u(i / (COLUMNS / 4u), i % (COLUMNS / 4u)), i < PLACES_X);
}
fn xOf(head: u32, e: u32, c: u32) -> vec4f { return xAt(head + e % otherGroup(), e / otherGroup(), c); }
fn yOf(head: u32, e: u32, c: u32) -> vec4f { return yAt(head + e % otherGroup(), e / otherGroup(), c); }
/** What a lane brings of a block: rows of x or y, positions, and what is kept of queries. */
struct Brought {
  rows: array<array<vec4f, 8>, EACH_OTHER>,
  places: array<u32, ROWS_EACH>, kept: array<vec2f, ROWS_EACH>,
}
fn bring(head: u32, block: u32, last: u32, lane: u32) -> Brought {
  var own: Brought;
  for (var p = 0u; p < EACH_OTHER; p++) {
    let at = placeOf(lane + p * LANES);
    let row = block + 8u * at.x;
    // Beyond the last row and column the last.
    if (lane + p * LANES < PLACES_X) {
      for (var j = 0u; j < 8u; j++) { own.rows[p][j] = xOf(head, min(row + j, last), min(at.y, quarters() - 1u)); }
    } else {
      for (var j = 0u; j < 8u; j++) { own.rows[p][j] = yOf(head, min(row + j, last), min(at.y, quartersV() - 1u)); }
    }
  }
  for (var p = 0u; p < ROWS_EACH; p++) {
    let e = min(block + lane + p * LANES, last);
    own.places[p] = otherPosition(e / otherGroup());
    own.kept[p] = otherStats(head + e % otherGroup(), e / otherGroup()) * vec2f(LOG2_E, 1.0);
  }
  return own;
}
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

/** Of four positions the first rows of the other side from `begin` to `end` that have at least these; else `end`. */
fn othersFrom(begin: u32, end: u32, at: vec4u) -> vec4u {
  var low = vec4u(begin);
  var left = end - begin;
  while (left > 0u) {
    let half = left / 2u;
    let middle = low + half;
    let own = min(middle, vec4u(end - 1u));
    let held = vec4u(otherPosition(own.x), otherPosition(own.y), otherPosition(own.z), otherPosition(own.w));
    low = select(low, middle + 1u, (held < at) & (middle < vec4u(end)));
    left = half;
  }
  return low;
}

/** Which of four rows of a block are a pair with an own one at this position. */
fn pairsFour(i: u32, j: u32, block: u32, end: u32) -> vec4<bool> {
  let at = places[j / 4u];
  return (vec4u(block + j) + vec4u(0u, 1u, 2u, 3u) < vec4u(end)) &
    vec4<bool>(pairs(i, at[0]), pairs(i, at[1]), pairs(i, at[2]), pairs(i, at[3]));
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
  // First those with the most pairs where no key is ahead: the last queries, and the first keys.
  let tile = select(n % tiles, tiles - 1u - n % tiles, BOTH == 0u);
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
  // Entries of the other side that may be a pair with some row of the tile, and those that are one with every row. No
  // position is the largest number.
  let stretches = otherGroup() * othersFrom(otherStart(b), otherStart(b + 1u), vec4u(
    firstOf(firstPosition), lastOf(lastPosition) + 1u, firstOf(lastPosition), lastOf(firstPosition) + 1u));
  let begin = stretches.x;
  let end = max(begin, stretches.y);
  let paired = clamp(stretches.zw, vec2u(begin), vec2u(end));
  // Rows beyond the last are as it.
  for (var p = 0u; p < (PLACES_A + LANES - 1u) / LANES; p++) {
    let i = lane + p * LANES;
    let e = entry + min(i / (COLUMNS / 8u), filled - 1u);
    let at = vec2u(ownHead + e % ownGroup(), first + e / ownGroup());
    let c = i % (COLUMNS / 8u) * 2u;
    let x = array<vec4f, 2>(aAt(at.x, at.y, min(c, quarters() - 1u)), aAt(at.x, at.y, min(c + 1u, quarters() - 1u)));
    let both = eight(inside(x[0], c < quarters()), inside(x[1], c + 1u < quarters()));
    if (i < PLACES_A) { put(FIRST_A + i / (COLUMNS / 8u) * STRIDE + c / 2u, both); }
  }
  for (var p = 0u; p < (PLACES_B + LANES - 1u) / LANES; p++) {
    let i = lane + p * LANES;
    let e = entry + min(i / (COLUMNS_V / 8u), filled - 1u);
    let at = vec2u(ownHead + e % ownGroup(), first + e / ownGroup());
    let c = i % (COLUMNS_V / 8u) * 2u;
    let x = array<vec4f, 2>(bAt(at.x, at.y, min(c, quartersV() - 1u)), bAt(at.x, at.y, min(c + 1u, quartersV() - 1u)));
    let both = eight(inside(x[0], c < quartersV()), inside(x[1], c + 1u < quartersV()));
    if (i < PLACES_B) { put(FIRST_B + i / (COLUMNS_V / 8u) * STRIDE_V + c / 2u, both); }
  }
  workgroupBarrier();
  var ownA: array<Left, COLUMNS / K>;
  var ownB: array<Left, COLUMNS_V / K>;
  let firstA = FIRST_A + subgroup * M * STRIDE;
  let firstB = FIRST_B + subgroup * M * STRIDE_V;
  for (var c = 0u; c < COLUMNS / K; c++) { ownA[c] = leftAt(firstA + c * (K / 8u), STRIDE); }
  for (var c = 0u; c < COLUMNS_V / K; c++) { ownB[c] = leftAt(firstB + c * (K / 8u), STRIDE_V); }
  workgroupBarrier();
  // The rows that a lane shares, EACH of them.
  let firstRow = subgroup * M + member / SHARING * EACH;
  let share = member % SHARING;
  let factor = scale() * LOG2_E;
  var positions: array<u32, EACH>;
  var kept: array<vec2f, EACH>;
  for (var r = 0u; r < EACH; r++) {
    let e = entry + min(firstRow + r, filled - 1u);
    positions[r] = ownPosition(first + e / ownGroup());
    kept[r] = ownStats(ownHead + e % ownGroup(), first + e / ownGroup()) * vec2f(LOG2_E, 1.0);
  }
  var addedA: array<Sum, COLUMNS / N>;
  var addedB: array<Sum, MATRICES_B>;
  for (var c = 0u; c < COLUMNS / N; c++) { addedA[c] = Sum(); }
  for (var c = 0u; c < MATRICES_B; c++) { addedB[c] = Sum(); }
  // Blocks lie alike in every tile. What lies beyond the last row is the last, of no weight.
  let last = max(end, 1u) - 1u;
  var block = begin - (begin - otherStart(b) * otherGroup()) % BLOCK;
  if (begin < end) { var next = bring(otherHead, block, last, lane); loop {
    let allPaired = block >= paired.x && block + BLOCK <= paired.y;
    for (var p = 0u; p < EACH_OTHER; p++) {
      let i = lane + p * LANES;
      let owns = PLACES % LANES == 0u || i < PLACES;
      let ofX = i < PLACES_X;
      let at = placeOf(i);
      // The neighbour has the other four of eight columns: each stores four of the eight rows, by whole vectors.
      let isOdd = i % 2u == 1u;
      var x: array<vec4<f16>, 8>;
      for (var j = 0u; j < 8u; j++) { x[j] = halves(next.rows[p][j]); }
      for (var j = 0u; j < 4u; j++) {
        let row = 8u * at.x + select(j, j + 4u, isOdd);
        let own = bitcast<vec2u>(select(x[j], x[j + 4u], isOdd));
        let other = subgroupShuffleXor(bitcast<vec2u>(select(x[j + 4u], x[j], isOdd)), 1u);
        let both = select(vec4<u32>(own, other), vec4<u32>(other, own), isOdd);
        if (owns) { put(select(FIRST_Y + row * STRIDE_V, row * STRIDE, ofX) + at.y / 2u, both); }
      }
      if (owns && (BOTH > 0u || ofX)) {
        for (var q = 0u; q < 4u; q++) {
          put(select(FIRST_TURNED_Y, FIRST_TURNED, ofX) + (4u * at.y + q) * STRIDE_T + at.x, eight(
            vec4<f16>(x[0][q], x[1][q], x[2][q], x[3][q]), vec4<f16>(x[4][q], x[5][q], x[6][q], x[7][q])));
        }
      }
    }
    for (var p = 0u; p < ROWS_EACH; p++) {
      let i = lane + p * LANES;
      if (BLOCK % LANES != 0u && i >= BLOCK) { continue; }
      places[i / 4u][i % 4u] = next.places[p];
      for (var n = 0u; n < 2u * BOTH; n++) { keptOther[i / 4u][n][i % 4u] = next.kept[p][n]; }
    }
    workgroupBarrier();
    if (block + BLOCK < end) { next = bring(otherHead, block + BLOCK, last, lane); }
    if (HELD == 0u) {
      for (var c = 0u; c < COLUMNS / K; c++) { ownA[c] = leftAt(firstA + c * (K / 8u), STRIDE); }
      for (var c = 0u; c < COLUMNS_V / K; c++) { ownB[c] = leftAt(firstB + c * (K / 8u), STRIDE_V); }
    }
    for (var j = 0u; j < BLOCK / N; j++) {
      var score = Sum();
      for (var c = 0u; c < COLUMNS / K; c++) {
        score = subgroupMatrixMultiplyAccumulate(ownA[c], rightAt(j * N * STRIDE + c * (K / 8u), STRIDE), score);
      }
      putSums(subgroup * M * STRIDE_SUMS + j * (N / 4u), score);
      var product = Sum();
      for (var c = 0u; c < COLUMNS_V / K; c++) {
        let right = rightAt(FIRST_Y + j * N * STRIDE_V + c * (K / 8u), STRIDE_V);
        product = subgroupMatrixMultiplyAccumulate(ownB[c], right, product);
      }
      putSums((TILE + subgroup * M) * STRIDE_SUMS + j * (N / 4u), product);
    }
    workgroupBarrier();
    // What is beyond the last row, or no pair, weighs nothing.
    var made: array<array<array<array<vec4<f16>, 2>, 2>, PARTS>, EACH>;
    for (var r = 0u; r < EACH; r++) {
      for (var p = 0u; p < PARTS; p++) {
        for (var h = 0u; h < 2u; h++) {
          let j = 8u * min(p * SHARING + share, EIGHTS - 1u) + 4u * h;
          let at = (firstRow + r) * STRIDE_SUMS + j / 4u;
          var stat = array<vec4f, 2>(vec4f(kept[r].x), vec4f(kept[r].y));
          if (BOTH > 0u) { stat = array<vec4f, 2>(vectorOf(keptOther[j / 4u][0]), vectorOf(keptOther[j / 4u][1])); }
          var weight = exp2(sumsAt(at) * factor - stat[0]);
          var change = weight * (sumsAt(TILE * STRIDE_SUMS + at) - stat[1]);
          if (!allPaired) {
            let seen = pairsFour(positions[r], j, block, end);
            weight = select(vec4f(), weight, seen);
            change = select(vec4f(), change, seen);
          }
          made[r][p][0][h] = halves(weight);
          made[r][p][1][h] = halves(change);
        }
      }
    }
    workgroupBarrier();
    for (var r = 0u; r < EACH; r++) {
      for (var p = 0u; p < PARTS; p++) {
        let at = (firstRow + r) * STRIDE_W + p * SHARING + share;
        if (EIGHTS % SHARING != 0u && p * SHARING + share >= EIGHTS) { continue; }
        if (BOTH > 0u) { put(FIRST_WEIGHTS + at, eight(made[r][p][0][0], made[r][p][0][1])); }
        put(FIRST_WEIGHTS + TILE * STRIDE_W + at, eight(made[r][p][1][0], made[r][p][1][1]));
      }
    }
    workgroupBarrier();
    for (var j = 0u; j < BLOCK / K; j++) {
      let change = leftAt(FIRST_WEIGHTS + (TILE + subgroup * M) * STRIDE_W + j * (K / 8u), STRIDE_W);
      for (var c = 0u; c < COLUMNS / N; c++) {
        let right = rightAt(FIRST_TURNED + c * N * STRIDE_T + j * (K / 8u), STRIDE_T);
        addedA[c] = subgroupMatrixMultiplyAccumulate(change, right, addedA[c]);
      }
      if (BOTH > 0u) {
        let weight = leftAt(FIRST_WEIGHTS + subgroup * M * STRIDE_W + j * (K / 8u), STRIDE_W);
        for (var c = 0u; c < MATRICES_B; c++) {
          let right = rightAt(FIRST_TURNED_Y + c * N * STRIDE_T + j * (K / 8u), STRIDE_T);
          addedB[c] = subgroupMatrixMultiplyAccumulate(weight, right, addedB[c]);
        }
      }
    }
    workgroupBarrier();
    continuing { block += BLOCK; break if block >= end; }
  } }
  for (var chunk = 0u; chunk < CHUNKS + CHUNKS_B; chunk++) {
    let ofA = chunk < CHUNKS;
    let place = select(chunk - CHUNKS, chunk, ofA);
    for (var c = 0u; c < ACROSS; c++) {
      let n = place * ACROSS + c;
      let at = subgroup * M * STRIDE_SUMS + c * (N / 4u);
      if (ofA && n < COLUMNS / N) { putSums(at, addedA[n]); }
      if (!ofA && n < MATRICES_B) { putSums(at, addedB[n]); }
    }
    workgroupBarrier();
    let before = place * (BLOCK / 4u);
    let columns = select(quartersV(), quarters(), ofA);
    for (var r = 0u; r < EACH; r++) {
      let e = entry + firstRow + r;
      let end = select(0u, min(BLOCK / 4u, columns - min(before, columns)), firstRow + r < filled);
      for (var c = share; c < end; c += SHARING) {
        let x = sumsAt((firstRow + r) * STRIDE_SUMS + c);
        if (ofA) { writeA(ownHead + e % ownGroup(), first + e / ownGroup(), before + c, x * scale()); }
        if (!ofA) { writeB(ownHead + e % ownGroup(), first + e / ownGroup(), before + c, x); }
      }
    }
    workgroupBarrier();
  }
}
