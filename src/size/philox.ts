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

/** In (0, 1) from 53 bits of two words, never 0 or 1; exact arithmetic. */
export const exactUniform = (x: number, y: number): number => ((x >>> 0) * 0x200000 + (y >>> 11) + 0.5) / 0x20000000000000;

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

const LN2_HIGH = 6.9314718036912381649e-1;
const LN2_LOW = 1.90821492927058770002e-10;

const A = [
  3.387132872796366608, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
  3.3430575583588128105e4, 2.5090809287301226727e3,
];
const B = [
  1, 4.2313330701600911252e1, 6.871870074920579083e2, 5.3941960214247511077e3, 2.1213794301586595867e4, 3.930789580009271061e4, 2.8729085735721942674e4,
  5.226495278852854561e3,
];
const C = [
  1.42343711074968357734, 4.6303378461565452959, 5.7694972214606914055, 3.64784832476320460504, 1.27045825245236838258, 2.4178072517745061177e-1,
  2.27238449892691845833e-2, 7.7454501427834140764e-4,
];
const D = [
  1, 2.05319162663775882187, 1.6763848301838038494, 6.8976733498510000455e-1, 1.4810397642748007459e-1, 1.51986665636164571966e-2, 5.475938084995344946e-4,
  1.05075007164441684324e-9,
];
const E = [
  6.6579046435011037772, 5.4637849111641143699, 1.7848265399172913358, 2.9656057182850489123e-1, 2.6532189526576123093e-2, 1.2426609473880784386e-3,
  2.71155556874348757815e-5, 2.01033439929228813265e-7,
];
const F = [
  1, 5.9983220655588793769e-1, 1.3692988092273580531e-1, 1.48753612908506148525e-2, 7.868691311456132591e-4, 1.8463183175100546818e-5, 1.4215117583164458887e-7,
  2.04426310338993978564e-15,
];
