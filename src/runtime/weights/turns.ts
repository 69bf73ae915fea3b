// Runs long work in pieces, so that the event loop can handle other events, such as an interrupt, between two pieces.

/** Yields to the event loop. If it throws, the work ends. */
export type Pause = () => Promise<void>;

/** Milliseconds between two pauses, or the length of a piece if that is longer. */
const LONGEST_TURN = 50;

/** Runs all pieces, with pauses. */
export async function inTurns<T>(pieces: Generator<void, T>, pause: Pause): Promise<T> {
  for (let last = performance.now(); ;) {
    const { done, value } = pieces.next();
    if (done) return value;
    if (performance.now() - last < LONGEST_TURN) continue;
    await pause();
    last = performance.now();
  }
}

/** Runs all pieces without pauses. */
export function atOnce<T>(pieces: Generator<void, T>): T {
  for (;;) {
    const { done, value } = pieces.next();
    if (done) return value;
  }
}
