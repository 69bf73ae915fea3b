// Medians and how far what was measured lies apart.

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

/** Round by round, a over b. */
export const ratioOf = (a: readonly number[], b: readonly number[]): Spread =>
  spreadOf(a.map((value, i) => value / b[i]!));

/**
 * Median, and between which values that of all such measurements lies in 95 of 100 cases, whatever their distribution:
 * from the order of those that there are.
 */
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
