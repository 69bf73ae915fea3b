// Limits of time that may be longer than a timer can run.

/** What a timer can wait for, 24.8 days: with more milliseconds it would end at once. */
const LONGEST = 2 ** 31 - 1;

/** Calls back after a time, and returns what stops that. A time that no timer can wait for is no limit. */
export function after(milliseconds: number, then: () => void): () => void {
  if (milliseconds > LONGEST) return () => {};
  const timer = setTimeout(then, milliseconds);
  return () => clearTimeout(timer);
}
