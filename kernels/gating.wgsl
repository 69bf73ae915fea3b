// Operators around a choice of entries, row by row, in one dispatch: the k best entries, entries taken and added,
// maxima, sums and softmax over the last axis, and elementwise operators between them.
// Method: the values of a row are CELLS words of workgroup memory (cells). LANES invocations share a row and run its
// steps, which `compute` lists. A value may consist of several lists (groups of entries); then `width` of the lanes
// share each list. The k best entries are found one after the other: each is the best one that ranks after the one
// before. Then they are sorted by index.
// Grid: one workgroup for each ROWS rows.

// --- parameters
struct Sizes { rows: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> score: array<f32>;
@group(0) @binding(2) var<storage, read_write> index: array<u32>;
@group(0) @binding(3) var<storage, read_write> gate: array<f32>;
/** Invocations of a workgroup. */
const INVOCATIONS = 64u;
/** Invocations that share a row. */
const LANES = 64u;
/** Rows of a workgroup. */
const ROWS = 1u;
/** Cells of a row. */
const CELLS = 22u;
fn rowCount() -> u32 { return sizes.rows; }
/** The larger of two numbers; NaN if one is NaN. */
fn larger(a: f32, b: f32) -> f32 { return max(a, b); }
/** The smaller of two numbers; NaN if one is NaN. */
fn smaller(a: f32, b: f32) -> f32 { return min(a, b); }
/** The steps: here softmax over 8 scores, the 2 best, and their gates. */
fn compute(o: Own) {
  for (var i = o.lane; i < 8u; i += LANES) { keep(o, i, bitcast<u32>(score[o.row * 8u + i])); }
  meet();
  softmax(o, 0u, 8u, 1u, 8u, LANES);
  best(o, 8u, 16u, 18u, 1u, 8u, 2u, LANES);
  taken(o, 8u, 16u, 20u, 1u, 8u, 2u);
  for (var i = o.lane; i < 2u && o.exists; i += LANES) {
    index[o.row * 2u + i] = word(o, 16u + i);
    gate[o.row * 2u + i] = number(o, 20u + i);
  }
}
// --- end of parameters

/**
 * An invocation: its row, the row's index in the workgroup, its lane among the row's lanes, its index in the workgroup,
 * and whether the row exists.
 */
struct Own { row: u32, slot: u32, lane: u32, invocation: u32, exists: bool }

/** The maximum before the first element. */
const LOWEST = -3.4028234e38;

// The ways to combine two words.
const SUM = 0u;
const SUM_OF_WORDS = 1u;
const LARGEST = 2u;
const SMALLEST = 3u;

/** Cell c of row r of the workgroup: c · ROWS + r. */
var<workgroup> cells: array<u32, CELLS * ROWS>;
/** Each invocation's result, for the lanes that share its list. */
var<workgroup> parts: array<vec2u, INVOCATIONS>;

/** A cell of the row. */
fn word(o: Own, cell: u32) -> u32 { return cells[cell * ROWS + o.slot]; }
/** A cell of the row, as a number. */
fn number(o: Own, cell: u32) -> f32 { return bitcast<f32>(word(o, cell)); }
/** Stores a cell of the row. */
fn keep(o: Own, cell: u32, value: u32) { cells[cell * ROWS + o.slot] = value; }

/** If lanes share a row, each waits here for the others. */
fn meet() {
  if (LANES > 1u) { workgroupBarrier(); }
}

/** a and b, combined as `kind` says. */
fn combined(kind: u32, a: u32, b: u32) -> u32 {
  if (kind == SUM_OF_WORDS) { return a + b; }
  let x = bitcast<f32>(a);
  let y = bitcast<f32>(b);
  if (kind == SUM) { return bitcast<u32>(x + y); }
  if (kind == LARGEST) { return bitcast<u32>(larger(x, y)); }
  return bitcast<u32>(smaller(x, y));
}

/** The identity of `combined`: 0, or an infinity. */
fn beginning(kind: u32) -> u32 {
  if (kind == LARGEST) { return 0xff800000u; }
  return select(0u, 0x7f800000u, kind == SMALLEST);
}

/** Combines the results of the lanes that share a list. */
fn together(o: Own, kind: u32, found: u32, width: u32) -> u32 {
  parts[o.invocation].x = found;
  for (var half = width / 2u; half > 0u; half /= 2u) {
    meet();
    if (o.lane % width < half) {
      parts[o.invocation].x = combined(kind, parts[o.invocation].x, parts[o.invocation + half].x);
    }
  }
  meet();
  let all = parts[o.invocation - o.lane % width].x;
  meet();
  return all;
}

/** Cell to + l: the n cells of list l from x on, combined in blocks of 32. */
fn reduce(o: Own, kind: u32, x: u32, to: u32, lists: u32, n: u32, width: u32) {
  for (var first = 0u; first < lists; first += LANES / width) {
    let list = first + o.lane / width;
    let start = x + min(list, lists - 1u) * n;
    var total = beginning(kind);
    for (var begin = o.lane % width; begin < n; begin += 32u * width) {
      let end = min(begin + 32u * width, n);
      var part = beginning(kind);
      for (var e = begin; e < end; e += width) { part = combined(kind, part, word(o, start + e)); }
      total = combined(kind, total, part);
    }
    total = together(o, kind, total, width);
    if (o.lane % width == 0u && list < lists) { keep(o, to + list, total); }
  }
  meet();
}

/** The cells from `to` on: the softmax of each list from x on. */
fn softmax(o: Own, x: u32, to: u32, lists: u32, n: u32, width: u32) {
  for (var first = 0u; first < lists; first += LANES / width) {
    let list = first + o.lane / width;
    let start = min(list, lists - 1u) * n;
    var m = LOWEST;
    for (var e = o.lane % width; e < n; e += width) { m = larger(m, number(o, x + start + e)); }
    m = bitcast<f32>(together(o, LARGEST, bitcast<u32>(m), width));
    var sum = 0.0;
    for (var begin = o.lane % width; begin < n; begin += 32u * width) {
      let end = min(begin + 32u * width, n);
      var part = 0.0;
      for (var e = begin; e < end; e += width) { part += exp(number(o, x + start + e) - m); }
      sum += part;
    }
    sum = bitcast<f32>(together(o, SUM, bitcast<u32>(sum), width));
    let end = select(0u, n, list < lists);
    for (var e = o.lane % width; e < end; e += width) {
      keep(o, to + start + e, bitcast<u32>(exp(number(o, x + start + e) - m) / sum));
    }
  }
  meet();
}

/** An integer key in the order of the scores: NaN lowest, −0 as 0. */
fn keyOf(bits: u32) -> u32 {
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return 0u; }
  if (magnitude == 0u) { return 0x80000000u; }
  return bits ^ select(0x80000000u, 0xffffffffu, bits >= 0x80000000u);
}

/** Whether a ranks before b, as pairs of key and entry: the larger key, or of equal keys the lower entry. */
fn before(a: vec2u, b: vec2u) -> bool { return a.x > b.x || (a.x == b.x && a.y < b.y); }

/**
 * The cells from `to` on: the k best entries of each list, ascending. `ranked`: cells for these entries in order of
 * rank.
 */
fn best(o: Own, x: u32, ranked: u32, to: u32, lists: u32, n: u32, k: u32, width: u32) {
  for (var first = 0u; first < lists; first += LANES / width) {
    let list = first + o.lane / width;
    let lane = o.lane % width;
    let start = x + min(list, lists - 1u) * n;
    let own = list * k;
    var last = vec2u();
    for (var j = 0u; j < k; j++) {
      var found = vec2u(0u, n);
      for (var e = lane; e < n; e += width) {
        let entry = vec2u(keyOf(word(o, start + e)), e);
        if ((j == 0u || before(last, entry)) && before(entry, found)) { found = entry; }
      }
      parts[o.invocation] = found;
      for (var half = width / 2u; half > 0u; half /= 2u) {
        meet();
        if (lane < half && before(parts[o.invocation + half], parts[o.invocation])) {
          parts[o.invocation] = parts[o.invocation + half];
        }
      }
      meet();
      last = parts[o.invocation - lane];
      meet();
      if (lane == 0u && list < lists) { keep(o, ranked + own + j, last.y); }
    }
    meet();
    let end = select(0u, k, list < lists);
    for (var j = lane; j < end; j += width) {
      let entry = word(o, ranked + own + j);
      var place = 0u;
      for (var i = 0u; i < k; i++) { place += u32(word(o, ranked + own + i) < entry); }
      keep(o, to + own + place, entry);
    }
  }
  meet();
}

/**
 * The cells from `to` on, for each list: the entries whose cell is not 0, ascending; then n, once for each other entry.
 */
fn those(o: Own, x: u32, to: u32, lists: u32, n: u32) {
  for (var i = o.lane; i < lists * n; i += LANES) {
    let e = i % n;
    let start = i - e;
    var chosen = 0u;
    for (var other = 0u; other < e; other++) { chosen += word(o, x + start + other); }
    if (word(o, x + i) != 0u) {
      keep(o, to + start + chosen, e);
    } else {
      var all = chosen;
      for (var other = e; other < n; other++) { all += word(o, x + start + other); }
      keep(o, to + start + all + e - chosen, n);
    }
  }
  meet();
}

/** The cells from `to` on: the cells of each list's k entries; 0 if an index is not an entry. */
fn taken(o: Own, x: u32, entries: u32, to: u32, lists: u32, n: u32, k: u32) {
  for (var i = o.lane; i < lists * k; i += LANES) {
    let e = word(o, entries + i);
    var value = 0u;
    if (e < n) { value = word(o, x + (i / k) * n + e); }
    keep(o, to + i, value);
  }
  meet();
}

/** The cells from `to` on: the n cells of each list, combined with `update` at each of its k entries. */
fn added(o: Own, kind: u32, x: u32, entries: u32, update: u32, to: u32, lists: u32, n: u32, k: u32) {
  for (var i = o.lane; i < lists * n; i += LANES) {
    var value = word(o, x + i);
    let own = (i / n) * k;
    for (var j = own; j < own + k; j++) {
      if (word(o, entries + j) == i % n) { value = combined(kind, value, word(o, update + j)); }
    }
    keep(o, to + i, value);
  }
  meet();
}

@compute @workgroup_size(INVOCATIONS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) invocation: u32,
) {
  let first = (group.x + group.y * groups.x) * ROWS;
  if (first >= rowCount()) { return; }
  let slot = invocation / LANES;
  let row = first + slot;
  // Past the last row, the steps compute the last row again and store nothing.
  compute(Own(min(row, rowCount() - 1u), slot, invocation % LANES, invocation, row < rowCount()));
}
