// Callers of one generator take turns, in the order in which they came.

export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /** Waits for the turns before; returns a function that ends this turn. Throws the reason of `signal`. */
  async next(signal: AbortSignal | undefined): Promise<() => void> {
    const before = this.#last;
    let end = (): void => {};
    const ended = new Promise<void>((resolve) => (end = resolve));
    this.#last = before.then(() => ended);
    let stop = (): void => {};
    const stopped = new Promise<void>((resolve) => (stop = resolve));
    signal?.addEventListener("abort", stop);
    try {
      await Promise.race([before, stopped]);
      signal?.throwIfAborted();
      return end;
    } catch (error) {
      end();
      throw error;
    } finally {
      signal?.removeEventListener("abort", stop);
    }
  }
}
