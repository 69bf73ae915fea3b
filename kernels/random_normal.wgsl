// y[i] = √(−2 ln u) · cos(2π v), u and v from the upper 24 bits of two words of philox(position(i), channel(i), stream,
// 0; seed, "modc").
// Method: counter-based random words (Salmon et al. 2011), Box and Muller 1958. WGSL guarantees little accuracy for
// `log` near 1 and for `cos`, so both are polynomials here: ln m = 2 artanh((m − 1) / (m + 1)), and the cosine after
// quarter turns are taken off v exactly.
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

/** ln u for u in [2^−24, 1], with a small relative error near 1 too. */
fn logarithm(u: f32) -> f32 {
  let bits = bitcast<u32>(u) - 0x3f3504f3u;
  let exponent = i32(bits) >> 23u;
  let m = bitcast<f32>((bits & 0x007fffffu) + 0x3f3504f3u);
  let s = (m - 1.0) / (m + 1.0);
  let z = s * s;
  let tail = ((0.22222222 * z + 0.28571429) * z + 0.4) * z + 0.66666667;
  return f32(exponent) * 0.69314718 + (2.0 * s + s * z * tail);
}

/** cos 2πv for v in [0, 1). */
fn cosineOfTurn(v: f32) -> f32 {
  let quarters = round(4.0 * v);
  let r = 6.2831855 * (v - 0.25 * quarters);
  let z = r * r;
  let s = ((-1.9515295891e-4 * z + 8.3321608736e-3) * z - 1.6666654611e-1) * z * r + r;
  let c = ((2.443315711809948e-5 * z - 1.388731625493765e-3) * z + 4.166664568298827e-2) * z * z - 0.5 * z + 1.0;
  let q = u32(quarters) & 3u;
  let value = select(c, s, (q & 1u) == 1u);
  return select(value, -value, q == 1u || q == 2u);
}

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
  let u = f32((words.x >> 8u) + 1u) * 5.9604644775390625e-8;
  let v = f32(words.y >> 8u) * 5.9604644775390625e-8;
  y[i] = sqrt(-2.0 * logarithm(u)) * cosineOfTurn(v);
}
