// Compares many numbers with expected ones. All are held by one assertion: one for each number takes longer than
// computing it.
import { expect } from "vitest";

/**
 * Expects each number within the allowed distance from its expected number; the first that is not, or is no number, is
 * named.
 */
export function expectClose(
  found: ArrayLike<number>,
  expected: ArrayLike<number>,
  allowed: (expected: number) => number,
  what = "value",
): void {
  expect(found.length, what).toBe(expected.length);
  let at = 0;
  while (at < expected.length && Math.abs(found[at]! - expected[at]!) <= allowed(expected[at]!)) at++;
  expect(at < expected.length ? `${what}[${at}] is ${found[at]}, not ${expected[at]}` : null).toBeNull();
}
