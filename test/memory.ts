// What a process holds, looked at again and again over a stretch of its work.

/**
 * The JavaScript heap may hold garbage of any age, and the younger part of it grows as the engine likes: the least that
 * is used is what lives. Outside the heap, the largest value counts.
 */
export class Memory {
  #native = 0;
  #live = Infinity;

  look(): void {
    const { rss, heapTotal, heapUsed } = process.memoryUsage();
    this.#native = Math.max(this.#native, rss - heapTotal);
    this.#live = Math.min(this.#live, heapUsed);
  }

  /** Bytes by which this stretch holds more than one before: outside of the heap or in it, whichever grew more. */
  growthSince(before: Memory): number {
    return Math.max(this.#native - before.#native, this.#live - before.#live);
  }
}
