// W = (1 + A)⁻¹ · (p ⊙ at) and U = (1 + A)⁻¹ · B · v of each chunk, so that r[t] = at[t] · S_(t−1) is W[t] · S + U[t]
// for the state S before the chunk. A_ts = at[t] · (d_ts ⊙ forget[s]) and B_ts = at[t] · (d_ts ⊙ k[s]) for rows s
// before t, p_t the product of the factors of the chunk's rows before t, and d_ts that of the rows between s and t.
// Method: the compact form of a product of Householder factors (Bischof and Van Loan 1987; Yang et al. 2024, arXiv
// 2406.06484), by substitution: a subgroup goes through the tiles of its chunk. A lane owns columns of W or of U, and
// reads again those that it has stored.
// Grid: one subgroup for each chunk, head, and panel of columns of W and then of U.
enable subgroups;

// --- parameters
struct Sizes {
  heads: u32, batch: u32, panelsW: u32, panels: u32, quarters: u32, quartersV: u32, groupK: u32, keyHeads: u32,
    keyRows: u32, valueHeads: u32, valueRows: u32, forgetHeads: u32, forgetRows: u32, atHeads: u32, atRows: u32,
    through: u32, recalled: u32,
}
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> k: array<vec4f>;
@group(0) @binding(2) var<storage, read> v: array<vec4f>;
@group(0) @binding(3) var<storage, read> starts: array<u32>;
@group(0) @binding(4) var<storage, read> forget: array<vec4f>;
@group(0) @binding(5) var<storage, read> at: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> kept: array<vec4f>;
/** Lanes of a subgroup, which is a workgroup. */
const WIDTH = 8u;
/** Rows of half a tile. */
const HALF = 8u;
/** Rows of a chunk: whole tiles, at most four for each lane; a tile if each dimension has a decay. */
const CHUNK = 32u;
/** How many `vec4f` of a row of `at` a lane holds. */
const PIECES = 2u;
/** `vec4f` columns of W or of U that a lane owns. */
const PARTS = 2u;
/** 0 without decays, 1 with one for each row, 2 with one for each dimension. */
const DECAYS = 0u;
fn heads() -> u32 { return sizes.heads; }
fn batch() -> u32 { return sizes.batch; }
/** The number of workgroups that share the columns of W, and of W and U together. */
fn panelsW() -> u32 { return sizes.panelsW; }
fn panels() -> u32 { return sizes.panels; }
/** The `vec4f` columns of k and of v. */
fn quarters() -> u32 { return sizes.quarters; }
fn quartersV() -> u32 { return sizes.quartersV; }
/** The place of a row of each operand for head h of the result, and columns 4c to 4c + 3 from that place on. */
fn keyPlace(h: u32, row: u32) -> u32 { return h / sizes.groupK * sizes.keyHeads + row * sizes.keyRows; }
fn keyFour(place: u32, c: u32) -> vec4f { return k[place + c]; }
fn valuePlace(h: u32, row: u32) -> u32 { return h * sizes.valueHeads + row * sizes.valueRows; }
fn valueFour(place: u32, c: u32) -> vec4f { return v[place + c]; }
fn forgetPlace(h: u32, row: u32) -> u32 { return h * sizes.forgetHeads + row * sizes.forgetRows; }
fn forgetFour(place: u32, c: u32) -> vec4f { return forget[place + c]; }
fn atPlace(h: u32, row: u32) -> u32 { return h * sizes.atHeads + row * sizes.atRows; }
fn atFour(place: u32, c: u32) -> vec4f { return at[place + c]; }
fn factorPlace(h: u32, row: u32) -> u32 { return 0u; }
/** What rows 4c to 4c + 3 of the state are multiplied by. */
fn factorFour(place: u32, c: u32) -> vec4f { return vec4f(1.0); }
/** Columns 4c to 4c + 3 of a row of W, and of U. */
fn throughFour(h: u32, row: u32, c: u32) -> vec4f {
  return kept[sizes.through + (h * starts[batch()] + row) * quarters() + c];
}
fn keepThrough(h: u32, row: u32, c: u32, x: vec4f) {
  kept[sizes.through + (h * starts[batch()] + row) * quarters() + c] = x;
}
fn recalledFour(h: u32, row: u32, c: u32) -> vec4f {
  return kept[sizes.recalled + (h * starts[batch()] + row) * quartersV() + c];
}
fn keepRecalled(h: u32, row: u32, c: u32, x: vec4f) {
  kept[sizes.recalled + (h * starts[batch()] + row) * quartersV() + c] = x;
}
/** The packed row at place `row` of sequence b's order; the row of a factor, of forget and of r there. */
fn rowOf(b: u32, row: u32) -> u32 { return row; }
fn factorRow(b: u32, row: u32) -> u32 { return row; }
fn forgetRow(b: u32, row: u32) -> u32 { return row; }
fn atRow(b: u32, row: u32) -> u32 { return row; }
// --- end of parameters

const TILE = 2u * HALF;
/** For each row of a half, a number for each of the lane's four rows of the chunk, or four of its columns. */
alias Scores = array<vec4f, HALF>;
/** The columns that a lane owns. */
alias Columns = array<vec4f, PARTS>;
/** The columns that a lane holds of each row of the tile. */
alias Rows = array<array<vec4f, PIECES>, TILE>;

/** An upper bound on the chunks of the sequences before b. It grows with b. */
fn chunksBefore(b: u32) -> u32 { return starts[b] / CHUNK + b; }

/** The sequence of a chunk, by binary search. */
fn sequenceOf(chunk: u32) -> u32 {
  var low = 0u;
  var high = batch();
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (chunksBefore(middle) <= chunk) { low = middle; } else { high = middle; }
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

/**
 * Adds products over the four columns that lane j holds. `keys`: these columns of the lane's four rows, transposed.
 * With factors of dimensions they decay from row to row, after the row's product.
 */
fn multiply(
  scores: ptr<function, Scores>,
  piece: ptr<function, Scores>,
  factors: ptr<function, Scores>,
  first: u32,
  j: u32,
  own: vec4u,
  keys: ptr<function, mat4x4f>,
) {
  for (var r = 0u; r < HALF; r++) {
    let x = subgroupShuffle((*piece)[r], j);
    (*scores)[r] = fma(vec4f(x.w), (*keys)[3], fma(vec4f(x.z), (*keys)[2],
      fma(vec4f(x.y), (*keys)[1], fma(vec4f(x.x), (*keys)[0], (*scores)[r]))));
    if (DECAYS == 2u) {
      let a = subgroupShuffle((*factors)[r], j);
      let f = select(vec4f(), vec4f(1.0), own < vec4u(first + r));
      let g = vec4f(1.0) - f;
      (*keys)[0] *= fma(f, vec4f(a.x), g);
      (*keys)[1] *= fma(f, vec4f(a.y), g);
      (*keys)[2] *= fma(f, vec4f(a.z), g);
      (*keys)[3] *= fma(f, vec4f(a.w), g);
    }
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
  added: ptr<function, array<Columns, HALF>>,
  weights: ptr<function, Scores>,
  j: u32,
  v0: Columns,
  v1: Columns,
  v2: Columns,
  v3: Columns,
) {
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
  let place = valuePlace(h, row);
  var x: Columns;
  for (var p = 0u; p < PARTS; p++) { x[p] = valueFour(place, min(c + p * WIDTH, quartersV() - 1u)); }
  return x;
}

/** The columns of W or of U that the lane has stored. */
fn solvedOf(isThrough: bool, h: u32, b: u32, row: u32, c: u32) -> Columns {
  var x: Columns;
  for (var p = 0u; p < PARTS; p++) {
    if (isThrough) {
      x[p] = throughFour(h, row, min(c + p * WIDTH, quarters() - 1u));
    } else {
      x[p] = recalledFour(h, rowOf(b, row), min(c + p * WIDTH, quartersV() - 1u));
    }
  }
  return x;
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
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let n = group.x + group.y * groups.x;
  let chunks = groups.x * groups.y / (heads() * panels());
  let chunk = n % chunks;
  let h = n / chunks / panels();
  let panel = n / chunks % panels();
  let isThrough = panel < panelsW();
  let column = select(panel - panelsW(), panel, isThrough) * PARTS * WIDTH + lane;
  let b = sequenceOf(chunk);
  let first = starts[b] + (chunk - chunksBefore(b)) * CHUNK;
  if (h >= heads() || first >= starts[b + 1u]) { return; }
  let count = min(CHUNK, starts[b + 1u] - first);
  // The lane's four rows, counted from the first of the chunk, and where they are read.
  let own = vec4u(4u * lane) + vec4u(0u, 1u, 2u, 3u);
  let rows = min(vec4u(first) + own, vec4u(first + count - 1u));
  let keyAt = keysAt(h, b, rows);
  let forgetAt = forgetsAt(h, b, rows);
  var ownFactors = vec4f(1.0);
  if (DECAYS == 1u) {
    let places = factorsAt(h, b, rows);
    ownFactors = vec4f(factorFour(places.x, 0u).x, factorFour(places.y, 0u).x, factorFour(places.z, 0u).x,
      factorFour(places.w, 0u).x);
  }

  var products = vec4f();
  var passed = 1.0;
  for (var tile = 0u; tile < count; tile += TILE) {
    let filled = min(TILE, count - tile);
    var places: Rows;
    var factors: Rows;
    for (var r = 0u; r < filled; r++) {
      let placeAt = atPlace(h, atRow(b, first + tile + r));
      let factorAt = factorPlace(h, factorRow(b, first + tile + r));
      for (var p = 0u; p < PIECES; p++) {
        let c = min(p * WIDTH + lane, quarters() - 1u);
        places[r][p] = atFour(placeAt, c);
        if (DECAYS == 2u) { factors[r][p] = factorFour(factorAt, c); }
      }
    }

    // Rows of B, unless W is made, and of −A, without decays of rows.
    var scores0: Scores;
    var scores1: Scores;
    var erased0: Scores;
    var erased1: Scores;
    for (var r = 0u; r < HALF; r++) {
      scores0[r] = vec4f();
      scores1[r] = vec4f();
      erased0[r] = vec4f();
      erased1[r] = vec4f();
    }
    for (var c = 0u; c < quarters(); c += WIDTH) {
      var piece0 = pieceOf(&places, 0u, c / WIDTH);
      var piece1 = pieceOf(&places, 1u, c / WIDTH);
      var factor0 = pieceOf(&factors, 0u, c / WIDTH);
      var factor1 = pieceOf(&factors, 1u, c / WIDTH);
      let inPiece = min(WIDTH, quarters() - c);
      for (var j = 0u; j < inPiece; j++) {
        var forgets = transpose(mat4x4f(forgetFour(forgetAt.x, c + j), forgetFour(forgetAt.y, c + j),
          forgetFour(forgetAt.z, c + j), forgetFour(forgetAt.w, c + j)));
        multiply(&erased0, &piece0, &factor0, 0u, j, own, &forgets);
        multiply(&erased1, &piece1, &factor1, HALF, j, own, &forgets);
        if (!isThrough) {
          var keys = transpose(mat4x4f(keyFour(keyAt.x, c + j), keyFour(keyAt.y, c + j), keyFour(keyAt.z, c + j),
            keyFour(keyAt.w, c + j)));
          multiply(&scores0, &piece0, &factor0, 0u, j, own, &keys);
          multiply(&scores1, &piece1, &factor1, HALF, j, own, &keys);
        }
      }
    }

    var added0: array<Columns, HALF>;
    var added1: array<Columns, HALF>;
    for (var r = 0u; r < HALF; r++) {
      let a = subgroupShuffle(ownFactors, (tile + r) / 4u)[r % 4u];
      scores0[r] = kept0(scores0[r], products);
      erased0[r] = kept0(-erased0[r], products);
      for (var p = 0u; p < PARTS; p++) { added0[r][p] = vec4f(passed); }
      products = decayed(products, a, own, tile + r);
      passed *= a;
    }
    for (var r = 0u; r < HALF; r++) {
      let a = subgroupShuffle(ownFactors, (tile + HALF + r) / 4u)[r % 4u];
      scores1[r] = kept0(scores1[r], products);
      erased1[r] = kept0(-erased1[r], products);
      for (var p = 0u; p < PARTS; p++) { added1[r][p] = vec4f(passed); }
      products = decayed(products, a, own, tile + HALF + r);
      passed *= a;
    }
    if (isThrough) {
      for (var p = 0u; p < PARTS; p++) {
        let c = min(column + p * WIDTH, quarters() - 1u);
        var all = vec4f(1.0);
        for (var r = 0u; r < HALF; r++) {
          let row = first + min(tile + r, count - 1u);
          added0[r][p] = kept0(atFour(atPlace(h, atRow(b, row)), c), added0[r][p] * all);
          if (DECAYS == 2u) { all *= factorFour(factorPlace(h, factorRow(b, row)), c); }
        }
        for (var r = 0u; r < HALF; r++) {
          let row = first + min(tile + HALF + r, count - 1u);
          added1[r][p] = kept0(atFour(atPlace(h, atRow(b, row)), c), added1[r][p] * all);
          if (DECAYS == 2u) { all *= factorFour(factorPlace(h, factorRow(b, row)), c); }
        }
      }
    } else {
      for (var r = 0u; r < HALF; r++) {
        for (var p = 0u; p < PARTS; p++) {
          added0[r][p] = vec4f();
          added1[r][p] = vec4f();
        }
      }
      for (var j = 0u; 4u * j < tile; j++) {
        let row = first + 4u * j;
        let v0 = valuesOf(h, rowOf(b, row), column);
        let v1 = valuesOf(h, rowOf(b, row + 1u), column);
        let v2 = valuesOf(h, rowOf(b, row + 2u), column);
        let v3 = valuesOf(h, rowOf(b, row + 3u), column);
        addFour(&added0, &scores0, j, v0, v1, v2, v3);
        addFour(&added1, &scores1, j, v0, v1, v2, v3);
      }
      for (var i = tile; i < tile + filled; i++) {
        let value = valuesOf(h, rowOf(b, first + i), column);
        addOne(&added0, &scores0, i / 4u, i % 4u, value);
        addOne(&added1, &scores1, i / 4u, i % 4u, value);
      }
    }
    for (var j = 0u; 4u * j < tile; j++) {
      let row = first + 4u * j;
      let x0 = solvedOf(isThrough, h, b, row, column);
      let x1 = solvedOf(isThrough, h, b, row + 1u, column);
      let x2 = solvedOf(isThrough, h, b, row + 2u, column);
      let x3 = solvedOf(isThrough, h, b, row + 3u, column);
      addFour(&added0, &erased0, j, x0, x1, x2, x3);
      addFour(&added1, &erased1, j, x0, x1, x2, x3);
    }
    // Solves for the rows of the tile in turn. The bounds are no constants, so compilers do not unroll the loops.
    for (var r = 0u; r < min(HALF, filled); r++) {
      let solved = rowAt(&added0, &added1, r);
      addOne(&added0, &erased0, (tile + r) / 4u, r % 4u, solved);
      addOne(&added1, &erased1, (tile + r) / 4u, r % 4u, solved);
    }
    for (var r = HALF; r < filled; r++) {
      let solved = rowAt(&added0, &added1, r);
      addOne(&added1, &erased1, (tile + r) / 4u, r % 4u, solved);
    }

    for (var r = 0u; r < filled; r++) {
      let x = rowAt(&added0, &added1, r);
      let row = first + tile + r;
      for (var p = 0u; p < PARTS; p++) {
        let c = column + p * WIDTH;
        if (isThrough) {
          if (c < quarters()) { keepThrough(h, row, c, x[p]); }
        } else if (c < quartersV()) {
          keepRecalled(h, rowOf(b, row), c, x[p]);
        }
      }
    }
  }
}
