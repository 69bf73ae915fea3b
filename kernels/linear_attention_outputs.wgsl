// y[h, t] = q[t] · (p_t ⊙ S) + Σ over s ≤ t of (q[t] · (d_ts ⊙ k[s])) · v[s] − (q[t] · (d_ts ⊙ forget[s])) · r[s],
// times the scale. S is the state before the chunk of row t, p_t the product of the factors of its rows up to t, and
// d_ts that of the rows behind s up to t.
// Method: the chunked form (Hua et al. 2022, arXiv 2202.10447; Yang et al. 2024, arXiv 2406.06484), as in
// `attention_subgroup.wgsl`: each subgroup computes one tile of a chunk's rows. To score, a lane owns four
// rows of the chunk; to add up, it owns columns. Factors are multiplied and never divided, so no decay overflows and a
// factor of 0 is exact.
// Grid: one subgroup for each tile of rows, head and panel of columns; each sequence begins a new tile.
enable subgroups;

// --- parameters
struct Sizes {
  heads: u32, batch: u32, panels: u32, width: u32, quarters: u32, quartersV: u32, columns: u32, scale: f32, groupQ: u32,
    groupK: u32, queryHeads: u32, queryRows: u32, keyHeads: u32, keyRows: u32, valueHeads: u32, valueRows: u32,
}
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> k: array<vec4f>;
@group(0) @binding(3) var<storage, read> v: array<vec4f>;
@group(0) @binding(4) var<storage, read> starts: array<u32>;
@group(0) @binding(5) var<storage, read> kept: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;
/** Lanes of a subgroup, which is a workgroup. */
const WIDTH = 8u;
/** Rows of half a tile. */
const HALF = 8u;
/** Rows of a chunk: whole tiles, at most four for each lane; a tile if each dimension has a decay. */
const CHUNK = 32u;
/** How many `vec4f` of a row of q a lane holds. */
const PIECES = 2u;
/** `vec4f` columns of v that a lane owns. */
const PARTS = 2u;
/** 0 without decays, 1 with one for each row, 2 with one for each row of the state, 3 with one for each column. */
const DECAYS = 0u;
/** 1 if there are forget and at. */
const FORGETS = 0u;
/** 1 if sequences begin with a given state. */
const GIVEN = 0u;
fn heads() -> u32 { return sizes.heads; }
fn batch() -> u32 { return sizes.batch; }
/** Workgroups that share the columns of a tile. */
fn panels() -> u32 { return sizes.panels; }
/** Columns of k, and the `vec4f` columns of k and of v. */
fn width() -> u32 { return sizes.width; }
fn quarters() -> u32 { return sizes.quarters; }
fn quartersV() -> u32 { return sizes.quartersV; }
/** Columns of v. */
fn columns() -> u32 { return sizes.columns; }
fn scale() -> f32 { return sizes.scale; }
/** The place of a row of each operand for head h of the result, and columns 4c to 4c + 3 from that place on. */
fn queryPlace(h: u32, row: u32) -> u32 { return h / sizes.groupQ * sizes.queryHeads + row * sizes.queryRows; }
fn queryFour(place: u32, c: u32) -> vec4f { return q[place + c]; }
fn keyPlace(h: u32, row: u32) -> u32 { return h / sizes.groupK * sizes.keyHeads + row * sizes.keyRows; }
fn keyFour(place: u32, c: u32) -> vec4f { return k[place + c]; }
fn valuePlace(h: u32, row: u32) -> u32 { return h * sizes.valueHeads + row * sizes.valueRows; }
fn valueFour(place: u32, c: u32) -> vec4f { return v[place + c]; }
fn forgetPlace(h: u32, row: u32) -> u32 { return 0u; }
fn forgetFour(place: u32, c: u32) -> vec4f { return vec4f(); }
fn factorPlace(h: u32, row: u32) -> u32 { return 0u; }
/** What rows 4c to 4c + 3 of the state are multiplied by, or these columns if DECAYS is 3. */
fn factorFour(place: u32, c: u32) -> vec4f { return vec4f(1.0); }
fn recalledFour(h: u32, row: u32, c: u32) -> vec4f { return vec4f(); }
/** Columns 4c to 4c + 3 of row i of the state before chunk `slot`. */
fn stateFour(slot: u32, h: u32, i: u32, c: u32) -> vec4f {
  return kept[((slot * heads() + h) * width() + i) * quartersV() + c];
}
/** Stores column j of a row of y. */
fn write(h: u32, row: u32, j: u32, x: f32) { y[(h * starts[batch()] + row) * columns() + j] = x; }
/** The packed row at place `row` of sequence b's order, and the rows there of a factor, of forget, of r and of y. */
fn rowOf(b: u32, row: u32) -> u32 { return row; }
fn factorRow(b: u32, row: u32) -> u32 { return row; }
fn forgetRow(b: u32, row: u32) -> u32 { return row; }
fn recalledRow(b: u32, row: u32) -> u32 { return row; }
fn writeRow(b: u32, row: u32) -> u32 { return row; }
// --- end of parameters

const TILE = 2u * HALF;
/** For each row of a half, a number for each of the lane's four rows of the chunk, or four of its columns. */
alias Scores = array<vec4f, HALF>;
/** The columns that a lane owns. */
alias Columns = array<vec4f, PARTS>;
/** The columns that a lane holds of each row of the tile. */
alias Rows = array<array<vec4f, PIECES>, TILE>;

/** An upper bound on the tiles of the sequences before b. It grows with b. */
fn tilesBefore(b: u32) -> u32 { return starts[b] / TILE + b; }

/** The sequence of a tile, by binary search. */
fn sequenceOf(tile: u32) -> u32 {
  var low = 0u; var high = batch();
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (tilesBefore(middle) <= tile) { low = middle; } else { high = middle; }
  }
  return low;
}

/** The lane's `piece`-th `vec4f` of each row in a half. */
fn pieceOf(rows: ptr<function, Rows>, half: u32, piece: u32) -> Scores {
  var x: Scores;
  for (var r = 0u; r < HALF; r++) {
    x[r] = (*rows)[half * HALF + r][0];
    for (var p = 1u; p < PIECES; p++) { x[r] = select(x[r], (*rows)[half * HALF + r][p], piece == p); }
  }
  return x;
}

/** Adds products over the four columns that lane j holds. `keys`: these columns of the lane's four rows, transposed. */
fn multiply(scores: ptr<function, Scores>, piece: ptr<function, Scores>, j: u32, keys: mat4x4f) {
  for (var r = 0u; r < HALF; r++) {
    let x = subgroupShuffle((*piece)[r], j);
    (*scores)[r] = fma(vec4f(x.w), keys[3], fma(vec4f(x.z), keys[2],
      fma(vec4f(x.y), keys[1], fma(vec4f(x.x), keys[0], (*scores)[r]))));
  }
}

/** The same with keys that decay from row to row, by the factors that lane j holds. `own`: rows in the chunk. */
fn multiplyDecaying(
  scores: ptr<function, Scores>, piece: ptr<function, Scores>, factors: ptr<function, Scores>, first: u32, j: u32,
  own: vec4u, keys: ptr<function, mat4x4f>) {
  for (var r = 0u; r < HALF; r++) {
    let a = subgroupShuffle((*factors)[r], j); let x = subgroupShuffle((*piece)[r], j);
    let f = select(vec4f(), vec4f(1.0), own < vec4u(first + r)); let g = vec4f(1.0) - f;
    (*keys)[0] *= fma(f, vec4f(a.x), g);
    (*keys)[1] *= fma(f, vec4f(a.y), g);
    (*keys)[2] *= fma(f, vec4f(a.z), g);
    (*keys)[3] *= fma(f, vec4f(a.w), g);
    (*scores)[r] = fma(vec4f(x.w), (*keys)[3], fma(vec4f(x.z), (*keys)[2],
      fma(vec4f(x.y), (*keys)[1], fma(vec4f(x.x), (*keys)[0], (*scores)[r]))));
  }
}

/** The products of the factors from behind each of the lane's rows up to row t, from those up to row t − 1. */
fn decayed(products: vec4f, factor: f32, own: vec4u, t: u32) -> vec4f {
  return select(select(vec4f(), vec4f(1.0), own == vec4u(t)), products * factor, own < vec4u(t));
}

/** x times the factors; 0 if a factor is 0, whatever x is. */
fn kept0(x: vec4f, factors: vec4f) -> vec4f { return select(x * factors, vec4f(), factors == vec4f()); }

/** Adds the values of the four rows that lane j owns. */
fn addFour(
  added: ptr<function, array<Columns, HALF>>, weights: ptr<function, Scores>, j: u32, v0: Columns, v1: Columns,
  v2: Columns, v3: Columns) {
  for (var r = 0u; r < HALF; r++) {
    let w = subgroupShuffle((*weights)[r], j);
    for (var p = 0u; p < PARTS; p++) {
      (*added)[r][p] = fma(vec4f(w.w), v3[p], fma(vec4f(w.z), v2[p],
        fma(vec4f(w.y), v1[p], fma(vec4f(w.x), v0[p], (*added)[r][p]))));
    }
  }
}

/** Adds the values of the i-th of lane j's four rows; nothing if the weight is 0, because 0 · NaN would be NaN. */
fn addOne(added: ptr<function, array<Columns, HALF>>, weights: ptr<function, Scores>, j: u32, i: u32, value: Columns) {
  for (var r = 0u; r < HALF; r++) {
    let w = subgroupShuffle((*weights)[r], j)[i];
    for (var p = 0u; p < PARTS; p++) {
      (*added)[r][p] = fma(vec4f(w), select(value[p], vec4f(), w == 0.0), (*added)[r][p]);
    }
  }
}

/** Row r of both halves of a tile. */
fn rowAt(rows0: ptr<function, array<Columns, HALF>>, rows1: ptr<function, array<Columns, HALF>>, r: u32) -> Columns {
  var x = (*rows0)[0];
  for (var i = 1u; i < HALF; i++) {
    for (var p = 0u; p < PARTS; p++) { x[p] = select(x[p], (*rows0)[i][p], r == i); }
  }
  for (var i = 0u; i < HALF; i++) {
    for (var p = 0u; p < PARTS; p++) { x[p] = select(x[p], (*rows1)[i][p], r == HALF + i); }
  }
  return x;
}

fn valuesOf(h: u32, row: u32, c: u32) -> Columns {
  let place = valuePlace(h, row); var x: Columns;
  for (var p = 0u; p < PARTS; p++) { x[p] = valueFour(place, min(c + p * WIDTH, quartersV() - 1u)); }
  return x;
}

fn recalledOf(h: u32, row: u32, c: u32) -> Columns {
  var x: Columns;
  for (var p = 0u; p < PARTS; p++) { x[p] = recalledFour(h, row, min(c + p * WIDTH, quartersV() - 1u)); }
  return x;
}

fn stateOf(slot: u32, h: u32, i: u32, c: u32) -> Columns {
  var x: Columns;
  for (var p = 0u; p < PARTS; p++) {
    x[p] = stateFour(slot, h, min(i, width() - 1u), min(c + p * WIDTH, quartersV() - 1u));
  }
  return x;
}

/** The factors of the columns that the lane owns. */
fn columnFactorsOf(h: u32, row: u32, c: u32) -> Columns {
  let place = factorPlace(h, row); var x: Columns;
  for (var p = 0u; p < PARTS; p++) { x[p] = factorFour(place, min(c + p * WIDTH, quartersV() - 1u)); }
  return x;
}

/**
 * Adds the values of the i-th row of the tile, which decay from row to row, to a half whose first row is `first`;
 * `value` then holds the remainder.
 */
fn addDecaying(
  added: ptr<function, array<Columns, HALF>>, weights: ptr<function, Scores>,
  factors: ptr<function, array<Columns, TILE>>, first: u32, i: u32, value: ptr<function, Columns>) {
  for (var r = 0u; r < HALF; r++) {
    let w = subgroupShuffle((*weights)[r], i / 4u)[i % 4u];
    for (var p = 0u; p < PARTS; p++) {
      let a = select(vec4f(1.0), (*factors)[first + r][p], first + r > i);
      (*value)[p] = kept0((*value)[p], a);
      (*added)[r][p] = fma(vec4f(w), select((*value)[p], vec4f(), w == 0.0), (*added)[r][p]);
    }
  }
}

/** The places of the lane's four rows in operands. */
fn keysAt(h: u32, b: u32, rows: vec4u) -> vec4u {
  return vec4u(keyPlace(h, rowOf(b, rows.x)), keyPlace(h, rowOf(b, rows.y)), keyPlace(h, rowOf(b, rows.z)),
    keyPlace(h, rowOf(b, rows.w)));
}
fn forgetsAt(h: u32, b: u32, rows: vec4u) -> vec4u {
  return vec4u(forgetPlace(h, forgetRow(b, rows.x)), forgetPlace(h, forgetRow(b, rows.y)),
    forgetPlace(h, forgetRow(b, rows.z)), forgetPlace(h, forgetRow(b, rows.w)));
}
fn factorsAt(h: u32, b: u32, rows: vec4u) -> vec4u {
  return vec4u(factorPlace(h, factorRow(b, rows.x)), factorPlace(h, factorRow(b, rows.y)),
    factorPlace(h, factorRow(b, rows.z)), factorPlace(h, factorRow(b, rows.w)));
}

@compute @workgroup_size(WIDTH)
fn main(
  @builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32) {
  let n = group.x + group.y * groups.x; let tiles = groups.x * groups.y / (heads() * panels());
  let tile = n % tiles; let h = n / tiles / panels(); let column = n / tiles % panels() * PARTS * WIDTH + lane;
  let b = sequenceOf(tile); let first = starts[b] + (tile - tilesBefore(b)) * TILE;
  if (h >= heads() || first >= starts[b + 1u]) { return; }
  let filled = min(TILE, starts[b + 1u] - first); let last = first + filled - 1u;
  let chunk = (first - starts[b]) / CHUNK; let chunkFirst = starts[b] + chunk * CHUNK;
  let slot = starts[b] / CHUNK + b + chunk; let offset = first - chunkFirst;
  // The lane's four rows, counted from the first of the chunk, and where they are read.
  let own = vec4u(4u * lane) + vec4u(0u, 1u, 2u, 3u); let at = min(vec4u(chunkFirst) + own, vec4u(last));

  var queries: Rows; var factors: Rows;
  for (var r = 0u; r < filled; r++) {
    let place = queryPlace(h, rowOf(b, first + r)); let factorAt = factorPlace(h, factorRow(b, first + r));
    for (var p = 0u; p < PIECES; p++) {
      let c = min(p * WIDTH + lane, quarters() - 1u);
      queries[r][p] = queryFour(place, c) * scale();
      if (DECAYS == 2u) { factors[r][p] = factorFour(factorAt, c); }
    }
  }

  var scores0: Scores; var scores1: Scores; var erased0: Scores; var erased1: Scores;
  let keyAt = keysAt(h, b, at); let forgetAt = forgetsAt(h, b, at);
  for (var c = 0u; c < quarters(); c += WIDTH) {
    var piece0 = pieceOf(&queries, 0u, c / WIDTH); var piece1 = pieceOf(&queries, 1u, c / WIDTH);
    let count = min(WIDTH, quarters() - c);
    if (DECAYS == 2u) {
      var factor0 = pieceOf(&factors, 0u, c / WIDTH); var factor1 = pieceOf(&factors, 1u, c / WIDTH);
      for (var j = 0u; j < count; j++) {
        var keys = transpose(mat4x4f(keyFour(keyAt.x, c + j), keyFour(keyAt.y, c + j), keyFour(keyAt.z, c + j),
          keyFour(keyAt.w, c + j)));
        multiplyDecaying(&scores0, &piece0, &factor0, 0u, j, own, &keys);
        multiplyDecaying(&scores1, &piece1, &factor1, HALF, j, own, &keys);
        if (FORGETS == 1u) {
          var forgets = transpose(mat4x4f(forgetFour(forgetAt.x, c + j), forgetFour(forgetAt.y, c + j),
            forgetFour(forgetAt.z, c + j), forgetFour(forgetAt.w, c + j)));
          multiplyDecaying(&erased0, &piece0, &factor0, 0u, j, own, &forgets);
          multiplyDecaying(&erased1, &piece1, &factor1, HALF, j, own, &forgets);
        }
      }
    } else {
      for (var j = 0u; j < count; j++) {
        let keys = transpose(mat4x4f(keyFour(keyAt.x, c + j), keyFour(keyAt.y, c + j), keyFour(keyAt.z, c + j),
          keyFour(keyAt.w, c + j)));
        multiply(&scores0, &piece0, j, keys);
        multiply(&scores1, &piece1, j, keys);
        if (FORGETS == 1u) {
          let forgets = transpose(mat4x4f(forgetFour(forgetAt.x, c + j), forgetFour(forgetAt.y, c + j),
            forgetFour(forgetAt.z, c + j), forgetFour(forgetAt.w, c + j)));
          multiply(&erased0, &piece0, j, forgets);
          multiply(&erased1, &piece1, j, forgets);
        }
      }
    }
  }

  // What each row has of the lane's four, and of the state before the chunk.
  var ownFactors = vec4f(1.0);
  if (DECAYS == 1u) {
    let places = factorsAt(h, b, at);
    ownFactors = vec4f(factorFour(places.x, 0u).x, factorFour(places.y, 0u).x, factorFour(places.z, 0u).x,
      factorFour(places.w, 0u).x);
  }
  var products = vec4f(); var passed = 1.0;
  for (var u = 0u; u < offset; u += 4u) {
    let a = subgroupShuffle(ownFactors, u / 4u);
    products = decayed(decayed(products, a.x, own, u), a.y, own, u + 1u);
    products = decayed(decayed(products, a.z, own, u + 2u), a.w, own, u + 3u);
    passed *= a.x * a.y * (a.z * a.w);
  }
  for (var r = 0u; r < HALF; r++) {
    let a = subgroupShuffle(ownFactors, (offset + r) / 4u)[r % 4u];
    products = decayed(products, a, own, offset + r);
    passed *= a;
    scores0[r] = kept0(scores0[r], products);
    if (FORGETS == 1u) { erased0[r] = kept0(-erased0[r], products); }
    if (DECAYS == 1u) { for (var p = 0u; p < PIECES; p++) { queries[r][p] *= passed; } }
  }
  for (var r = 0u; r < HALF; r++) {
    let a = subgroupShuffle(ownFactors, (offset + HALF + r) / 4u)[r % 4u];
    products = decayed(products, a, own, offset + HALF + r);
    passed *= a;
    scores1[r] = kept0(scores1[r], products);
    if (FORGETS == 1u) { erased1[r] = kept0(-erased1[r], products); }
    if (DECAYS == 1u) { for (var p = 0u; p < PIECES; p++) { queries[HALF + r][p] *= passed; } }
  }
  if (DECAYS == 2u) {
    for (var p = 0u; p < PIECES; p++) {
      var all = vec4f(1.0);
      for (var r = 0u; r < TILE; r++) { all *= factors[r][p]; queries[r][p] *= all; }
    }
  }

  var added0: array<Columns, HALF>; var added1: array<Columns, HALF>;
  if (chunk > 0u || GIVEN == 1u) {
    for (var c = 0u; c < quarters(); c += WIDTH) {
      var piece0 = pieceOf(&queries, 0u, c / WIDTH); var piece1 = pieceOf(&queries, 1u, c / WIDTH);
      let count = min(WIDTH, quarters() - c);
      for (var j = 0u; j < count; j++) {
        let i = 4u * (c + j); let s0 = stateOf(slot, h, i, column); let s1 = stateOf(slot, h, i + 1u, column);
        let s2 = stateOf(slot, h, i + 2u, column); let s3 = stateOf(slot, h, i + 3u, column);
        addFour(&added0, &piece0, j, s0, s1, s2, s3);
        addFour(&added1, &piece1, j, s0, s1, s2, s3);
      }
    }
  }
  // A chunk is a tile, so that the tile's rows are all that precede a row in it.
  if (DECAYS == 3u) {
    var columnFactors: array<Columns, TILE>;
    for (var r = 0u; r < filled; r++) { columnFactors[r] = columnFactorsOf(h, factorRow(b, first + r), column); }
    for (var p = 0u; p < PARTS; p++) {
      var all = vec4f(1.0);
      for (var r = 0u; r < HALF; r++) { all *= columnFactors[r][p]; added0[r][p] = kept0(added0[r][p], all); }
      for (var r = 0u; r < HALF; r++) { all *= columnFactors[HALF + r][p]; added1[r][p] = kept0(added1[r][p], all); }
    }
    for (var i = 0u; i < filled; i++) {
      var value = valuesOf(h, rowOf(b, first + i), column);
      addDecaying(&added0, &scores0, &columnFactors, 0u, i, &value);
      addDecaying(&added1, &scores1, &columnFactors, HALF, i, &value);
      if (FORGETS == 1u) {
        var recalled = recalledOf(h, recalledRow(b, first + i), column);
        addDecaying(&added0, &erased0, &columnFactors, 0u, i, &recalled);
        addDecaying(&added1, &erased1, &columnFactors, HALF, i, &recalled);
      }
    }
  }
  for (var j = 0u; DECAYS != 3u && j < offset / 4u; j++) {
    let row = chunkFirst + 4u * j; let v0 = valuesOf(h, rowOf(b, row), column);
    let v1 = valuesOf(h, rowOf(b, row + 1u), column); let v2 = valuesOf(h, rowOf(b, row + 2u), column);
    let v3 = valuesOf(h, rowOf(b, row + 3u), column);
    addFour(&added0, &scores0, j, v0, v1, v2, v3);
    addFour(&added1, &scores1, j, v0, v1, v2, v3);
    if (FORGETS == 1u) {
      let r0 = recalledOf(h, recalledRow(b, row), column);
      let r1 = recalledOf(h, recalledRow(b, row + 1u), column);
      let r2 = recalledOf(h, recalledRow(b, row + 2u), column);
      let r3 = recalledOf(h, recalledRow(b, row + 3u), column);
      addFour(&added0, &erased0, j, r0, r1, r2, r3);
      addFour(&added1, &erased1, j, r0, r1, r2, r3);
    }
  }
  for (var i = offset; DECAYS != 3u && i < offset + filled; i++) {
    let value = valuesOf(h, rowOf(b, chunkFirst + i), column);
    addOne(&added0, &scores0, i / 4u, i % 4u, value);
    addOne(&added1, &scores1, i / 4u, i % 4u, value);
    if (FORGETS == 1u) {
      let recalled = recalledOf(h, recalledRow(b, chunkFirst + i), column);
      addOne(&added0, &erased0, i / 4u, i % 4u, recalled);
      addOne(&added1, &erased1, i / 4u, i % 4u, recalled);
    }
  }

  // The bound is no constant, so compilers do not unroll the loop, and the text has each load and store once.
  for (var r = 0u; r < filled; r++) {
    let x = rowAt(&added0, &added1, r); let row = writeRow(b, first + r);
    for (var p = 0u; p < PARTS; p++) {
      let j = 4u * (column + p * WIDTH);
      for (var i = 0u; i < 4u; i++) { if (j + i < columns()) { write(h, row, j + i, x[p][i]); } }
    }
  }
}
