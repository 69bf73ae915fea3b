// Work that takes long, in pieces: whatever waits for the event loop, such as an interrupt, is heard between two.

/** Lets others have a turn; what it throws ends the work. */
export type Pause = () => Promise<void>;

/** Milliseconds that nobody else has a turn, or as long as a piece of the work takes. */
const LONGEST_TURN = 50;

/** Goes through the pieces with pauses. */
export async function inTurns<T>(pieces: Generator<void, T>, pause: Pause): Promise<T> {
  for (let last = performance.now(); ;) {
    const { done, value } = pieces.next();
    if (done) return value;
    if (performance.now() - last < LONGEST_TURN) continue;
    await pause();
    last = performance.now();
  }
}

/** Goes through the pieces at once. */
export function atOnce<T>(pieces: Generator<void, T>): T {
  for (;;) {
    const { done, value } = pieces.next();
    if (done) return value;
  }
}
