// Slopes of ALiBi (Press et al. 2022, arXiv 2108.12409): what a score loses for each position between query and key.

/**
 * A slope for each head: powers of 2^(−8/n) for the n heads below the next power of two, then every other power of
 * 2^(−8/2n) for the rest, as in BLOOM and Falcon.
 */
export function alibiSlopes(heads: number): readonly number[] {
  const power = 2 ** Math.floor(Math.log2(heads));
  const series = (count: number, steps: readonly number[]): readonly number[] =>
    steps.map((step) => 2 ** ((-8 / count) * step));
  const first = Array.from({ length: power }, (_, i) => i + 1);
  const rest = Array.from({ length: heads - power }, (_, i) => 2 * i + 1);
  return [...series(power, first), ...series(2 * power, rest)];
}

/**
 * A slope for each head: of the powers of 2^(−max/n), with n the power of two from `heads` on, every other one from the
 * second on, then the others, as in MPT. If n is `heads`, the powers in order.
 */
export function mptSlopes(heads: number, max: number): readonly number[] {
  const power = 2 ** Math.ceil(Math.log2(heads));
  const all = Array.from({ length: power }, (_, i) => 2 ** (-((i + 1) * max) / power));
  if (power === heads) return all;
  const [even, odd] = [all.filter((_, i) => i % 2 === 0), all.filter((_, i) => i % 2 === 1)];
  return [...odd, ...even].slice(0, heads);
}
