// Counter-based random numbers: the same on every machine, in any order (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
//
// The random operators of a graph use counter (position, channel, stream, 0) and key (seed, RANDOM_KEY). From the four words x0 … x3:
// - uniform in [0, 1): (x0 >>> 8) / 2^24
// - normal: √(−2 ln u) · cos(2π v) with u = ((x0 >>> 8) + 1) / 2^24 in (0, 1] and v = (x1 >>> 8) / 2^24 (Box and Muller 1958)
// Initial weights use `exactNormal`, which has the same bits everywhere.

/** Second word of the key of every random operator: "modc" in ASCII. */
export const RANDOM_KEY = 0x6d6f6463;

/** Four words of 32 bits. */
export type Words = readonly [number, number, number, number];

/** Philox4x32 with 10 rounds: four random words from a counter and a key. */
export function philox(counter: Words, key: readonly [number, number]): Words {
  let [a, b, c, d] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(0xd2511f53, a);
    const low0 = Math.imul(0xd2511f53, a) >>> 0;
    const high1 = multiplyHigh(0xcd9e8d57, c);
    const low1 = Math.imul(0xcd9e8d57, c) >>> 0;
    [a, b, c, d] = [(high1 ^ b ^ k0) >>> 0, low1, (high0 ^ d ^ k1) >>> 0, low0];
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [a, b, c, d];
}

/** The upper 32 bits of the product of two words. */
function multiplyHigh(a: number, b: number): number {
  const [ah, al, bh, bl] = [a >>> 16, a & 0xffff, b >>> 16, b & 0xffff];
  const middle = ah * bl + (((al * bl) / 0x10000) >>> 0);
  const lower = al * bh + (middle % 0x10000);
  return (ah * bh + Math.floor(middle / 0x10000) + Math.floor(lower / 0x10000)) >>> 0;
}

/** In [0, 1), a multiple of 2^−24: exact as f32. */
export const uniformOf = ([x]: Words): number => (x >>> 8) / 0x1000000;

/** Standard normal by Box and Muller's method, at most 5.77 in size. */
export function normalOf([x, y]: Words): number {
  const u = ((x >>> 8) + 1) / 0x1000000;
  const v = (y >>> 8) / 0x1000000;
  return Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v);
}

/**
 * Standard normal from two words by inverting its distribution (Wichura 1988, algorithm AS 241, PPND16: 16 digits).
 * It uses only + − · / √, which IEEE 754 rounds one way: every machine gets the same bits.
 */
export function exactNormal(x: number, y: number): number {
  // The centre of one of 2^53 cells; in the upper half it is taken from the other end, so that both tails are alike.
  const cell = (x >>> 0) * 0x200000 + (y >>> 11);
  const upper = cell >= 0x10000000000000;
  const tail = ((upper ? 0x1fffffffffffff - cell : cell) + 0.5) / 0x20000000000000; // in (0, 1/2)
  const q = 0.5 - tail;
  const magnitude = q <= 0.425 ? q * ratio(0.180625 - q * q, A, B) : fromTail(Math.sqrt(-exactLog(tail)));
  return upper ? magnitude : -magnitude;
}

const fromTail = (r: number): number => (r <= 5 ? ratio(r - 1.6, C, D) : ratio(r - 5, E, F));

const ratio = (r: number, numerator: readonly number[], denominator: readonly number[]): number => polynomial(r, numerator) / polynomial(r, denominator);

function polynomial(r: number, coefficients: readonly number[]): number {
  let sum = 0;
  for (let i = coefficients.length - 1; i >= 0; i--) sum = sum * r + coefficients[i]!;
  return sum;
}

/** ln x for normal x > 0 within two units of the last place: x = m · 2^e with m in [√½, √2), ln m = 2 artanh((m − 1)/(m + 1)). */
export function exactLog(x: number): number {
  let e = 0;
  let m = x;
  while (m < Math.SQRT1_2) {
    m *= 2;
    e--;
  }
  while (m >= Math.SQRT2) {
    m /= 2;
    e++;
  }
  const s = (m - 1) / (m + 1);
  const z = s * s;
  let sum = 0;
  for (let n = 25; n >= 1; n -= 2) sum = sum * z + 1 / n;
  // ln 2 in two parts, the first short enough that e · LN2_HIGH is exact
  return e * LN2_HIGH + (2 * s * sum + e * LN2_LOW);
}

const LN2_HIGH = 0.6931471803691238;
const LN2_LOW = 1.9082149292705877e-10;

const A = [
  3.3871328727963665, 133.14166789178438, 1971.5909503065513, 13731.69376550946, 45921.95393154987, 67265.7709270087, 33430.57558358813, 2509.0809287301227,
];
const B = [1, 42.31333070160091, 687.1870074920579, 5394.196021424751, 21213.794301586597, 39307.89580009271, 28729.085735721943, 5226.495278852854];
const C = [
  1.4234371107496835, 4.630337846156546, 5.769497221460691, 3.6478483247632045, 1.2704582524523684, 0.2417807251774506, 0.022723844989269184,
  0.0007745450142783414,
];
const D = [1, 2.053191626637759, 1.6763848301838038, 0.6897673349851, 0.14810397642748008, 0.015198666563616457, 0.0005475938084995345, 1.0507500716444169e-9];
const E = [
  6.657904643501103, 5.463784911164114, 1.7848265399172913, 0.29656057182850487, 0.026532189526576124, 0.0012426609473880784, 0.000027115555687434876,
  2.0103343992922881e-7,
];
const F = [
  1, 0.599832206555888, 0.1369298809227358, 0.014875361290850615, 0.0007868691311456133, 0.000018463183175100548, 1.421511758316446e-7, 2.0442631033899397e-15,
];
