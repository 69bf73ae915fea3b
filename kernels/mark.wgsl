// seen[b, token / 32] gains the bit token % 32 for every token of the rows first(b) … first(b + 1) − 1: which tokens
// each sequence has seen.
// Method: bits of one word may come from several rows at once, so words are changed by atomics. The order of changes
// makes no difference.
// Grid: one workgroup for each sequence.

// --- parameters
struct Sizes { sequences: u32, words: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> tokens: array<u32>;
@group(0) @binding(2) var<storage, read> starts: array<u32>;
@group(0) @binding(3) var<storage, read_write> seen: array<atomic<u32>>;
const LANES = 64u;
/** Sequences. */
fn sequences() -> u32 { return sizes.sequences; }
/** Words of a sequence in `seen`. */
fn words() -> u32 { return sizes.words; }
/** The first row of sequence b. `first(sequences())` is the number of rows. */
fn first(b: u32) -> u32 { return starts[b]; }
// --- end of parameters

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let b = group.x + group.y * groups.x;
  if (b >= sequences()) { return; }
  for (var row = first(b) + lane; row < first(b + 1u); row += LANES) {
    let token = tokens[row];
    if (token / 32u < words()) { atomicOr(&seen[b * words() + token / 32u], 1u << (token % 32u)); }
  }
}
