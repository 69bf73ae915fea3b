// Long work in pieces: between two of them whatever else waits has its turn, signals and timers among it.

/** Milliseconds without a turn for others. */
const MOST_MS = 50;

export class Turns {
  readonly #signal: AbortSignal | undefined;
  #last = performance.now();

  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  /** Between two pieces; throws the signal's reason once it is aborted. */
  async take(): Promise<void> {
    if (performance.now() - this.#last >= MOST_MS) {
      await new Promise((resolve) => void setImmediate(resolve));
      this.#last = performance.now();
    }
    this.#signal?.throwIfAborted();
  }
}
