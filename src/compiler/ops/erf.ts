// The error function in 64 bits, for the exact GELU.

const TWO_OVER_SQRT_PI = 2 / Math.sqrt(Math.PI);

/** erf(x) = 2/√π · ∫₀ˣ e^−t² dt, accurate to a few units in the last place. */
export function erf(x: number): number {
  const a = Math.abs(x);
  if (Number.isNaN(a)) return x;
  const value = a < 2.5 ? series(a) : a > 6 ? 1 : 1 - continuedFraction(a);
  return x < 0 ? -value : value;
}

/** erf(x) = 2/√π · e^−x² · Σ 2ⁿ x^(2n+1) / (2n+1)!!; every term is positive (DLMF 7.6.2). */
function series(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; term > sum * 1e-17; n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return TWO_OVER_SQRT_PI * Math.exp(-x * x) * sum;
}

/** erfc(x) = e^−x²/√π · 1/(x + (1/2)/(x + (2/2)/(x + (3/2)/(x + …)))) (DLMF 7.9.1), from the innermost outwards. */
function continuedFraction(x: number): number {
  let f = x;
  for (let n = 80; n >= 1; n--) f = x + n / 2 / f;
  return Math.exp(-x * x) / (Math.sqrt(Math.PI) * f);
}
