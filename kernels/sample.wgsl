// tokens[b] = the token at w / 2^32 of the mass (the sum of weights) of the tokens that the filters keep, in token
// order. logProbabilities[b] = ln softmax(logits before adjustments)[tokens[b]]. w is the first word of
// philox(position, 0, 0, "samp"; seed of the sequence). Adjustments are bias and repetition penalty; then come
// temperature, top-k, top-p and min-p.
// Method: logits become integer keys of the same order (NaN highest, −0 as 0). Each filter keeps the keys from some
// bound on, so nothing is sorted. The first pass finds the largest key, and a bound that enough tokens reach for top-k:
// lanes form groups, and the bound is the smallest of the groups' largest keys. The second pass collects the tokens
// that reach it in workgroup memory. Histograms of 8 bits find the bounds of top-k and top-p among them. If the tokens
// do not fit there, the histograms go through the logits in memory. Weights are added as integers in units of 2^-40, so
// that the order makes no difference. The token is found in stretches of tokens that become narrower. With temperature
// 0, only the first pass runs.
// Grid: one workgroup for each sequence.

// --- parameters
struct Sizes { sequences: u32, vocabulary: u32, words: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> logits: array<u32>;
@group(0) @binding(2) var<storage, read> settings: array<f32>;
@group(0) @binding(3) var<storage, read> seeds: array<u32>;
@group(0) @binding(4) var<storage, read> positions: array<u32>;
@group(0) @binding(5) var<storage, read> bias: array<u32>;
@group(0) @binding(6) var<storage, read> seen: array<u32>;
@group(0) @binding(7) var<storage, read_write> tokens: array<u32>;
@group(0) @binding(8) var<storage, read_write> logProbabilities: array<u32>;
/** Lanes of a workgroup. */
const LANES = 256u;
fn sequences() -> u32 { return sizes.sequences; }
fn vocabulary() -> u32 { return sizes.vocabulary; }
fn words() -> u32 { return sizes.words; }
fn temperature(b: u32) -> f32 { return settings[b * 7u + 0u]; }
fn topK(b: u32) -> f32 { return settings[b * 7u + 1u]; }
fn topP(b: u32) -> f32 { return settings[b * 7u + 2u]; }
fn minP(b: u32) -> f32 { return settings[b * 7u + 3u]; }
fn repetitionPenalty(b: u32) -> f32 { return settings[b * 7u + 4u]; }
fn biased(b: u32) -> f32 { return settings[b * 7u + 5u]; }
fn logProbability(b: u32) -> f32 { return settings[b * 7u + 6u]; }
// --- end of parameters

/** The most tokens in `held`. */
const HELD = 1024u;
/** LANES values are combined in two steps: SQUARE lanes take every SQUARE-th value; one lane combines these. */
const SQUARE = 16u;
/** The key of NaN, and a token that does not exist. */
const NONE = 0xffffffffu;
const NAN_BITS = 0x7fc00000u;

// Workgroup memory:
//   low[bin], high[bin]   a histogram of 64-bit masses.
//   sums[lane]            a 64-bit sum of the lane, low word first; or its largest key and the token.
//   held[i]               key and token of the collected tokens, in no order.
//   reached, holding      the number of collected tokens, while and after they are collected.
//   found                 the result of `locate`.
var<workgroup> low: array<atomic<u32>, LANES>;
var<workgroup> high: array<atomic<u32>, LANES>;
var<workgroup> sums: array<vec2u, LANES>;
var<workgroup> held: array<vec2u, HELD>;
var<workgroup> reached: atomic<u32>;
var<workgroup> holding: u32;
var<workgroup> found: vec3u;

/** The sequence's first indices in `logits` and `seen`, and the adjustments of its logits. */
struct Row { logits: u32, words: u32, biased: bool, penalty: f32 }
/** Turns a key into a weight: the largest logit, 1 / temperature, and the least exponent that min-p keeps. */
struct Scale { largest: f32, inverse: f32, shortfall: f32 }
fn isFinite(bits: u32) -> bool { return (bits & 0x7f800000u) != 0x7f800000u; }

/** An integer key in the order of the logits: NaN highest, −0 as 0. */
fn keyOf(bits: u32) -> u32 {
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return NONE; }
  if (magnitude == 0u) { return 0x80000000u; }
  return bits ^ select(0x80000000u, 0xffffffffu, bits >= 0x80000000u);
}
fn bitsOf(key: u32) -> u32 { return key ^ select(0xffffffffu, 0x80000000u, key >= 0x80000000u); }

/** The bits of a + b. Infinities and NaN are handled by their bits: arithmetic may assume that there are none. */
fn sumOf(a: u32, b: u32) -> u32 {
  if (isFinite(a) && isFinite(b)) { return bitcast<u32>(bitcast<f32>(a) + bitcast<f32>(b)); }
  if ((a & 0x7fffffffu) > 0x7f800000u || isFinite(b)) { return a; }
  if (isFinite(a) || a == b) { return b; }
  return NAN_BITS;
}
/** The key of a logit without adjustments. */
fn plainKey(row: Row, token: u32) -> u32 { return keyOf(logits[row.logits + token]); }

/** The key of a logit with bias and repetition penalty. */
fn adjustedKey(row: Row, token: u32) -> u32 {
  var bits = logits[row.logits + token];
  if (row.biased) { bits = sumOf(bits, bias[row.logits + token]); }
  if (row.penalty != 1.0 && isFinite(bits) && ((seen[row.words + token / 32u] >> (token % 32u)) & 1u) == 1u) {
    let x = bitcast<f32>(bits);
    var y = x / row.penalty;
    if (x < 0.0) { y = x * row.penalty; }
    bits = bitcast<u32>(y);
  }
  return keyOf(bits);
}
// 64-bit integers, low word first.
fn plus(a: vec2u, b: vec2u) -> vec2u { let sum = a.x + b.x; return vec2u(sum, a.y + b.y + u32(sum < a.x)); }
fn minus(a: vec2u, b: vec2u) -> vec2u { return vec2u(a.x - b.x, a.y - b.y - u32(a.x < b.x)); }
fn below(a: vec2u, b: vec2u) -> bool { return a.y < b.y || (a.y == b.y && a.x < b.x); }

/** The upper 32 bits of a · b, from products of 16 bits. */
fn multiplyHigh(a: u32, b: u32) -> u32 {
  let ah = a >> 16u; let al = a & 0xffffu;
  let bh = b >> 16u; let bl = b & 0xffffu;
  let middle = ah * bl + ((al * bl) >> 16u);
  let lower = al * bh + (middle & 0xffffu);
  return ah * bh + (middle >> 16u) + (lower >> 16u);
}
/** mass · word / 2^32, rounded down. */
fn shareOf(mass: vec2u, word: u32) -> vec2u {
  return plus(vec2u(multiplyHigh(mass.x, word), 0u), vec2u(mass.y * word, multiplyHigh(mass.y, word)));
}
/** Philox4x32 with 10 rounds. */
fn philox(start: vec4u, key: vec2u) -> vec4u {
  var c = start;
  var k = key;
  for (var round = 0u; round < 10u; round++) {
    let high0 = multiplyHigh(0xd2511f53u, c.x);
    let high1 = multiplyHigh(0xcd9e8d57u, c.z);
    c = vec4u(high1 ^ c.y ^ k.x, 0xcd9e8d57u * c.z, high0 ^ c.w ^ k.y, 0xd2511f53u * c.x);
    k += vec2u(0x9e3779b9u, 0xbb67ae85u);
  }
  return c;
}
/** A weight from 0 to 1 in units of 2^-40, rounded down. */
fn massOf(weight: f32) -> vec2u {
  let scaled = weight * 256.0;
  let whole = u32(scaled);
  return vec2u(u32((scaled - f32(whole)) * 4294967296.0), whole);
}
/** (x − largest) / temperature for a key of at most the largest logit; at least −200, where the weight is 0. */
fn exponentOf(key: u32, scale: Scale) -> f32 {
  let bits = bitsOf(key);
  if (!isFinite(bits)) { return -200.0; }
  return max((bitcast<f32>(bits) - scale.largest) * scale.inverse, -200.0);
}
/** The weight of a key. */
fn weigh(key: u32, scale: Scale) -> vec2u { return massOf(exp(exponentOf(key, scale))); }
/** Whether the filters keep a key: it is at least `bound`, and min-p keeps it. */
fn passes(key: u32, bound: u32, scale: Scale) -> bool {
  return key >= bound && exponentOf(key, scale) >= scale.shortfall;
}
/** The larger key; of equal keys, the first token. */
fn better(a: vec2u, b: vec2u) -> vec2u { return select(a, b, b.x > a.x || (b.x == a.x && b.y < a.y)); }

/** The largest key of all lanes with its token; of equal keys, the first token. */
fn bestOf(lane: u32, own: vec2u) -> vec2u {
  sums[lane] = own;
  workgroupBarrier();
  if (lane < SQUARE) {
    var best = own;
    for (var i = lane + SQUARE; i < LANES; i += SQUARE) { best = better(best, sums[i]); }
    sums[lane] = best;
  }
  workgroupBarrier();
  if (lane == 0u) { for (var i = 1u; i < SQUARE; i++) { sums[0] = better(sums[0], sums[i]); } }
  return workgroupUniformLoad(&sums[0]);
}
/** The smallest of `groups` groups' largest keys: that many tokens reach it. `groups` is a multiple of SQUARE. */
fn boundOf(lane: u32, own: u32, groups: u32) -> u32 {
  sums[lane].x = own;
  workgroupBarrier();
  if (lane < groups) {
    for (var i = lane + groups; i < LANES; i += groups) { sums[lane].x = max(sums[lane].x, sums[i].x); }
  }
  workgroupBarrier();
  if (lane < SQUARE) {
    for (var i = lane + SQUARE; i < groups; i += SQUARE) { sums[lane].x = min(sums[lane].x, sums[i].x); }
  }
  workgroupBarrier();
  if (lane == 0u) { for (var i = 1u; i < SQUARE; i++) { sums[0].x = min(sums[0].x, sums[i].x); } }
  return workgroupUniformLoad(&sums[0]).x;
}
/** The sum over the lanes. */
fn totalOf(lane: u32, own: vec2u) -> vec2u {
  sums[lane] = own;
  workgroupBarrier();
  if (lane < SQUARE) {
    var sum = own;
    for (var i = lane + SQUARE; i < LANES; i += SQUARE) { sum = plus(sum, sums[i]); }
    sums[lane] = sum;
  }
  workgroupBarrier();
  if (lane == 0u) { for (var i = 1u; i < SQUARE; i++) { sums[0] = plus(sums[0], sums[i]); } }
  return workgroupUniformLoad(&sums[0]);
}
/** Adds a mass to a bin. */
fn add(bin: u32, mass: vec2u) {
  let before = atomicAdd(&low[bin], mass.x);
  let carried = mass.y + u32(before + mass.x < before);
  if (carried > 0u) { atomicAdd(&high[bin], carried); }
}
/** The sum of all bins. */
fn binned(lane: u32) -> vec2u {
  workgroupBarrier();
  return totalOf(lane, vec2u(atomicLoad(&low[lane]), atomicLoad(&high[lane])));
}
/** The bin in which the running sum of the bins passes the goal, and the rest of the goal there. Empties the bins. */
fn locate(lane: u32, goal: vec2u) -> vec3u {
  workgroupBarrier();
  if (lane < SQUARE) {
    var sum = vec2u();
    for (var i = lane * SQUARE; i < (lane + 1u) * SQUARE; i++) {
      sum = plus(sum, vec2u(atomicLoad(&low[i]), atomicLoad(&high[i])));
    }
    sums[lane] = sum;
  }
  workgroupBarrier();
  if (lane == 0u) {
    var rest = goal;
    var line = 0u;
    for (; line < SQUARE - 1u && !below(rest, sums[line]); line++) { rest = minus(rest, sums[line]); }
    var bin = line * SQUARE;
    for (; bin < (line + 1u) * SQUARE - 1u; bin++) {
      let own = vec2u(atomicLoad(&low[bin]), atomicLoad(&high[bin]));
      if (below(rest, own)) { break; }
      rest = minus(rest, own);
    }
    found = vec3u(bin, rest);
  }
  let at = workgroupUniformLoad(&found);
  atomicStore(&low[lane], 0u); atomicStore(&high[lane], 0u);
  workgroupBarrier();
  return at;
}
/** Key and token of entry i: of the held tokens if `few`, else of all tokens. */
fn entry(row: Row, few: bool, i: u32) -> vec2u { if (few) { return held[i]; } return vec2u(adjustedKey(row, i), i); }
/** Among keys from `bound` on, largest first: the one at which their mass (`byMass`) or number passes the goal. */
fn keyAt(lane: u32, row: Row, few: bool, count: u32, bound: u32, scale: Scale, byMass: bool, goal: vec2u) -> u32 {
  var key = 0u;
  var rest = goal;
  for (var shift = 32u; shift > 0u; ) {
    shift -= 8u;
    let known = select(0xffffffffu << (shift + 8u), 0u, shift == 24u);
    for (var i = lane; i < count; i += LANES) {
      let own = entry(row, few, i).x;
      if (own >= bound && (own & known) == key) {
        var mass = vec2u(1u, 0u);
        if (byMass) { mass = weigh(own, scale); }
        add(255u - ((own >> shift) & 255u), mass);
      }
    }
    let at = locate(lane, rest);
    key |= (255u - at.x) << shift; rest = at.yz;
  }
  return key;
}
/** The mass of the keys from `bound` on. */
fn massFrom(lane: u32, row: Row, few: bool, count: u32, bound: u32, scale: Scale) -> vec2u {
  var mass = vec2u();
  for (var i = lane; i < count; i += LANES) {
    let key = entry(row, few, i).x;
    if (key >= bound) { mass = plus(mass, weigh(key, scale)); }
  }
  return totalOf(lane, mass);
}
/** The largest integer below share · mass, or 0. Top-p keeps the largest keys until their mass passes it. */
fn lastOf(mass: vec2u, share: f32) -> vec2u {
  let word = u32(max(share, 0.0) * 4294967296.0);
  let whole = shareOf(mass, word);
  if (mass.x * word != 0u || (whole.x | whole.y) == 0u) { return whole; }
  return minus(whole, vec2u(1u, 0u));
}
/** Draws the token at word / 2^32 of the mass of all tokens that pass, in token order. */
fn draw(lane: u32, row: Row, few: bool, count: u32, bound: u32, scale: Scale, word: u32) -> u32 {
  var first = 0u;
  var end = vocabulary();
  var rest = vec2u();
  var started = false;
  while (!started || end - first > 1u) {
    let stretch = (end - first + LANES - 1u) / LANES;
    if (few) {
      for (var i = lane; i < count; i += LANES) {
        let own = held[i];
        if (own.y >= first && own.y < end && passes(own.x, bound, scale)) {
          add((own.y - first) / stretch, weigh(own.x, scale));
        }
      }
    } else {
      var mass = vec2u();
      let to = min(first + (lane + 1u) * stretch, end);
      for (var token = first + lane * stretch; token < to; token++) {
        let key = adjustedKey(row, token);
        if (passes(key, bound, scale)) { mass = plus(mass, weigh(key, scale)); }
      }
      add(lane, mass);
    }
    if (!started) { rest = shareOf(binned(lane), word); }
    started = true;
    let at = locate(lane, rest);
    first += at.x * stretch;
    end = min(first + stretch, end);
    rest = at.yz;
  }
  return first;
}
/** Collects in `held` the tokens that reach `bound` and that min-p keeps. Returns how many; maybe more than HELD. */
fn collect(lane: u32, row: Row, bound: u32, scale: Scale) -> u32 {
  for (var token = lane; token < vocabulary(); token += LANES) {
    let key = adjustedKey(row, token);
    if (passes(key, bound, scale)) {
      let slot = atomicAdd(&reached, 1u);
      if (slot < HELD) { held[slot] = vec2u(key, token); }
    }
  }
  workgroupBarrier();
  if (lane == 0u) { holding = atomicLoad(&reached); }
  return workgroupUniformLoad(&holding);
}

/** Draws a token of the sequence. `own`: the largest key that the lane has seen. */
fn drawFiltered(lane: u32, b: u32, row: Row, own: u32, largest: f32, word: u32) -> u32 {
  let all = vocabulary();
  let k = u32(clamp(topK(b), 0.0, 16777216.0));
  let byCount = k > 0u && k < all;
  let byMass = topP(b) < 1.0;
  let byShare = minP(b) > 0.0;
  let inverse = 1.0 / temperature(b);
  var scale = Scale(largest, inverse, -1e38);
  if (byShare) { scale.shortfall = min(log(minP(b)), 0.0); }
  if (!byCount && !byMass && !byShare) { return draw(lane, row, false, all, 0u, scale, word); }

  // If the vocabulary fits, all tokens are held. Else the tokens that top-k needs, or that top-p probably needs.
  var least = 0u;
  if (all > HELD && select(byMass, k <= 128u, byCount)) {
    least = boundOf(lane, own, select(128u, 64u, byCount && k <= 64u));
  }
  var few = false;
  var count = all;
  // If there is no bound and the vocabulary does not fit, nothing is collected.
  if (all <= HELD || least > 0u || (!byCount && !byMass)) {
    let narrow = Scale(largest, inverse, select(scale.shortfall, -1e38, byCount || byMass));
    count = collect(lane, row, least, narrow);
    few = count <= HELD;
    if (!few) { count = all; }
  }

  var bound = 0u;
  if (byCount) { bound = keyAt(lane, row, few, count, 0u, scale, false, vec2u(k - 1u, 0u)); }
  if (byMass) {
    let total = massFrom(lane, row, few && byCount, select(all, count, byCount), bound, scale);
    let goal = lastOf(total, topP(b));
    if (few && !byCount) {
      few = below(goal, massFrom(lane, row, true, count, 0u, scale));
      if (!few) { count = all; }
    }
    bound = keyAt(lane, row, few, count, bound, scale, true, goal);
  }
  return draw(lane, row, few, count, bound, scale, word);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let b = group.x + group.y * groups.x;
  if (b >= sequences()) { return; }
  let row = Row(b * vocabulary(), b * words(), biased(b) > 0.0, repetitionPenalty(b));
  let adjusts = row.biased || row.penalty != 1.0;

  // A lane without tokens loses to every other lane.
  var own = vec2u(0u, NONE);
  var plain = 0u;
  for (var token = lane; token < vocabulary(); token += LANES) {
    own = better(own, vec2u(adjustedKey(row, token), token));
    if (adjusts) { plain = max(plain, plainKey(row, token)); }
  }
  let best = bestOf(lane, own);
  var highest = best.x;
  if (adjusts) { highest = bestOf(lane, vec2u(plain, lane)).x; }

  var chosen = best.y;
  if (temperature(b) > 0.0 && isFinite(bitsOf(best.x))) {
    let word = philox(vec4u(positions[b], 0u, 0u, 0x73616d70u), vec2u(seeds[2u * b], seeds[2u * b + 1u])).x;
    chosen = drawFiltered(lane, b, row, own.x, bitcast<f32>(bitsOf(best.x)), word);
  }
  if (lane == 0u) { tokens[b] = chosen; }

  let noSum = !isFinite(bitsOf(highest));
  if (noSum || logProbability(b) <= 0.0) {
    if (lane == 0u) { logProbabilities[b] = select(0u, NAN_BITS, noSum); }
    return;
  }
  let scale = Scale(bitcast<f32>(bitsOf(highest)), 1.0, -1e38);
  var mass = vec2u();
  for (var token = lane; token < vocabulary(); token += LANES) {
    mass = plus(mass, weigh(plainKey(row, token), scale));
  }
  let total = totalOf(lane, mass);
  if (lane == 0u) {
    let bits = logits[row.logits + chosen];
    var result = 0xff800000u;
    if (isFinite(bits)) {
      result = bitcast<u32>(bitcast<f32>(bits) - scale.largest -
        log(f32(total.y) / 256.0 + f32(total.x) * 9.094947017729282e-13));
    }
    logProbabilities[b] = result;
  }
}
