// y[h, i] = Σ over j of w[j] · e(i, j) · v[g, j] / Σ over j of w[j] · e(i, j), with e(i, j) = exp(scale · q[h, i] ·
// k[g, j]), j over the keys that query i sees and whose weight is above 0; zeros where there are none.
// Method: as attention.wgsl. A key that weighs nothing is not seen, and the weights of others multiply exponentials.
// Grid: one workgroup for each tile and head of keys; tiles begin anew with each sequence.

// --- parameters
struct Sizes {
  sharedHeads: u32, groupSize: u32, batch: u32, quarters: u32, quartersV: u32, scale: f32,
  queryHeads: u32, queryRows: u32, keyHeads: u32, keyRows: u32, valueHeads: u32, valueRows: u32, resultHeads: u32,
    resultRows: u32,
}
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> k: array<vec4f>;
@group(0) @binding(3) var<storage, read> v: array<vec4f>;
@group(0) @binding(4) var<storage, read> rows: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4f>;
const LANES = 8u;
/** Queries of a tile; `vec4f` of its staged queries; `vec4f` columns of y in a lane. */
const TILE = 8u;
const STAGED = 128u;
const PARTS = 2u;
/** Key heads, and query heads per key head. */
fn sharedHeads() -> u32 { return sizes.sharedHeads; }
fn groupSize() -> u32 { return sizes.groupSize; }
fn batch() -> u32 { return sizes.batch; }
/** `vec4f` columns of q and k, and of v. */
fn quarters() -> u32 { return sizes.quarters; }
fn quartersV() -> u32 { return sizes.quartersV; }
fn scale() -> f32 { return sizes.scale; }
/** Four columns of a row of a head; zeros beyond the last. */
fn queryAt(head: u32, row: u32, c: u32) -> vec4f { return q[head * sizes.queryHeads + row * sizes.queryRows + c]; }
fn keyAt(head: u32, row: u32, c: u32) -> vec4f { return k[head * sizes.keyHeads + row * sizes.keyRows + c]; }
fn valueAt(head: u32, row: u32, c: u32) -> vec4f { return v[head * sizes.valueHeads + row * sizes.valueRows + c]; }
fn write(head: u32, row: u32, c: u32, x: vec4f) { y[head * sizes.resultHeads + row * sizes.resultRows + c] = x; }
fn sees(i: u32, j: u32) -> bool { return j <= i; }
/** Positions between which the keys lie that a query at this position may see. */
fn firstSeen(i: u32) -> u32 { return 0u; }
fn lastSeen(i: u32) -> u32 { return i; }
/** First rows of a sequence's queries and keys (entry `batch()` is the number of rows). Positions of rows. */
fn startQ(b: u32) -> u32 { return rows[b]; }
fn startK(b: u32) -> u32 { return rows[batch() + 1u + b]; }
fn positionQ(row: u32) -> u32 { return rows[2u * batch() + 2u + row]; }
fn positionK(row: u32) -> u32 { return rows[2u * batch() + 2u + startQ(batch()) + row]; }
/** The weight of a key. */
fn weightAt(row: u32) -> f32 {
  return bitcast<f32>(rows[2u * batch() + 2u + startQ(batch()) + startK(batch()) + row]);
}
/** Stores the log of a query's sum of weighted exponentials; the largest number if every key has weight 0. */
fn keep(head: u32, row: u32, lse: f32) {}
// --- end of parameters

const BLOCK = 4u * LANES;
const LOWEST = -3.4028234e38;
const HIGHEST = 3.4028234e38;
/** Scaled queries: columns 4c … of query r at c · TILE + r. */
var<workgroup> staged: array<vec4f, STAGED>;
/** Weights of a block, four keys together: those of lane l for query r at r · LANES + l. */
var<workgroup> weights: array<vec4f, TILE * LANES>;
/** A number of each lane for each query, and what they come to. */
var<workgroup> parts: array<f32, TILE * LANES>;
var<workgroup> whole: array<f32, TILE>;
/** Whether a query sees a key that weighs something: 1 or 0 by each lane, and by all. */
var<workgroup> flags: array<u32, TILE * LANES>;
var<workgroup> seen: array<u32, TILE>;

/** Tiles of the sequences before b, or a few more: by this a tile finds its sequence. */
fn tilesBefore(b: u32) -> u32 { return startQ(b) * groupSize() / TILE + b; }

fn sequenceOf(tile: u32) -> u32 {
  var low = 0u;
  var high = batch();
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (tilesBefore(middle) <= tile) { low = middle; } else { high = middle; }
  }
  return low;
}

/** The first key from `begin` to `end` whose position is at least this; else `end`. */
fn keyFrom(begin: u32, end: u32, position: u32) -> u32 {
  var low = begin;
  var high = end;
  while (low < high) {
    let middle = (low + high) / 2u;
    if (positionK(middle) < position) { low = middle + 1u; } else { high = middle; }
  }
  return low;
}

/** A weighted value and others; nothing of one that is not seen, be it infinite or NaN. */
fn share(weight: f32, v: vec4f, others: vec4f) -> vec4f {
  return fma(vec4f(weight), select(v, vec4f(), weight == 0.0), others);
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let n = group.x + group.y * groups.x;
  let tiles = groups.x * groups.y / sharedHeads();
  let head = n / tiles;
  let tile = n % tiles;
  let b = sequenceOf(tile);
  let firstQuery = startQ(b);
  let entries = (startQ(b + 1u) - firstQuery) * groupSize();
  let entry = (tile - tilesBefore(b)) * TILE;
  if (head >= sharedHeads() || entry >= entries) { return; }
  let last = min(entry + TILE, entries) - 1u;
  let begin = keyFrom(startK(b), startK(b + 1u), firstSeen(positionQ(firstQuery + entry / groupSize())));
  // No position is the largest number.
  let end = keyFrom(begin, startK(b + 1u), lastSeen(positionQ(firstQuery + last / groupSize())) + 1u);
  // Blocks lie alike in every tile, so a row has the same bits in each.
  let firstBlock = begin - (begin - startK(b)) % BLOCK;

  for (var i = lane; i < TILE * quarters(); i += LANES) {
    let e = min(entry + i % TILE, last);
    staged[i] = queryAt(head * groupSize() + e % groupSize(), firstQuery + e / groupSize(), i / TILE) * scale();
  }
  var positions: array<u32, TILE>;
  var best: array<f32, TILE>;
  var sums: array<f32, TILE>;
  var found: array<u32, TILE>;
  var added: array<array<vec4f, PARTS>, TILE>;
  for (var r = 0u; r < TILE; r++) {
    positions[r] = positionQ(firstQuery + min(entry + r, last) / groupSize());
    best[r] = LOWEST;
    sums[r] = 0.0;
    found[r] = 0u;
    for (var p = 0u; p < PARTS; p++) { added[r][p] = vec4f(); }
  }

  for (var block = firstBlock; block < end; block += BLOCK) {
    workgroupBarrier();
    // Scores of four keys a lane, and the largest of the block.
    let own = vec4u(block + 4u * lane) + vec4u(0u, 1u, 2u, 3u);
    let at = min(own, vec4u(end - 1u));
    var scores: array<vec4f, TILE>;
    for (var r = 0u; r < TILE; r++) { scores[r] = vec4f(); }
    for (var c = 0u; c < quarters(); c++) {
      let keys = transpose(mat4x4f(keyAt(head, at.x, c), keyAt(head, at.y, c), keyAt(head, at.z, c),
        keyAt(head, at.w, c)));
      for (var r = 0u; r < TILE; r++) {
        let x = staged[c * TILE + r];
        scores[r] = fma(vec4f(x.x), keys[0], fma(vec4f(x.y), keys[1],
          fma(vec4f(x.z), keys[2], fma(vec4f(x.w), keys[3], scores[r]))));
      }
    }
    let place = vec4u(positionK(at.x), positionK(at.y), positionK(at.z), positionK(at.w));
    let keyWeights = vec4f(weightAt(at.x), weightAt(at.y), weightAt(at.z), weightAt(at.w));
    let weighed = (own < vec4u(end)) & (keyWeights > vec4f());
    for (var r = 0u; r < TILE; r++) {
      let i = positions[r];
      let counts = weighed & vec4<bool>(sees(i, place.x), sees(i, place.y), sees(i, place.z), sees(i, place.w));
      found[r] |= u32(any(counts));
      scores[r] = select(vec4f(LOWEST), scores[r], counts);
      parts[r * LANES + lane] = max(max(scores[r].x, scores[r].y), max(scores[r].z, scores[r].w));
    }
    let filled = min((end - block + 3u) / 4u, LANES);
    workgroupBarrier();
    for (var r = lane; r < TILE; r += LANES) {
      var most = LOWEST;
      for (var l = 0u; l < filled; l++) { most = max(most, parts[r * LANES + l]); }
      whole[r] = most;
    }
    workgroupBarrier();

    // Weights relative to the largest score so far.
    for (var r = 0u; r < TILE; r++) {
      let most = max(best[r], whole[r]);
      let shrink = select(exp(best[r] - most), 1.0, best[r] == most);
      best[r] = most;
      let weight = select(keyWeights * exp(scores[r] - most), vec4f(), scores[r] == vec4f(LOWEST));
      weights[r * LANES + lane] = weight;
      sums[r] = fma(sums[r], shrink, (weight.x + weight.y) + (weight.z + weight.w));
      for (var p = 0u; p < PARTS; p++) { added[r][p] *= shrink; }
    }
    workgroupBarrier();

    // Values of the columns a lane owns, four keys at a time.
    for (var l = 0u; l < filled; l++) {
      let rows = min(vec4u(block + 4u * l) + vec4u(0u, 1u, 2u, 3u), vec4u(end - 1u));
      var w: array<vec4f, TILE>;
      for (var r = 0u; r < TILE; r++) { w[r] = weights[r * LANES + l]; }
      for (var p = 0u; p < PARTS; p++) {
        let c = min(p * LANES + lane, quartersV() - 1u);
        let v0 = valueAt(head, rows.x, c);
        let v1 = valueAt(head, rows.y, c);
        let v2 = valueAt(head, rows.z, c);
        let v3 = valueAt(head, rows.w, c);
        for (var r = 0u; r < TILE; r++) {
          added[r][p] = share(w[r].x, v0, share(w[r].y, v1, share(w[r].z, v2, share(w[r].w, v3, added[r][p]))));
        }
      }
    }
  }

  workgroupBarrier();
  for (var r = 0u; r < TILE; r++) {
    parts[r * LANES + lane] = sums[r];
    flags[r * LANES + lane] = found[r];
  }
  workgroupBarrier();
  for (var r = lane; r < TILE; r += LANES) {
    var total = 0.0;
    var some = 0u;
    for (var l = 0u; l < LANES; l++) {
      total += parts[r * LANES + l];
      some |= flags[r * LANES + l];
    }
    whole[r] = total;
    seen[r] = some;
  }
  workgroupBarrier();
  for (var r = 0u; r < TILE; r++) {
    let e = entry + r;
    if (e <= last) {
      let none = seen[r] == 0u;
      let inverse = select(1.0 / whole[r], 0.0, none);
      if (lane == 0u) {
        keep(head * groupSize() + e % groupSize(), firstQuery + e / groupSize(),
          select(best[r] + log(whole[r]), HIGHEST, none));
      }
      for (var p = 0u; p < PARTS; p++) {
        let c = p * LANES + lane;
        if (c < quartersV()) {
          write(head * groupSize() + e % groupSize(), firstQuery + e / groupSize(), c, added[r][p] * inverse);
        }
      }
    }
  }
}
