// y[first + i] = the words of one part of a table after the other, for attention that reads pairs of tokens.
// Method: `value` is generated; it finds the part of a word and the word's place there.
// Grid: one workgroup for each LANES · EACH words; an invocation computes EACH words.

// --- parameters
struct Sizes { batch: u32, queries: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> startsQ: array<u32>;
@group(0) @binding(2) var<storage, read> positionsQ: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;
const LANES = 64u;
const EACH = 1u;
/** The place of the first word. */
fn first() -> u32 { return 0u; }
/** Words to write. */
fn count() -> u32 { return sizes.batch + 1u + sizes.queries; }
/** Word i of the table. */
fn value(i: u32) -> u32 {
  if (i < sizes.batch + 1u) { return startsQ[i]; }
  return positionsQ[i - sizes.batch - 1u];
}
// --- end of parameters

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let begin = (group.x + group.y * groups.x) * (LANES * EACH);
  // The bound is not a constant, so compilers do not unroll the loop.
  let end = min(begin + LANES * EACH, count());
  for (var i = begin + lane; i < end; i += LANES) { y[first() + i] = value(first() + i); }
}
