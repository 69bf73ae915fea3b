// The order of a session's runs: each begins when the one before has begun, so that two may be on the device at once.

export class RunQueue {
  #last: Promise<unknown> = Promise.resolve();
  /** Runs that the device has, and whose results are not read yet. */
  readonly #reading = new Set<Promise<unknown>>();

  /** Calls `begin` in its turn. The next turn does not care whether this one failed; the caller has the error. */
  next<T>(begin: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(begin);
    this.#last = Promise.allSettled([turn]);
    return turn;
  }

  /** Calls `body` in its turn, once no run is on the device. */
  alone<T>(body: () => Promise<T>): Promise<T> {
    return this.next(async () => {
      await this.drained();
      return body();
    });
  }

  /** Counts a run as on the device until its results are read. */
  hold<T>(reading: Promise<T>): Promise<T> {
    const held = reading.finally(() => this.#reading.delete(held));
    this.#reading.add(held);
    return held;
  }

  /** Once no run is on the device. */
  async drained(): Promise<void> {
    await Promise.allSettled(this.#reading);
  }
}
