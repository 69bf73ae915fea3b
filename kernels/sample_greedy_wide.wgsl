// tokens[b] = the first of the largest logits of sequence b; logProbabilities[b] = 0, or NaN where that logit is no
// number.
// Method: what sample.wgsl does where every sequence is to have its likeliest token, its logits as they come, and no
// log-probability is asked for, on GPUs. Integer keys of the same order (NaN highest, −0 as 0). LANES invocations share
// a sequence, with AT_ONCE logits in flight each; each keeps the first of its largest, and these meet in two steps.
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
const AT_ONCE = 8u;
/** Lanes that meet others first. */
const MEETING = 16u;
const NAN_BITS = 0x7fc00000u;

/** The largest key that each lane has seen, and where. */
var<workgroup> parts: array<vec2u, LANES>;

/** Larger for larger values, NaN highest, −0 as 0. */
fn keyOf(bits: u32) -> u32 {
  let magnitude = bits & 0x7fffffffu;
  let key = select(bits ^ select(0x80000000u, 0xffffffffu, bits >= 0x80000000u), 0x80000000u, magnitude == 0u);
  return select(key, 0xffffffffu, magnitude > 0x7f800000u);
}

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
  // A lane without tokens loses to any other.
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
