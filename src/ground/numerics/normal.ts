// Standard normals from random words, bit-identical on every machine, by the inverse distribution function (Wichura
// 1988, algorithm AS 241, PPND16: 16 digits). The code uses only + − · / √, which IEEE 754 rounds in only one way. For
// speed (weights have millions of numbers) polynomials are unrolled by Horner's rule, and samples in the tails, which
// need a logarithm, are computed in a second loop.

/** Computes one normal from each pair of words. At most 65536 normals per call. */
export function exactNormals(to: Float64Array, words: Int32Array): void {
  let tailCount = 0;
  for (let i = 0; i < to.length; i++) {
    const side = words[2 * i]! >> 31;
    const q = 0.5 - tailOf(words[2 * i]!, words[2 * i + 1]!);
    const r = 0.180625 - q * q;
    const numerator =
      ((((((2509.0809287301227 * r + 33430.57558358813) * r + 67265.7709270087) * r + 45921.95393154987) * r +
        13731.69376550946) *
        r +
        1971.5909503065513) *
        r +
        133.14166789178438) *
        r +
      3.3871328727963665;
    const denominator =
      ((((((5226.495278852854 * r + 28729.085735721943) * r + 39307.89580009271) * r + 21213.794301586597) * r +
        5394.196021424751) *
        r +
        687.1870074920579) *
        r +
        42.31333070160091) *
        r +
      1;
    to[i] = q * (numerator / denominator) * (-1 - 2 * side);
    inTail[tailCount] = i;
    tailCount += q > 0.425 ? 1 : 0;
  }
  for (let j = 0; j < tailCount; j++) {
    const i = inTail[j]!;
    to[i] = fromTail(Math.sqrt(-exactLog(tailOf(words[2 * i]!, words[2 * i + 1]!)))) * (-1 - 2 * (words[2 * i]! >> 31));
  }
}

/** Indices of the samples in the tails, more than 0.425 of probability away from the median. */
const inTail = new Uint16Array(65536);

/**
 * Maps two words to the centre of a cell; 2^53 cells divide (0, 1). In the upper half the distance from 1 is used, so
 * that both tails have the same precision.
 */
function tailOf(x: number, y: number): number {
  const side = x >> 31;
  return ((x ^ side) * 0x200000 + ((y ^ side) >>> 11) + 0.5) / 0x20000000000000;
}

/** Computes one normal from two words. */
export function exactNormal(x: number, y: number): number {
  pair[0] = x;
  pair[1] = y;
  exactNormals(one, pair);
  return one[0]!;
}

const one = new Float64Array(1);
const pair = new Int32Array(2);

const fromTail = (r: number): number => (r <= 5 ? nearTail(r - 1.6) : farTail(r - 5));

/**
 * ln x for normal x > 0 within two units of the last place: x = m · 2^e with m in [√½, √2), ln m = 2 artanh((m − 1)/(m
 * + 1)).
 */
export function exactLog(x: number): number {
  double[0] = x;
  const biased = words[1]! >>> 20;
  let e = biased - 1023;
  let m = x * POWERS[biased]!;
  if (m >= Math.SQRT2) {
    m /= 2;
    e++;
  }
  const s = (m - 1) / (m + 1);
  const z = s * s;
  let sum = 1 / 25;
  sum = sum * z + 1 / 23;
  sum = sum * z + 1 / 21;
  sum = sum * z + 1 / 19;
  sum = sum * z + 1 / 17;
  sum = sum * z + 1 / 15;
  sum = sum * z + 1 / 13;
  sum = sum * z + 1 / 11;
  sum = sum * z + 1 / 9;
  sum = sum * z + 1 / 7;
  sum = sum * z + 1 / 5;
  sum = sum * z + 1 / 3;
  sum = sum * z + 1;
  // ln 2 in two parts, the first short enough that e · LN2_HIGH is exact
  return e * LN2_HIGH + (2 * s * sum + e * LN2_LOW);
}

const LN2_HIGH = 0.6931471803691238;
const LN2_LOW = 1.9082149292705877e-10;

/** A double and its two words, the lower first: WebGPU platforms are little-endian. */
const double = new Float64Array(1);
const words = new Uint32Array(double.buffer);

/** 2^(1023 − i): scales a number of biased exponent i to [1, 2). */
const POWERS = new Float64Array(2047);
for (let i = 2046, power = 2 ** -1023; i > 0; i--, power *= 2) POWERS[i] = power;

function nearTail(r: number): number {
  const numerator =
    ((((((0.0007745450142783414 * r + 0.022723844989269184) * r + 0.2417807251774506) * r + 1.2704582524523684) * r +
      3.6478483247632045) *
      r +
      5.769497221460691) *
      r +
      4.630337846156546) *
      r +
    1.4234371107496835;
  const denominator =
    ((((((1.0507500716444169e-9 * r + 0.0005475938084995345) * r + 0.015198666563616457) * r + 0.14810397642748008) *
      r +
      0.6897673349851) *
      r +
      1.6763848301838038) *
      r +
      2.053191626637759) *
      r +
    1;
  return numerator / denominator;
}

function farTail(r: number): number {
  const numerator =
    ((((((2.0103343992922881e-7 * r + 0.000027115555687434876) * r + 0.0012426609473880784) * r +
      0.026532189526576124) *
      r +
      0.29656057182850487) *
      r +
      1.7848265399172913) *
      r +
      5.463784911164114) *
      r +
    6.657904643501103;
  const denominator =
    ((((((2.0442631033899397e-15 * r + 1.421511758316446e-7) * r + 0.000018463183175100548) * r +
      0.0007868691311456133) *
      r +
      0.014875361290850615) *
      r +
      0.1369298809227358) *
      r +
      0.599832206555888) *
      r +
    1;
  return numerator / denominator;
}
