// S' = p ⊙ S + Σ over the rows t of a chunk of (e_t ⊙ k[t]) · v[t] − (e_t ⊙ forget[t]) · r[t], chunk by chunk: the
// states before all chunks, and the last one. p is the product of the factors of the chunk's rows, e_t that of the rows
// behind t. Before, if rows forget: r[t] = W[t] · S + U[t], with the W and U of `linear_attention_recalls.wgsl`.
// Method: the chunked form (Yang et al. 2024, arXiv 2406.06484). A lane owns columns of the state, which depend on no
// others; tiles of its rows are sums over the rows of the chunk, of which a lane holds four.
// Grid: one subgroup for each sequence, head, panel of columns and, without forget, tile of rows of the state.
enable subgroups;

// --- parameters
struct Sizes {
  heads: u32, batch: u32, panels: u32, width: u32, quarters: u32, quartersV: u32, groupK: u32, keyHeads: u32,
    keyRows: u32, valueHeads: u32, valueRows: u32,
}
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> k: array<vec4f>;
@group(0) @binding(2) var<storage, read> v: array<vec4f>;
@group(0) @binding(3) var<storage, read> starts: array<u32>;
@group(0) @binding(4) var<storage, read_write> kept: array<vec4f>;
/** Lanes of a subgroup, which is a workgroup. */
const WIDTH = 8u;
/** Rows of half a tile. */
const HALF = 8u;
/** Rows of a chunk, at most four for each lane. */
const CHUNK = 32u;
/** How many `vec4f` of a row of W a lane holds. */
const PIECES = 2u;
/** `vec4f` columns of v that a lane owns. */
const PARTS = 2u;
/** 0 without decays, 1 with one for each row, 2 with one for each row of the state, 3 with one for each column. */
const DECAYS = 0u;
/** 1 if there is forget, and 1 if r is to be made by W and U. */
const FORGETS = 0u;
const RECALLS = 0u;
/** 1 if sequences begin with a given state, and the last one is stored. */
const GIVEN = 0u;
/** Workgroups that share the rows of a state. */
const SPLIT = 4u;
fn heads() -> u32 { return sizes.heads; }
fn batch() -> u32 { return sizes.batch; }
/** Workgroups that share the columns of a state. */
fn panels() -> u32 { return sizes.panels; }
/** Columns of k, and the `vec4f` columns of k and of v. */
fn width() -> u32 { return sizes.width; }
fn quarters() -> u32 { return sizes.quarters; }
fn quartersV() -> u32 { return sizes.quartersV; }
/** The place of a row of each operand for head h of the result, and columns 4c to 4c + 3 from that place on. */
fn keyPlace(h: u32, row: u32) -> u32 { return h / sizes.groupK * sizes.keyHeads + row * sizes.keyRows; }
fn keyFour(place: u32, c: u32) -> vec4f { return k[place + c]; }
fn valuePlace(h: u32, row: u32) -> u32 { return h * sizes.valueHeads + row * sizes.valueRows; }
fn valueFour(place: u32, c: u32) -> vec4f { return v[place + c]; }
fn forgetPlace(h: u32, row: u32) -> u32 { return 0u; }
fn forgetFour(place: u32, c: u32) -> vec4f { return vec4f(); }
fn factorPlace(h: u32, row: u32) -> u32 { return 0u; }
/** What rows 4c to 4c + 3 of the state are multiplied by, or these columns if DECAYS is 3. */
fn factorFour(place: u32, c: u32) -> vec4f { return vec4f(1.0); }
/** Columns 4c to 4c + 3 of a row of W and of U; `keepRecalled` stores r in place of U. */
fn throughFour(h: u32, row: u32, c: u32) -> vec4f { return vec4f(); }
fn recalledFour(h: u32, row: u32, c: u32) -> vec4f { return vec4f(); }
fn keepRecalled(h: u32, row: u32, c: u32, x: vec4f) {}
/** Columns 4c to 4c + 3 of row i of the state before chunk `slot`. */
fn stateFour(slot: u32, h: u32, i: u32, c: u32) -> vec4f {
  return kept[((slot * heads() + h) * width() + i) * quartersV() + c];
}
fn keepState(slot: u32, h: u32, i: u32, c: u32, x: vec4f) {
  kept[((slot * heads() + h) * width() + i) * quartersV() + c] = x;
}
/** The same of the state that sequence b begins with, and of its last. */
fn givenFour(b: u32, h: u32, i: u32, c: u32) -> vec4f { return vec4f(); }
fn keepLast(b: u32, h: u32, i: u32, c: u32, x: vec4f) {}
/** The packed row at place `row` of sequence b's order; the row of a factor, of forget and of r there. */
fn rowOf(b: u32, row: u32) -> u32 { return row; }
fn factorRow(b: u32, row: u32) -> u32 { return row; }
fn forgetRow(b: u32, row: u32) -> u32 { return row; }
fn recalledRow(b: u32, row: u32) -> u32 { return row; }
// --- end of parameters

const TILE = 2u * HALF;
/** For each row of a half, a number for each of the lane's four rows of the chunk, or four columns of W. */
alias Scores = array<vec4f, HALF>;
/** The columns that a lane owns. */
alias Columns = array<vec4f, PARTS>;
/** The columns that a lane holds of each row of the tile. */
alias Rows = array<array<vec4f, PIECES>, TILE>;

/** The lane's `piece`-th `vec4f` of each row in a half. */
fn pieceOf(rows: ptr<function, Rows>, half: u32, piece: u32) -> Scores {
  var x: Scores;
  for (var r = 0u; r < HALF; r++) {
    x[r] = (*rows)[half * HALF + r][0];
    for (var p = 1u; p < PIECES; p++) { x[r] = select(x[r], (*rows)[half * HALF + r][p], piece == p); }
  }
  return x;
}

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

/** Adds the values of the i-th of lane j's four rows. */
fn addOne(added: ptr<function, array<Columns, HALF>>, weights: ptr<function, Scores>, j: u32, i: u32, value: Columns) {
  for (var r = 0u; r < HALF; r++) {
    let w = subgroupShuffle((*weights)[r], j)[i];
    for (var p = 0u; p < PARTS; p++) { (*added)[r][p] = fma(vec4f(w), value[p], (*added)[r][p]); }
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
  let place = factorPlace(h, row);
  var x: Columns;
  for (var p = 0u; p < PARTS; p++) { x[p] = factorFour(place, min(c + p * WIDTH, quartersV() - 1u)); }
  return x;
}

/** x times factors; 0 where a factor is 0, whatever x is. */
fn reduced(x: Columns, factors: Columns) -> Columns {
  var y: Columns;
  for (var p = 0u; p < PARTS; p++) { y[p] = select(x[p] * factors[p], vec4f(), factors[p] == vec4f()); }
  return y;
}

/** Columns 4c to 4c + 3 of the lane's four rows of an operand, transposed: for each column its four rows. */
fn keysOf(at: vec4u, c: u32) -> mat4x4f {
  return transpose(mat4x4f(keyFour(at.x, c), keyFour(at.y, c), keyFour(at.z, c), keyFour(at.w, c)));
}
fn forgetsOf(at: vec4u, c: u32) -> mat4x4f {
  return transpose(mat4x4f(forgetFour(at.x, c), forgetFour(at.y, c), forgetFour(at.z, c), forgetFour(at.w, c)));
}
fn factorsOf(at: vec4u, c: u32) -> mat4x4f {
  return transpose(mat4x4f(factorFour(at.x, c), factorFour(at.y, c), factorFour(at.z, c), factorFour(at.w, c)));
}

/** Factors of rows in the chunk. */
struct Decay {
  /** For each of the lane's four rows, the product of the factors of the rows behind it. */
  behind: vec4f,
  /** The product of all. */
  all: f32,
}

/** `factors`: of the lane's four rows. */
fn decayOf(factors: vec4f, lane: u32) -> Decay {
  let last = factors.z * factors.w;
  let product = factors.x * factors.y * last;
  var all = 1.0;
  var behind = 1.0;
  for (var j = CHUNK / 4u; j > 0u; j--) {
    behind = select(behind, all, lane == j - 1u);
    all *= subgroupShuffle(product, j - 1u);
  }
  return Decay(vec4f(factors.y * last, last, factors.w, 1.0) * behind, all);
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
  let column = n % panels() * PARTS * WIDTH + lane;
  let share = n / panels() % SPLIT;
  let h = n / panels() / SPLIT % heads();
  let b = n / panels() / SPLIT / heads();
  if (b >= batch()) { return; }
  let begin = starts[b];
  let end = starts[b + 1u];
  if (begin >= end) { return; }
  let chunks = (end - begin + CHUNK - 1u) / CHUNK;
  let firstSlot = begin / CHUNK + b;
  // The rows of the state that the workgroup makes.
  let each = ((width() + TILE - 1u) / TILE + SPLIT - 1u) / SPLIT * TILE;
  let firstRow = min(share * each, width());
  let behindRow = min(firstRow + each, width());
  for (var i = firstRow; i < behindRow; i++) {
    for (var p = 0u; p < PARTS; p++) {
      let c = column + p * WIDTH;
      if (c < quartersV()) { keepState(firstSlot, h, i, c, givenFour(b, h, i, c)); }
    }
  }
  let own = vec4u(4u * lane) + vec4u(0u, 1u, 2u, 3u);

  for (var chunk = 0u; chunk < chunks; chunk++) {
    let first = begin + chunk * CHUNK;
    let count = min(CHUNK, end - first);
    let slot = firstSlot + chunk;
    if (RECALLS == 1u) {
      for (var tile = 0u; tile < count; tile += TILE) {
        let filled = min(TILE, count - tile);
        var through: Rows;
        for (var r = 0u; r < filled; r++) {
          for (var p = 0u; p < PIECES; p++) {
            through[r][p] = throughFour(h, first + tile + r, min(p * WIDTH + lane, quarters() - 1u));
          }
        }
        var added0: array<Columns, HALF>;
        var added1: array<Columns, HALF>;
        for (var r = 0u; r < HALF; r++) {
          for (var p = 0u; p < PARTS; p++) {
            added0[r][p] = vec4f();
            added1[r][p] = vec4f();
          }
        }
        for (var c = 0u; c < quarters(); c += WIDTH) {
          var piece0 = pieceOf(&through, 0u, c / WIDTH);
          var piece1 = pieceOf(&through, 1u, c / WIDTH);
          let inPiece = min(WIDTH, quarters() - c);
          for (var j = 0u; j < inPiece; j++) {
            let i = 4u * (c + j);
            let s0 = stateOf(slot, h, i, column);
            let s1 = stateOf(slot, h, i + 1u, column);
            let s2 = stateOf(slot, h, i + 2u, column);
            let s3 = stateOf(slot, h, i + 3u, column);
            addFour(&added0, &piece0, j, s0, s1, s2, s3);
            addFour(&added1, &piece1, j, s0, s1, s2, s3);
          }
        }
        // The bound is no constant, so compilers do not unroll the loop, and the text has each load and store once.
        for (var r = 0u; r < filled; r++) {
          let x = rowAt(&added0, &added1, r);
          let row = rowOf(b, first + tile + r);
          for (var p = 0u; p < PARTS; p++) {
            let c = column + p * WIDTH;
            if (c < quartersV()) { keepRecalled(h, row, c, recalledFour(h, row, c) + x[p]); }
          }
        }
      }
    }
    if (GIVEN == 0u && chunk + 1u == chunks) { return; }

    let at = min(vec4u(first) + own, vec4u(first + count - 1u));
    let exists = own < vec4u(count);
    let keyAt = keysAt(h, b, at);
    let forgetAt = forgetsAt(h, b, at);
    let factorAt = factorsAt(h, b, at);
    var decay = Decay(vec4f(1.0), 1.0);
    if (DECAYS == 1u) { decay = decayOf(select(vec4f(1.0), factorsOf(factorAt, 0u)[0], exists), lane); }
    for (var i = firstRow; i < behindRow; i += TILE) {
      var weights0: Scores;
      var weights1: Scores;
      var erased0: Scores;
      var erased1: Scores;
      var all: array<f32, TILE>;
      for (var f = 0u; f < TILE / 4u; f++) {
        let c = min(i / 4u + f, quarters() - 1u);
        let keys = keysOf(keyAt, c);
        let forgets = forgetsOf(forgetAt, c);
        let factors = factorsOf(factorAt, c);
        for (var r = 0u; r < 4u; r++) {
          if (DECAYS == 2u) { decay = decayOf(select(vec4f(1.0), factors[r], exists), lane); }
          let none = !exists | (decay.behind == vec4f());
          let key = select(keys[r] * decay.behind, vec4f(), none);
          let forget = select(-forgets[r] * decay.behind, vec4f(), none);
          let place = (4u * f + r) % HALF;
          all[4u * f + r] = decay.all;
          if (4u * f < HALF) {
            weights0[place] = key;
            erased0[place] = forget;
          } else {
            weights1[place] = key;
            erased1[place] = forget;
          }
        }
      }
      var added0: array<Columns, HALF>;
      var added1: array<Columns, HALF>;
      for (var r = 0u; r < HALF; r++) {
        for (var p = 0u; p < PARTS; p++) {
          added0[r][p] = vec4f();
          added1[r][p] = vec4f();
        }
      }
      var behind: Columns;
      for (var p = 0u; p < PARTS; p++) { behind[p] = vec4f(1.0); }
      if (DECAYS == 3u) {
        // From the last row to the first: `behind` is the product of the factors of the rows behind a row.
        for (var n = count; n > 0u; n--) {
          let row = first + n - 1u;
          let value = reduced(valuesOf(h, rowOf(b, row), column), behind);
          addOne(&added0, &weights0, (n - 1u) / 4u, (n - 1u) % 4u, value);
          addOne(&added1, &weights1, (n - 1u) / 4u, (n - 1u) % 4u, value);
          if (FORGETS == 1u) {
            let recalled = reduced(recalledOf(h, recalledRow(b, row), column), behind);
            addOne(&added0, &erased0, (n - 1u) / 4u, (n - 1u) % 4u, recalled);
            addOne(&added1, &erased1, (n - 1u) / 4u, (n - 1u) % 4u, recalled);
          }
          behind = reduced(behind, columnFactorsOf(h, factorRow(b, row), column));
        }
      }
      for (var j = 0u; DECAYS != 3u && 4u * j < count; j++) {
        let row = first + 4u * j;
        let most = first + count - 1u;
        let v0 = valuesOf(h, rowOf(b, row), column);
        let v1 = valuesOf(h, rowOf(b, min(row + 1u, most)), column);
        let v2 = valuesOf(h, rowOf(b, min(row + 2u, most)), column);
        let v3 = valuesOf(h, rowOf(b, min(row + 3u, most)), column);
        addFour(&added0, &weights0, j, v0, v1, v2, v3);
        addFour(&added1, &weights1, j, v0, v1, v2, v3);
        if (FORGETS == 1u) {
          let r0 = recalledOf(h, recalledRow(b, row), column);
          let r1 = recalledOf(h, recalledRow(b, min(row + 1u, most)), column);
          let r2 = recalledOf(h, recalledRow(b, min(row + 2u, most)), column);
          let r3 = recalledOf(h, recalledRow(b, min(row + 3u, most)), column);
          addFour(&added0, &erased0, j, r0, r1, r2, r3);
          addFour(&added1, &erased1, j, r0, r1, r2, r3);
        }
      }
      for (var r = 0u; r < min(TILE, behindRow - i); r++) {
        let x = rowAt(&added0, &added1, r);
        let before = reduced(stateOf(slot, h, i + r, column), behind);
        for (var p = 0u; p < PARTS; p++) {
          let c = column + p * WIDTH;
          let y = x[p] + select(all[r] * before[p], vec4f(), all[r] == 0.0);
          if (c < quartersV()) {
            if (chunk + 1u < chunks) { keepState(slot + 1u, h, i + r, c, y); } else { keepLast(b, h, i + r, c, y); }
          }
        }
      }
    }
  }
}
