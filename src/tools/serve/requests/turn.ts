// Work of one request that takes long is done a slice at a time, so that nobody else waits for the whole of it.

/** Milliseconds of work after which others have their turn. */
const SLICE = 20;
/** The most milliseconds that work waits after a slice, however long that took. */
const MOST_WAIT = 100;

let [began, ends] = [0, 0];
/** Whether others have had a turn since the slice began. */
let passed = true;
let last: Promise<void> = Promise.resolve();

/**
 * Resolves when the caller may go on for about a slice: at once within the slice under way, else after half the time
 * that it took, 100 ms at most: slices up to 200 ms leave others a third of the time, longer ones less. Waiting callers
 * proceed one after another.
 */
export async function turn(): Promise<void> {
  while (performance.now() >= ends) await (last = last.then(slice));
}

async function slice(): Promise<void> {
  const now = performance.now();
  if (now < ends) return;
  const took = passed ? 0 : Math.min(MOST_WAIT, (now - began) / 2);
  await new Promise<void>((resolve) => void setTimeout(resolve, took));
  began = performance.now();
  ends = began + SLICE;
  passed = false;
  setTimeout(() => (passed = true));
}
