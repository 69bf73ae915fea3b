// Repeats attempts after a delay that grows each time.

/** The first delay and the longest delay, in milliseconds. */
const FIRST = 1000;
const MOST = 30_000;

export class Retry {
  #delay = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #rests = false;

  /** Whether an attempt is scheduled. */
  get rests(): boolean {
    return this.#rests;
  }

  /** Calls `attempt` after twice the previous delay. In Node, the timer does not keep the process alive. */
  after(attempt: () => void): void {
    clearTimeout(this.#timer);
    this.#delay = Math.min(MOST, Math.max(FIRST, 2 * this.#delay));
    this.#rests = true;
    this.#timer = setTimeout(() => {
      this.#rests = false;
      attempt();
    }, this.#delay);
    if (typeof this.#timer === "object") this.#timer.unref(); // in a page a timer is a number
  }

  /** Cancels the scheduled attempt and resets the delay, after a success or if no attempt is wanted any more. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#delay = 0;
    this.#rests = false;
  }
}
