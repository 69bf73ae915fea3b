// tokens[b] = the first of the largest logits of sequence b; logProbabilities[b] = 0, or NaN if that logit is not
// finite.
// Method: sample.wgsl for the case that every sequence gets its likeliest token, from logits without adjustments, and
// no log-probability is asked for; for GPUs. Integer keys have the order of the logits (NaN highest, −0 as 0). LANES
// invocations share a sequence, with AT_ONCE logits in flight each. Each keeps its first largest logit, and these are
// combined in two steps.
// Grid: one workgroup for each sequence.

// --- parameters
struct Sizes { sequences: u32, vocabulary: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> logits: array<u32>;
@group(0) @binding(2) var<storage, read_write> tokens: array<u32>;
@group(0) @binding(3) var<storage, read_write> logProbabilities: array<u32>;
fn sequences() -> u32 { return sizes.sequences; }
fn vocabulary() -> u32 { return sizes.vocabulary; }
// --- end of parameters

const LANES = 256u;
/** Logits that a lane has in flight. */
const AT_ONCE = 8u;
/** Lanes that first combine the results of other lanes, every MEETING-th. */
const MEETING = 16u;
const NAN_BITS = 0x7fc00000u;

/** Each lane's largest key, and the token. */
var<workgroup> parts: array<vec2u, LANES>;

/** An integer key in the order of the logits: NaN highest, −0 as 0. */
fn keyOf(bits: u32) -> u32 {
  let magnitude = bits & 0x7fffffffu;
  let key = select(bits ^ select(0x80000000u, 0xffffffffu, bits >= 0x80000000u), 0x80000000u, magnitude == 0u);
  return select(key, 0xffffffffu, magnitude > 0x7f800000u);
}

/** The larger key; of equal keys, the first token. */
fn better(a: vec2u, b: vec2u) -> vec2u {
  return select(a, b, b.x > a.x || (b.x == a.x && b.y < a.y));
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let b = group.x + group.y * groups.x;
  if (b >= sequences()) { return; }
  // A lane without tokens loses to every other lane.
  var best = vec2u(0u, 0xffffffffu);
  for (var first = lane; first < vocabulary(); first += AT_ONCE * LANES) {
    var bits: array<u32, AT_ONCE>;
    for (var i = 0u; i < AT_ONCE; i++) {
      bits[i] = logits[b * vocabulary() + min(first + i * LANES, vocabulary() - 1u)];
    }
    for (var i = 0u; i < AT_ONCE; i++) {
      best = better(best, vec2u(keyOf(bits[i]), min(first + i * LANES, vocabulary() - 1u)));
    }
  }
  parts[lane] = best;
  workgroupBarrier();
  if (lane < MEETING) {
    for (var i = MEETING; i < LANES; i += MEETING) { best = better(best, parts[lane + i]); }
    parts[lane] = best;
  }
  workgroupBarrier();
  if (lane == 0u) {
    for (var i = 1u; i < MEETING; i++) { best = better(best, parts[i]); }
    let bits = best.x ^ select(0xffffffffu, 0x80000000u, best.x >= 0x80000000u);
    tokens[b] = best.y;
    logProbabilities[b] = select(0u, NAN_BITS, (bits & 0x7f800000u) == 0x7f800000u);
  }
}
