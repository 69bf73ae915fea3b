// tokens[b] = the first of the largest logits of sequence b; logProbabilities[b] = 0, or NaN if that logit is not
// finite.
// Method: sample.wgsl for the case that every sequence gets its likeliest token, from logits without adjustments, and
// no log-probability is asked for. Integer keys have the order of the logits (NaN highest, −0 as 0). LANES invocations
// share a sequence; each keeps its first largest logit, and the first lane combines these results: a tree of barriers
// takes longer to compile.
// Grid: one workgroup for each sequence.

// --- parameters
struct Sizes { sequences: u32, vocabulary: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> logits: array<u32>;
@group(0) @binding(2) var<storage, read_write> tokens: array<u32>;
@group(0) @binding(3) var<storage, read_write> logProbabilities: array<u32>;
const LANES = 64u;
fn sequences() -> u32 { return sizes.sequences; }
fn vocabulary() -> u32 { return sizes.vocabulary; }
// --- end of parameters

const NAN_BITS = 0x7fc00000u;

/** Each lane's largest key, and the token. */
var<workgroup> parts: array<vec2u, LANES>;

/** An integer key in the order of the logits: NaN highest, −0 as 0. */
fn keyOf(bits: u32) -> u32 {
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return 0xffffffffu; }
  if (magnitude == 0u) { return 0x80000000u; }
  return bits ^ select(0x80000000u, 0xffffffffu, bits >= 0x80000000u);
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
  for (var token = lane; token < vocabulary(); token += LANES) {
    best = better(best, vec2u(keyOf(logits[b * vocabulary() + token]), token));
  }
  parts[lane] = best;
  workgroupBarrier();
  if (lane == 0u) {
    for (var i = 1u; i < LANES; i++) { best = better(best, parts[i]); }
    let bits = best.x ^ select(0xffffffffu, 0x80000000u, best.x >= 0x80000000u);
    tokens[b] = best.y;
    logProbabilities[b] = select(0u, NAN_BITS, (bits & 0x7f800000u) == 0x7f800000u);
  }
}
