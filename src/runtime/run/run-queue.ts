// Orders the runs of a session and of the sessions that share its states. Each run starts after the earlier run has
// started, so that several may be on the device at once.

export class RunQueue {
  /** The last turn taken, shared by the queues of sessions with common states. */
  readonly #turns: { last: Promise<unknown> };
  /** Runs on the device whose results have not been read yet. */
  readonly #reading = new Set<Promise<unknown>>();

  /** `beside`: the queue to share turns with. */
  constructor(beside: RunQueue | null) {
    this.#turns = beside ? beside.#turns : { last: Promise.resolve() };
  }

  /** Calls `begin` in its turn. If it fails, the caller gets the error and the next turn proceeds. */
  next<T>(begin: () => Promise<T>): Promise<T> {
    const turn = this.#turns.last.then(begin);
    this.#turns.last = Promise.allSettled([turn]);
    return turn;
  }

  /**
   * Calls `body` in its turn, once no run of this queue is on the device. The device itself orders the runs of other
   * queues.
   */
  alone<T>(body: () => Promise<T>): Promise<T> {
    return this.next(async () => {
      await this.drained();
      return body();
    });
  }

  /** Counts a run as on the device until its results are read. */
  hold<T>(reading: Promise<T>): Promise<T> {
    const tracked = reading.finally(() => this.#reading.delete(tracked));
    this.#reading.add(tracked);
    return tracked;
  }

  /** Resolves once no run of this queue is on the device. */
  async drained(): Promise<void> {
    await Promise.allSettled(this.#reading);
  }
}
