// counts[b] = the number of rows of sequence b that score above the threshold.
// Method: LANES invocations share a sequence. Scores are compared by integer keys of the same order (−0 as 0). A row
// does not count if its score or the threshold is NaN.
// Grid: one workgroup for each sequence.

// --- parameters
struct Sizes { batch: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> score: array<f32>;
@group(0) @binding(2) var<storage, read> threshold: array<f32>;
@group(0) @binding(3) var<storage, read> parent: array<u32>;
@group(0) @binding(4) var<storage, read_write> counts: array<u32>;
const LANES = 64u;
/** Sequences. */
fn batch() -> u32 { return sizes.batch; }
/** The score of row i. A prologue may compute it. */
fn value(i: u32) -> f32 { return score[i]; }
/** The threshold for a row. */
fn thresholdAt(row: u32) -> f32 { return threshold[0]; }
// --- end of parameters

var<workgroup> scan: array<u32, LANES>;

/** An integer key in the order of the scores, −0 as 0; 0 for NaN. */
fn keyOf(score: f32) -> u32 {
  let bits = bitcast<u32>(score);
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return 0u; }
  if (magnitude == 0u) { return 0x80000000u; }
  return bits ^ select(0x80000000u, 0xffffffffu, bits >= 0x80000000u);
}

/** Whether a row scores above its threshold; false if either is NaN. */
fn isAbove(row: u32) -> bool {
  let bound = keyOf(thresholdAt(row));
  return bound != 0u && keyOf(value(row)) > bound;
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let b = group.x + group.y * groups.x;
  if (b >= batch()) { return; }
  var found = 0u;
  for (var row = parent[b] + lane; row < parent[b + 1u]; row += LANES) { found += u32(isAbove(row)); }
  scan[lane] = found;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { scan[lane] += scan[lane + half]; }
  }
  if (lane == 0u) { counts[b] = scan[0]; }
}
