// y[i] = x / 2^24, x the upper 24 bits of the first word of philox(position(i), channel(i), stream, 0; seed, "modc").
// Method: counter-based random words (Salmon et al. 2011). They depend on seed, position, channel and stream alone.
// Grid: one invocation for each element of y.

// --- parameters
struct Sizes { count: u32, width: u32, stream: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> seed: array<u32>;
@group(0) @binding(2) var<storage, read> positions: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
fn count() -> u32 { return sizes.count; }
fn stream() -> u32 { return sizes.stream; }
/** The channel of element i. */
fn channel(i: u32) -> u32 { return i % sizes.width; }
/** The position of element i. */
fn position(i: u32) -> u32 { return positions[i / sizes.width]; }
// --- end of parameters

/** The upper 32 bits of a · b, from products of 16 bits. */
fn multiplyHigh(a: u32, b: u32) -> u32 {
  let ah = a >> 16u;
  let al = a & 0xffffu;
  let bh = b >> 16u;
  let bl = b & 0xffffu;
  let middle = ah * bl + ((al * bl) >> 16u);
  let lower = al * bh + (middle & 0xffffu);
  return ah * bh + (middle >> 16u) + (lower >> 16u);
}

/** Philox4x32 with 10 rounds: four random words of a counter. */
fn philox(start: vec4u, seeds: vec2u) -> vec4u {
  var c = start;
  var k = seeds;
  for (var round = 0u; round < 10u; round++) {
    let high0 = multiplyHigh(0xd2511f53u, c.x);
    let high1 = multiplyHigh(0xcd9e8d57u, c.z);
    c = vec4u(high1 ^ c.y ^ k.x, 0xcd9e8d57u * c.z, high0 ^ c.w ^ k.y, 0xd2511f53u * c.x);
    k += vec2u(0x9e3779b9u, 0xbb67ae85u);
  }
  return c;
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * 64u + lane;
  if (i >= count()) { return; }
  let words = philox(vec4u(position(i), channel(i), stream(), 0u), vec2u(seed[0], 0x6d6f6463u));
  y[i] = f32(words.x >> 8u) * 5.9604644775390625e-8;
}
