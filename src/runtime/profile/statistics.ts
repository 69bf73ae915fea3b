// Statistics of measurements.

/**
 * The median; of an even number of values, the lower of the two middle ones, so that the result is a measured value.
 */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? 0;
}
