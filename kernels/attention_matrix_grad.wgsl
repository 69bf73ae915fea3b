// da[h, i] = scale · Σ over j of p(i, j) · (b[h, i] · y[g, j] − delta) · x[g, j], and db[h, i] = Σ over j of p(i, j) ·
// y[g, j]: the gradient of attention that attention_grad.wgsl explains, for queries or for keys.
// Method: as attention_grad.wgsl, on matrix units: products of f16 by f16 with sums in f32. Each subgroup owns M rows
// of the tile; if registers have room (HELD), these rows stay there as matrices. Scores, and products of b and y, go
// through workgroup memory, where the lanes of a subgroup share a row. Weights and changes, the gradients of scores,
// overwrite them. Sums stay in registers, because nothing is scaled. Operands, weights and changes are rounded to f16;
// scores and all sums are f32.
// Grid: one workgroup for each tile and key head; each sequence starts a new tile.
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
/** Lanes of a subgroup. */
const WIDTH = 8u;
/** A matrix unit multiplies M × K by K × N. */
const M = 8u; const N = 8u; const K = 8u;
/** Subgroups of a workgroup. */
const SUBGROUPS = 2u;
/** Entries of the other side in a block: a multiple of N and of K. */
const BLOCK = 16u;
/** Columns of a and x, padded to whole matrices. */
const COLUMNS = 64u;
/** Columns of b and y, padded to whole matrices. */
const COLUMNS_V = 64u;
/** 1 if the own side is the keys: then db is computed. 0 if it is the queries. */
const BOTH = 0u;
/** 1 if registers have room for the matrices of the own rows; 0 if they stay in workgroup memory. */
const HELD = 1u;
// Declarations that attention_grad.wgsl explains:
fn sharedHeads() -> u32 { return sizes.sharedHeads; }
fn ownGroup() -> u32 { return sizes.groupSize; }
fn otherGroup() -> u32 { return 1u; }
fn batch() -> u32 { return sizes.batch; }
fn quarters() -> u32 { return sizes.quarters; }
fn quartersV() -> u32 { return sizes.quartersV; }
fn scale() -> f32 { return sizes.scale; }
fn ownStart(b: u32) -> u32 { return rows[b]; }
fn otherStart(b: u32) -> u32 { return rows[batch() + 1u + b]; }
fn ownPosition(row: u32) -> u32 { return rows[2u * batch() + 2u + row]; }
fn otherPosition(row: u32) -> u32 { return rows[2u * batch() + 2u + sizes.queries + row]; }
fn aAt(head: u32, row: u32, c: u32) -> vec4f { return q[head * sizes.heads + row * sizes.rows + c]; }
fn bAt(head: u32, row: u32, c: u32) -> vec4f { return dy[head * sizes.headsV + row * sizes.rowsV + c]; }
fn xAt(head: u32, row: u32, c: u32) -> vec4f { return k[head * sizes.heads + row * sizes.rows + c]; }
fn yAt(head: u32, row: u32, c: u32) -> vec4f { return v[head * sizes.headsV + row * sizes.rowsV + c]; }
fn ownStats(head: u32, row: u32) -> vec2f {
  let n = sizes.sharedHeads * sizes.groupSize * sizes.queries;
  return vec2f(stats[head * sizes.queries + row], stats[n + head * sizes.queries + row]);
}
fn otherStats(head: u32, row: u32) -> vec2f { return vec2f(); }
fn writeA(head: u32, row: u32, c: u32, x: vec4f) { dq[head * sizes.heads + row * sizes.rows + c] = x; }
fn writeB(head: u32, row: u32, c: u32, x: vec4f) {}
/** The nearest f16. */
fn halves(x: vec4f) -> vec4<f16> { return vec4<f16>(x); }
fn pairs(i: u32, j: u32) -> bool { return j <= i; }
fn firstOf(i: u32) -> u32 { return 0u; }
fn lastOf(i: u32) -> u32 { return i; }
// Workgroup memory `tiles`, in vectors of eight halves or four sums, so that units load 16 bytes at a time. Strides
// have an extra vector, so that the rows of a matrix are in different banks.
//   from             stride        rows: contents of a vector. Lifetime.
//   FIRST_A          STRIDE        TILE rows of a: eight columns. If HELD, at 0, until x and y overwrite them.
//   FIRST_B          STRIDE_V      TILE rows of b: eight columns. After the rows of a.
//   0                STRIDE        BLOCK entries of x: eight columns. For a block.
//   FIRST_Y          STRIDE_V      BLOCK entries of y: eight columns. For a block.
//   FIRST_TURNED     STRIDE_T      COLUMNS columns of x: eight entries. For a block.
//   FIRST_TURNED_Y   STRIDE_T      COLUMNS_V columns of y, if BOTH: eight entries. For a block.
//   FIRST_BEHIND     STRIDE_SUMS   TILE rows of scores, then of products: four entries. Until weights overwrite them.
//   FIRST_WEIGHTS    STRIDE_W      TILE rows of weights, then of changes: eight entries. For a block.
//   FIRST_BEHIND     STRIDE_SUMS   at the end, TILE rows of da or db: four of BLOCK columns, while they are stored.
const FIRST_WEIGHTS = FIRST_BEHIND;
const STRIDE_W = STRIDE_SUMS;
var<workgroup> tiles: array<vec4<u32>, CELLS>;
fn put(at: u32, x: vec4<u32>) { tiles[at] = x; }
fn leftAt(at: u32, stride: u32) -> Left { return subgroupMatrixLoad<Left, row_major>(&tiles, at, stride); }
fn rightAt(at: u32, stride: u32) -> Right { return subgroupMatrixLoad<Right, col_major>(&tiles, at, stride); }
fn putSums(at: u32, x: Sum) { subgroupMatrixStore<row_major>(&tiles, FIRST_BEHIND + at, x, STRIDE_SUMS); }
fn sumsAt(at: u32) -> vec4f { return bitcast<vec4f>(tiles[FIRST_BEHIND + at]); }
// --- end of parameters

const TILE = SUBGROUPS * M; const LANES = SUBGROUPS * WIDTH;
const LOG2_E = 1.4426950408889634;
alias Left = subgroup_matrix_left<f16, K, M>;
alias Right = subgroup_matrix_right<f16, N, K>;
alias Sum = subgroup_matrix_result<f32, N, M>;
/** Lanes that share a row: neighbours in a subgroup. */
const SHARING = max(WIDTH / M, 1u);
/** Rows of a lane. */
const EACH = M * SHARING / WIDTH;
/** Groups of eight entries in a block. */
const EIGHTS = BLOCK / 8u;
/** Groups of eight entries that a lane owns per row. */
const PARTS = (EIGHTS + SHARING - 1u) / SHARING;
const STRIDE = COLUMNS / 8u + 1u; const STRIDE_V = COLUMNS_V / 8u + 1u; const STRIDE_T = EIGHTS + 1u;
const STRIDE_SUMS = BLOCK / 4u + 1u;
const FIRST_Y = BLOCK * STRIDE; const FIRST_TURNED = FIRST_Y + BLOCK * STRIDE_V;
const FIRST_TURNED_Y = FIRST_TURNED + COLUMNS * STRIDE_T;
const FIRST_BEHIND = FIRST_TURNED_Y + BOTH * COLUMNS_V * STRIDE_T;
const END = FIRST_WEIGHTS + 2u * TILE * STRIDE_W; const FIRST_A = (1u - HELD) * END;
const FIRST_B = FIRST_A + TILE * STRIDE; const CELLS = max(END, FIRST_B + TILE * STRIDE_V);
/** Loads of the tile's rows of a: each is eight columns of a row. */
const PLACES_A = TILE * (COLUMNS / 8u);
/** Loads of the tile's rows of b: each is eight columns of a row. */
const PLACES_B = TILE * (COLUMNS_V / 8u);
/** Loads of a block's entries of x: each is four columns of eight entries. */
const PLACES_X = EIGHTS * (COLUMNS / 4u);
/** Loads of a block's entries of x, and then of y. */
const PLACES = PLACES_X + EIGHTS * (COLUMNS_V / 4u);
/** Loads of a lane of each block; ROWS_EACH: of entries' positions. */
const EACH_OTHER = (PLACES + LANES - 1u) / LANES; const ROWS_EACH = (BLOCK + LANES - 1u) / LANES;
/** Matrices of db in registers: one, unused, if db is not computed. */
const MATRICES_B = max(BOTH * (COLUMNS_V / N), 1u);
/** Matrices of a row of sums that are stored at a time, in the memory of scores. */
const ACROSS = BLOCK / N;
/** The number of times that this takes: for da, and CHUNKS_B for db. */
const CHUNKS = (COLUMNS + BLOCK - 1u) / BLOCK;
const CHUNKS_B = (BOTH * COLUMNS_V + BLOCK - 1u) / BLOCK;
/** Positions of the entries of a block. */
var<workgroup> places: array<array<u32, 4>, BLOCK / 4u>;
/** [entry / 4][0: lse · log2 e, 1: delta][entry % 4] of a block, if the entries are queries. */
var<workgroup> keptOther: array<array<array<f32, 4>, 2>, BLOCK / 4u>;
fn vectorOf(x: array<f32, 4>) -> vec4f { return vec4f(x[0], x[1], x[2], x[3]); }
/** x in f16, or zeros if a column is past the last. */
fn inside(x: vec4f, isInside: bool) -> vec4<f16> { return halves(select(vec4f(), x, isInside)); }
/** Eight halves as a vector of workgroup memory. */
fn eight(x: vec4<f16>, y: vec4<f16>) -> vec4<u32> { return vec4<u32>(bitcast<vec2u>(x), bitcast<vec2u>(y)); }
/** Load i of a block: which eight entries, and which four columns. Loads of x come first. */
fn placeOf(i: u32) -> vec2u {
  let y = i - PLACES_X;
  let ofY = vec2u(y / (COLUMNS_V / 4u), y % (COLUMNS_V / 4u));
  return select(ofY, vec2u(i / (COLUMNS / 4u), i % (COLUMNS / 4u)), i < PLACES_X);
}
/** Columns 4c to 4c + 3 of entry e of x. */
fn xOf(head: u32, e: u32, c: u32) -> vec4f { return xAt(head + e % otherGroup(), e / otherGroup(), c); }
/** Columns 4c to 4c + 3 of entry e of y. */
fn yOf(head: u32, e: u32, c: u32) -> vec4f { return yAt(head + e % otherGroup(), e / otherGroup(), c); }
/** The lane's loads of a block: x or y, positions, lse and delta. */
struct Brought {
  rows: array<array<vec4f, 8>, EACH_OTHER>, places: array<u32, ROWS_EACH>, kept: array<vec2f, ROWS_EACH>,
}
/** Loads a block. Indices past the last entry and column are clamped. */
fn bring(head: u32, block: u32, last: u32, lane: u32) -> Brought {
  var own: Brought;
  for (var p = 0u; p < EACH_OTHER; p++) {
    let at = placeOf(lane + p * LANES);
    let row = block + 8u * at.x;
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
/** An upper bound on the tiles of the sequences before b. It grows with b, so binary search finds a tile's sequence. */
fn tilesBefore(b: u32) -> u32 { return ownStart(b) * ownGroup() / TILE + b; }
/** The sequence of a tile. */
fn sequenceOf(tile: u32) -> u32 {
  var low = 0u; var high = batch();
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (tilesBefore(middle) <= tile) { low = middle; } else { high = middle; }
  }
  return low;
}
/**
 * For each of four positions, the first row of the other side in [begin, end) at or past it; `end` if there is none.
 */
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

/** Whether a row at position i pairs with each of the four entries of the block from its j-th on. */
fn pairsFour(i: u32, j: u32, block: u32, end: u32) -> vec4<bool> {
  let at = places[j / 4u];
  return (vec4u(block + j) + vec4u(0u, 1u, 2u, 3u) < vec4u(end)) &
    vec4<bool>(pairs(i, at[0]), pairs(i, at[1]), pairs(i, at[2]), pairs(i, at[3]));
}
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) lane: u32, @builtin(subgroup_id) subgroup: u32,
        @builtin(subgroup_invocation_id) member: u32) {
  let n = group.x + group.y * groups.x;
  let tiles = groups.x * groups.y / sharedHeads();
  // Tiles with the most pairs first: with a causal mask the last queries, or the first keys.
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
  // `begin` to `end`: entries of the other side that may pair with some row of the tile. `paired`: entries that pair
  // with every row. Positions are below 2^32 − 1, so `+ 1u` does not overflow.
  let stretches = otherGroup() * othersFrom(otherStart(b), otherStart(b + 1u), vec4u(
    firstOf(firstPosition), lastOf(lastPosition) + 1u, firstOf(lastPosition), lastOf(firstPosition) + 1u));
  let begin = stretches.x;
  let end = max(begin, stretches.y);
  let paired = clamp(stretches.zw, vec2u(begin), vec2u(end));
  // Rows past the tile's last entry repeat it.
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
  // The first of the lane's EACH rows.
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
  // Blocks start at multiples of BLOCK from the sequence's first entry in every tile, so a row has the same bits in
  // each. Entries past the last repeat it, with weight 0.
  let last = max(end, 1u) - 1u;
  var block = begin - (begin - otherStart(b) * otherGroup()) % BLOCK;
  if (begin < end) { var next = bring(otherHead, block, last, lane); loop {
    let allPaired = block >= paired.x && block + BLOCK <= paired.y;
    for (var p = 0u; p < EACH_OTHER; p++) {
      let i = lane + p * LANES;
      let owns = PLACES % LANES == 0u || i < PLACES;
      let ofX = i < PLACES_X;
      let at = placeOf(i);
      // Lanes 2i and 2i + 1 hold columns 0-3 and 4-7 of the same eight entries. They exchange halves, so that each
      // writes four entries of eight columns, in whole vectors.
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
    // [row][part][0: weight, 1: change][half of eight entries]. Entries past the last, and entries that do not pair,
    // get 0.
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
