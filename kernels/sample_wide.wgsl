// tokens[b] = the token at w / 2^32 of the mass (the sum of weights) of the tokens that the filters keep, in token
// order. logProbabilities[b] = ln softmax(logits before adjustments)[tokens[b]]. w is the first word of
// philox(position, 0, 0, "samp"; seed of the sequence). Adjustments are bias and repetition penalty; then come
// temperature, top-k, top-p and min-p.
// Method: the same tokens as in sample.wgsl, for GPUs. Each lane has AT_ONCE logits in flight, and neighbouring lanes
// load neighbouring logits. All lanes together find the bin of a goal, by sums over lines of SPAN bins. If the token is
// drawn from a large vocabulary, bins are lines at first: sixteen stretches of tokens, each with SPAN bins, so that
// lanes do not collide in one bin.
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
/** Lanes of a workgroup: a multiple of BINS, at most HELD. */
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

/** BINS: bins of an 8-bit histogram. SPAN: bins of a line. */
const BINS = 256u; const SPAN = 16u;
/** Logits that a lane has in flight. */
const AT_ONCE = 8u;
/** HELD: the most tokens in `held`. MEETING: lanes that combine results first. */
const HELD = 1024u; const MEETING = 32u;
/** The key of NaN, and a token that does not exist. */
const NONE = 0xffffffffu; const NAN_BITS = 0x7fc00000u;
/** Less than any exponent. */
const LEAST = -1e38;

// Workgroup memory:
//   low[bin], high[bin]       a histogram of 64-bit masses. `sums` is a copy, with the low word first.
//   lines[line], whole        the sum of a line of bins, and of all bins.
//   held[i]                   key and token of the collected tokens, in no order; before, a number of each lane.
//   reached, most, found      the number of collected tokens, the largest `other` of `bestOf`, and a function's result.
var<workgroup> low: array<atomic<u32>, BINS>; var<workgroup> high: array<atomic<u32>, BINS>;
var<workgroup> sums: array<array<vec2u, SPAN>, BINS / SPAN>;
var<workgroup> lines: array<vec2u, SPAN>;
var<workgroup> held: array<vec2u, HELD>;
var<workgroup> reached: atomic<u32>; var<workgroup> most: atomic<u32>;
var<workgroup> whole: vec2u; var<workgroup> found: vec3u;

/** The sequence's first indices in `logits` and `seen`, and the adjustments of its logits. */
struct Row { logits: u32, words: u32, biased: bool, penalty: f32 }
/** Turns a key into a weight: the largest logit, 1 / temperature, and the least exponent that min-p keeps. */
struct Scale { largest: f32, inverse: f32, shortfall: f32 }
fn isFinite(bits: u32) -> bool { return (bits & 0x7f800000u) != 0x7f800000u; }

/** An integer key in the order of the logits: NaN highest, −0 as 0. */
fn keyOf(bits: u32) -> u32 {
  let magnitude = bits & 0x7fffffffu;
  let key = select(bits ^ select(0x80000000u, 0xffffffffu, bits >= 0x80000000u), 0x80000000u, magnitude == 0u);
  return select(key, NONE, magnitude > 0x7f800000u);
}
fn bitsOf(key: u32) -> u32 { return key ^ select(0xffffffffu, 0x80000000u, key >= 0x80000000u); }

/** The bits of a + b. Infinities and NaN are handled by their bits: arithmetic may assume that there are none. */
fn sumOf(a: u32, b: u32) -> u32 {
  let sum = bitcast<u32>(bitcast<f32>(a) + bitcast<f32>(b));
  let known = (a & 0x7fffffffu) > 0x7f800000u || isFinite(b);
  let other = select(select(NAN_BITS, b, isFinite(a) || a == b), a, known);
  return select(other, sum, isFinite(a) && isFinite(b));
}
// 64-bit integers, low word first.
fn plus(a: vec2u, b: vec2u) -> vec2u { let sum = a.x + b.x; return vec2u(sum, a.y + b.y + u32(sum < a.x)); }
fn minus(a: vec2u, b: vec2u) -> vec2u { return vec2u(a.x - b.x, a.y - b.y - u32(a.x < b.x)); }
fn below(a: vec2u, b: vec2u) -> bool { return a.y < b.y || (a.y == b.y && a.x < b.x); }

/** The upper 32 bits of a · b, from products of 16 bits. */
fn multiplyHigh(a: u32, b: u32) -> u32 {
  let ah = a >> 16u; let al = a & 0xffffu; let bh = b >> 16u; let bl = b & 0xffffu;
  let middle = ah * bl + ((al * bl) >> 16u);
  return ah * bh + (middle >> 16u) + ((al * bh + (middle & 0xffffu)) >> 16u);
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
/** The larger key; of equal keys, the first token. */
fn better(a: vec2u, b: vec2u) -> vec2u { return select(a, b, b.x > a.x || (b.x == a.x && b.y < a.y)); }

alias Words = array<u32, AT_ONCE>;
/** Logits of the lane's tokens from `first` on, LANES apart, and data for adjustments. Past the end: the last. */
struct Loaded { bits: Words, bias: Words, seen: Words }
fn loadFrom(row: Row, first: u32, end: u32) -> Loaded {
  var loaded: Loaded;
  for (var i = 0u; i < AT_ONCE; i++) { loaded.bits[i] = logits[row.logits + min(first + i * LANES, end - 1u)]; }
  if (row.biased) {
    for (var i = 0u; i < AT_ONCE; i++) { loaded.bias[i] = bias[row.logits + min(first + i * LANES, end - 1u)]; }
  }
  if (row.penalty != 1.0) {
    for (var i = 0u; i < AT_ONCE; i++) { loaded.seen[i] = seen[row.words + min(first + i * LANES, end - 1u) / 32u]; }
  }
  return loaded;
}
/** Keys of these tokens, with bias and repetition penalty. Past the end 0, which is less than any key. */
fn keysOf(row: Row, loaded: Loaded, first: u32, end: u32) -> Words {
  var keys: Words;
  for (var i = 0u; i < AT_ONCE; i++) {
    let token = first + i * LANES;
    let bits = select(loaded.bits[i], sumOf(loaded.bits[i], loaded.bias[i]), row.biased);
    let x = bitcast<f32>(bits);
    let y = bitcast<u32>(select(x / row.penalty, x * row.penalty, x < 0.0));
    let penalized = row.penalty != 1.0 && isFinite(bits) && ((loaded.seen[i] >> (token % 32u)) & 1u) == 1u;
    keys[i] = select(0u, keyOf(select(bits, y, penalized)), token < end);
  }
  return keys;
}
/** Key and token of the lane's next entries: held tokens if `few`, else all tokens. Past the end, the key is 0. */
fn entriesFrom(row: Row, few: bool, first: u32, end: u32) -> array<vec2u, AT_ONCE> {
  var some: array<vec2u, AT_ONCE>;
  if (few) {
    for (var i = 0u; i < HELD / LANES; i++) {
      some[i] = select(vec2u(), held[min(first + i * LANES, HELD - 1u)], first + i * LANES < end);
    }
    return some;
  }
  let keys = keysOf(row, loadFrom(row, first, end), first, end);
  for (var i = 0u; i < AT_ONCE; i++) { some[i] = vec2u(keys[i], first + i * LANES); }
  return some;
}
/** The largest key of all lanes with its token, of equal keys the first token; and the largest `other`. */
fn bestOf(lane: u32, own: vec2u, other: u32) -> vec3u {
  held[lane] = own;
  if (other > 0u) { atomicMax(&most, other); }
  workgroupBarrier();
  if (lane < MEETING) {
    var best = own;
    for (var i = 1u; i < LANES / MEETING; i++) { best = better(best, held[lane + i * MEETING]); }
    held[lane] = best;
  }
  workgroupBarrier();
  if (lane == 0u) {
    var best = held[0];
    for (var i = 1u; i < MEETING; i++) { best = better(best, held[i]); }
    found = vec3u(best, atomicLoad(&most));
  }
  return workgroupUniformLoad(&found);
}
/** The smallest of `groups` groups' largest keys: that many tokens reach it. `groups` is a multiple of SPAN. */
fn boundOf(lane: u32, own: u32, groups: u32) -> u32 {
  held[lane].x = own;
  workgroupBarrier();
  if (lane < groups) {
    for (var i = lane + groups; i < LANES; i += groups) { held[lane].x = max(held[lane].x, held[i].x); }
  }
  workgroupBarrier();
  if (lane < SPAN) {
    for (var i = lane + SPAN; i < groups; i += SPAN) { held[lane].x = min(held[lane].x, held[i].x); }
  }
  workgroupBarrier();
  if (lane == 0u) {
    found.x = held[0].x;
    for (var i = 1u; i < SPAN; i++) { found.x = min(found.x, held[i].x); }
  }
  return workgroupUniformLoad(&found).x;
}
/** Adds a mass to a bin. */
fn add(bin: u32, mass: vec2u) {
  let before = atomicAdd(&low[bin], mass.x);
  let carried = mass.y + u32(before + mass.x < before);
  if (carried > 0u) { atomicAdd(&high[bin], carried); }
}
/** A mass, or if `isShare` the share word / 2^32 of the mass of all bins. `byLine`: a line's bins are one bin. */
struct Goal { mass: vec2u, word: u32, isShare: bool, byLine: bool }

/** The bin (the line, if `byLine`) in which the running sum passes the goal, and the rest there. Empties the bins. */
fn locate(lane: u32, goal: Goal) -> vec3u {
  workgroupBarrier();
  var own = vec2u(); var sum = vec2u();
  if (lane < BINS) {
    own = vec2u(atomicLoad(&low[lane]), atomicLoad(&high[lane]));
    sums[lane / SPAN][lane % SPAN] = own;
    atomicStore(&low[lane], 0u); atomicStore(&high[lane], 0u);
  }
  workgroupBarrier();
  // `sum`: the sum of the line's bins up to this one. For the last bin of a line, this is the line's sum.
  if (lane < BINS) {
    for (var i = 0u; i < SPAN; i++) { sum = plus(sum, select(vec2u(), sums[lane / SPAN][i], i <= lane % SPAN)); }
    if (lane % SPAN == SPAN - 1u) { lines[lane / SPAN] = sum; }
  }
  workgroupBarrier();
  var before = vec2u(); var all = vec2u();
  for (var i = 0u; i < SPAN; i++) { before = select(before, all, i == lane / SPAN); all = plus(all, lines[i]); }
  if (lane == 0u) { whole = all; }
  let end = plus(before, sum);
  var begin = minus(end, own);
  if (goal.byLine) { begin = before; }
  var mass = goal.mass;
  if (goal.isShare) { mass = shareOf(all, goal.word); }
  // If `byLine`, the lane of a line's last bin compares, because it has the line's sum.
  let asks = lane < BINS && (!goal.byLine || lane % SPAN == SPAN - 1u);
  if (asks && !below(mass, begin) && (below(mass, end) || lane == BINS - 1u)) {
    found = vec3u(select(lane, lane / SPAN, goal.byLine), minus(mass, begin));
  }
  return workgroupUniformLoad(&found);
}
/** The largest integer below share · mass, or 0. Top-p keeps the largest keys until their mass passes it. */
fn lastOf(mass: vec2u, share: f32) -> vec2u {
  let word = u32(max(share, 0.0) * 4294967296.0);
  let whole = shareOf(mass, word);
  if (mass.x * word != 0u || (whole.x | whole.y) == 0u) { return whole; }
  return minus(whole, vec2u(1u, 0u));
}

/** The entries that a round adds up, and their bins. */
struct Round {
  /** Tokens `first` to `end` − 1, with keys from `bound` on. At the ones of `known`, a key has the bits of `key`. */
  bound: u32, known: u32, key: u32, first: u32, end: u32,
  /** If `byKey`, bins are the 8 bits of the key from bit `shift` on, largest first; else stretches of 2^shift tokens. */
  shift: u32, byKey: bool,
}

/** Collects, counts or weighs the entries of a round: the held tokens if `few`, else all tokens. */
fn runRound(lane: u32, row: Row, few: bool, count: u32, stage: u32, round: Round, scale: Scale, byLine: bool) {
  let behind = select(round.end, count, few);
  for (var at = select(round.first, 0u, few) + lane; at < behind; at += AT_ONCE * LANES) {
    let some = entriesFrom(row, few, at, behind);
    for (var i = 0u; i < AT_ONCE; i++) {
      if (few && i >= HELD / LANES) { break; }
      let own = some[i];
      let exponent = exponentOf(own.x, scale);
      let asked = own.x >= max(round.bound, 1u) && (own.x & round.known) == round.key && exponent >= scale.shortfall;
      if (asked && own.y >= round.first && own.y < round.end) {
        if (stage == COLLECT) {
          let slot = atomicAdd(&reached, 1u);
          if (slot < HELD) { held[slot] = own; }
          continue;
        }
        var mass = vec2u(1u, 0u);
        if (stage != BY_COUNT) { mass = massOf(exp(exponent)); }
        let bin = select((own.y - round.first) >> round.shift, 255u - ((own.x >> round.shift) & 255u), round.byKey);
        add(select(bin, bin * SPAN + lane % SPAN, byLine), mass);
      }
    }
  }
}

/**
 * Stages, in their order; some are skipped. COLLECT: tokens for `held`. BY_COUNT: the bound of top-k. ALL_MASS,
 * HELD_MASS: the mass of all tokens, of held tokens. BY_MASS: the bound of top-p. DRAW: the token. LOG: the mass for
 * the log-probability.
 */
const COLLECT = 0u; const BY_COUNT = 1u; const ALL_MASS = 2u; const HELD_MASS = 3u; const BY_MASS = 4u; const DRAW = 5u;
const LOG = 6u;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let b = group.x + group.y * groups.x;
  if (b >= sequences()) { return; }
  let all = vocabulary();
  var row = Row(b * all, b * words(), biased(b) > 0.0, repetitionPenalty(b));
  let adjusts = row.biased || row.penalty != 1.0;
  let draws = temperature(b) > 0.0;
  let k = u32(clamp(topK(b), 0.0, 16777216.0));
  let byCount = k > 0u && k < all; let byMass = topP(b) < 1.0; let byShare = minP(b) > 0.0;
  let likelihood = logProbability(b) > 0.0;
  let word = philox(vec4u(positions[b], 0u, 0u, 0x73616d70u), vec2u(seeds[2u * b], seeds[2u * b + 1u])).x;

  // A lane without tokens loses to every other lane.
  var own = vec2u(0u, NONE); var plain = 0u;
  for (var first = lane; first < all; first += AT_ONCE * LANES) {
    let loaded = loadFrom(row, first, all);
    let keys = keysOf(row, loaded, first, all);
    for (var i = 0u; i < AT_ONCE; i++) {
      own = better(own, vec2u(keys[i], first + i * LANES));
      if (adjusts) { plain = max(plain, keyOf(loaded.bits[i])); }
    }
  }
  let best = bestOf(lane, own, plain);
  let highest = bitsOf(select(best.x, best.z, adjusts));
  let noSum = !isFinite(highest);
  var chosen = best.y;

  // If the vocabulary fits, all tokens are held. Else, from the bound `least` on, the tokens that top-k needs, or that
  // top-p probably needs.
  var least = 0u;
  var stage = LOG;
  var scale = Scale(bitcast<f32>(highest), 1.0, LEAST);
  let shortfall = select(LEAST, min(log(minP(b)), 0.0), byShare);
  if (draws && isFinite(bitsOf(best.x))) {
    scale = Scale(bitcast<f32>(bitsOf(best.x)), 1.0 / temperature(b), select(shortfall, LEAST, byCount || byMass));
    if (all > HELD && select(byMass, k <= 128u, byCount)) {
      least = boundOf(lane, own.x, select(128u, 64u, byCount && k <= 64u));
    }
    // If there is no bound and the vocabulary does not fit, nothing is collected.
    stage = select(select(DRAW, ALL_MASS, byMass), BY_COUNT, byCount);
    if (all <= HELD || least > 0u || (byShare && !byCount && !byMass)) { stage = COLLECT; }
  }
  var few = false; var count = all;
  var goal = Goal(vec2u(k - 1u, 0u), word, false, false);
  var round = Round(least, 0u, 0u, 0u, all, 24u, true);
  while (stage < LOG || (stage == LOG && likelihood && !noSum)) {
    if (stage == DRAW) {
      scale.shortfall = shortfall;
      // Bins are stretches of tokens of the same length, a power of two.
      goal.isShare = goal.isShare || round.byKey;
      round.byKey = false;
      goal.byLine = !few && round.end - round.first > AT_ONCE * LANES;
      let shortest = (round.end - round.first - 1u) / select(BINS, BINS / SPAN, goal.byLine);
      round.shift = select(firstLeadingBit(shortest) + 1u, 0u, shortest == 0u);
    } else if (stage == LOG) {
      goal.byLine = false;
      // The logits without adjustments.
      row.biased = false; row.penalty = 1.0;
      scale = Scale(bitcast<f32>(highest), 1.0, LEAST);
      round = Round(0u, 0u, 0u, 0u, all, 24u, true);
      few = false;
    }
    // Whether the held tokens suffice for this stage: they are the tokens of top-k, or all tokens.
    let holds = few && (stage != ALL_MASS || byCount || least == 0u);
    runRound(lane, row, holds, count, stage, round, scale, goal.byLine);
    if (stage == COLLECT) {
      workgroupBarrier();
      if (lane == 0u) { found.x = atomicLoad(&reached); }
      count = workgroupUniformLoad(&found).x;
      few = count <= HELD;
      round.bound = 0u;
      stage = select(select(DRAW, ALL_MASS, byMass), BY_COUNT, byCount);
      continue;
    }
    let at = locate(lane, goal);
    if (stage == BY_COUNT || stage == BY_MASS) {
      round.key |= (255u - at.x) << round.shift; round.known |= 255u << round.shift;
      goal.mass = at.yz;
      round.shift = (round.shift + 24u) % 32u;
      if (round.known == NONE) {
        round = Round(round.key, 0u, 0u, 0u, all, 24u, true);
        stage = select(DRAW, ALL_MASS, stage == BY_COUNT && byMass);
      }
    } else if (stage == ALL_MASS) {
      goal.mass = lastOf(workgroupUniformLoad(&whole), topP(b));
      stage = select(BY_MASS, HELD_MASS, few && !holds);
    } else if (stage == HELD_MASS) {
      few = below(goal.mass, workgroupUniformLoad(&whole));
      stage = BY_MASS;
    } else if (stage == DRAW) {
      round.first += at.x << round.shift;
      round.end = min(round.first + (1u << round.shift), round.end);
      goal.mass = at.yz; goal.isShare = false;
      chosen = round.first;
      if (round.end - round.first <= 1u) { stage = LOG; }
    } else {
      stage = LOG + 1u;
    }
  }
  if (lane > 0u) { return; }
  tokens[b] = chosen;
  var result = select(0u, NAN_BITS, noSum);
  if (stage > LOG) {
    let bits = logits[row.logits + chosen];
    result = 0xff800000u;
    if (isFinite(bits)) {
      result = bitcast<u32>(bitcast<f32>(bits) - scale.largest -
        log(f32(whole.y) / 256.0 + f32(whole.x) * 9.094947017729282e-13));
    }
  }
  logProbabilities[b] = result;
}
