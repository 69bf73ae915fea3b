// Yields to the event loop between pieces of long work, so that signals and timers are handled.

/** Milliseconds between two turns. */
const MOST_MS = 50;

export class Turns {
  readonly #signal: AbortSignal | undefined;
  #last = performance.now();

  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  /** Call between two pieces. Throws the signal's reason once it is aborted. */
  async take(): Promise<void> {
    if (performance.now() - this.#last >= MOST_MS) {
      await new Promise((resolve) => void setImmediate(resolve));
      this.#last = performance.now();
    }
    this.#signal?.throwIfAborted();
  }
}
