// Trying again after a while, which grows each time.

/** Milliseconds before the first attempt, and at most. */
const FIRST = 1000;
const MOST = 30_000;

export class Retry {
  #delay = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #rests = false;

  /** Whether an attempt is due later. */
  get rests(): boolean {
    return this.#rests;
  }

  /** Calls `attempt` after twice the delay of the last time. Its timer keeps no process of Node's alive. */
  after(attempt: () => void): void {
    clearTimeout(this.#timer);
    this.#delay = Math.min(MOST, Math.max(FIRST, 2 * this.#delay));
    this.#rests = true;
    this.#timer = setTimeout(() => {
      this.#rests = false;
      attempt();
    }, this.#delay);
    if (typeof this.#timer === "object") this.#timer.unref(); // a page's is a number
  }

  /** The attempt succeeded, or none is wanted any more: none follows, and the next delay is the first. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#delay = 0;
    this.#rests = false;
  }
}
