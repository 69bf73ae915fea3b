// Counter-based random numbers: the same on every machine, in any order (Salmon et al. 2011, "Parallel random numbers:
// as easy as 1, 2, 3").
//
// The random operators of a graph use counter (position, channel, stream, 0) and key (seed, RANDOM_KEY). From the four
// words x0 … x3:
// - uniform in [0, 1): (x0 >>> 8) / 2^24
// - normal: √(−2 ln u) · cos(2π v) with u = ((x0 >>> 8) + 1) / 2^24 in (0, 1] and v = (x1 >>> 8) / 2^24 (Box and Muller
//   1958) Initial weights use `exactNormals` (`normal.ts`), which has the same bits everywhere.

/** Second word of the key of every random operator: "modc" in ASCII. */
export const RANDOM_KEY = 0x6d6f6463;

/** Four words of 32 bits. */
export type Words = readonly [number, number, number, number];

/** Philox4x32 with 10 rounds: four random words from a counter and a key. */
export function philox(counter: Words, key: readonly [number, number]): Words {
  philoxBlocks(oneBlock, counter, key);
  return [oneBlock[0]! >>> 0, oneBlock[1]! >>> 0, oneBlock[2]! >>> 0, oneBlock[3]! >>> 0];
}

const oneBlock = new Int32Array(4);

/**
 * Fills `out` with consecutive blocks: block i uses the counter with its first word increased by i. Allocates nothing
 * and uses 32-bit arithmetic only.
 */
export function philoxBlocks(
  out: Int32Array,
  [first, counter1, counter2, counter3]: Words,
  [key0, key1]: readonly [number, number],
): void {
  for (let at = 0; at < out.length; at += 4) {
    let a = (first + at / 4) | 0;
    let b = counter1 | 0;
    let c = counter2 | 0;
    let d = counter3 | 0;
    let k0 = key0 | 0;
    let k1 = key1 | 0;
    for (let round = 0; round < 10; round++) {
      // The high words of the 64-bit products 0xd2511f53 · a and 0xcd9e8d57 · c, from products of 16-bit halves: each
      // sum fits 32 bits.
      const al = a & 0xffff;
      const ah = a >>> 16;
      const lowA = (Math.imul(ah, 0x1f53) + (Math.imul(al, 0x1f53) >>> 16)) | 0;
      const midA = (Math.imul(al, 0xd251) + (lowA & 0xffff)) | 0;
      const highA = (Math.imul(ah, 0xd251) + (lowA >>> 16) + (midA >>> 16)) | 0;
      const cl = c & 0xffff;
      const ch = c >>> 16;
      const lowC = (Math.imul(ch, 0x8d57) + (Math.imul(cl, 0x8d57) >>> 16)) | 0;
      const midC = (Math.imul(cl, 0xcd9e) + (lowC & 0xffff)) | 0;
      const highC = (Math.imul(ch, 0xcd9e) + (lowC >>> 16) + (midC >>> 16)) | 0;
      const productA = Math.imul(a, 0xd2511f53);
      const productC = Math.imul(c, 0xcd9e8d57);
      a = highC ^ b ^ k0;
      b = productC;
      c = highA ^ d ^ k1;
      d = productA;
      k0 = (k0 + 0x9e3779b9) | 0;
      k1 = (k1 + 0xbb67ae85) | 0;
    }
    out[at] = a;
    out[at + 1] = b;
    out[at + 2] = c;
    out[at + 3] = d;
  }
}

/** Uniform in [0, 1): a multiple of 2^−24, exact as f32. */
export const uniformOf = ([x]: Words): number => (x >>> 8) / 0x1000000;

/** Standard normal by the Box–Muller method; its absolute value is at most 5.77. */
export function normalOf([x, y]: Words): number {
  const u = ((x >>> 8) + 1) / 0x1000000;
  const v = (y >>> 8) / 0x1000000;
  return Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v);
}
