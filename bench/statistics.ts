// Medians and ranges of measurements.

export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/** Median, smallest and largest. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const median = sorted.length % 2 === 1 ? sorted[Math.floor(middle)]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return { median, low: sorted[0]!, high: sorted.at(-1)! };
}

/** The ratios a / b, round by round. */
export const ratioOf = (a: readonly number[], b: readonly number[]): Spread =>
  spreadOf(a.map((value, i) => value / b[i]!));

/** The median and its 95 % confidence interval by order statistics, which assumes no distribution. */
export function medianWithin(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const reach = 0.98 * Math.sqrt(sorted.length);
  const at = (place: number): number => sorted[Math.max(0, Math.min(sorted.length - 1, place))]!;
  return {
    median: spreadOf(values).median,
    low: at(Math.floor(sorted.length / 2 - reach)),
    high: at(Math.ceil(sorted.length / 2 + reach)),
  };
}
