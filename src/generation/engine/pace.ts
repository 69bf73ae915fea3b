// How much is submitted at once: steps ahead of their answers, and tokens of a prompt between steps. Pure: the times
// of runs in, numbers out.

/** Steps are submitted ahead for about so many milliseconds, so that the device does not wait for the host. */
const AHEAD = 40;
/** The most steps in flight. */
export const MOST_AHEAD = 8;
/** A chunk of prompts takes about as long as this number of steps: a token may wait for it. */
const STEPS_A_CHUNK = 1.25;
const LEAST_CHUNK = 16;
/** Tokens by which a chunk becomes longer or shorter. */
const MORE = 16;
const FIRST_CHUNK = 64;
/** After so many chunks, a length that took too long is tried again. */
const FORGOTTEN = 64;
/** Weight of a new measurement. */
const NEW = 0.2;

const mixed = (old: number | null, now: number): number => (old === null ? now : old + NEW * (now - old));

export class Pace {
  readonly #chunk: number;
  /** Milliseconds of a step, and of a request on the device. */
  #step: number | null = null;
  #request: number | null = null;
  /** Tokens of a chunk between steps: adapted until a chunk takes the time that it may. */
  #between: number;
  /** The length of a chunk that took too long, and the chunks since. */
  #tooLong = Infinity;
  #since = 0;
  #answered = 0;
  #compiling = 0;

  constructor(chunk: number) {
    this.#chunk = chunk;
    this.#between = Math.min(chunk, FIRST_CHUNK);
  }

  /** The most steps in flight. `hurry`: prompts wait to be read after these steps. */
  ahead(hurry: boolean): number {
    if (this.#step === null) return 1;
    const wanted = Math.ceil(AHEAD / Math.max(0.1, this.#step));
    return Math.max(hurry ? 1 : 2, Math.min(MOST_AHEAD, hurry ? wanted >> 1 : wanted));
  }

  /** Tokens of prompts in the next run. `others`: texts are being generated, which wait for it. */
  chunk(others: boolean): number {
    return others ? this.#between : this.#chunk;
  }

  /**
   * Records a run that was submitted when it `began` and is answered `now`, and returns how long it took. `compiling`:
   * milliseconds waited for kernels so far.
   */
  ran(
    { kind, began }: { readonly kind: "prompt" | "step"; readonly began: number },
    tokens: number,
    compiling: number,
    now: number,
  ): number {
    // A run that was submitted after others began at their end.
    const milliseconds = now - Math.max(began, this.#answered);
    this.#answered = now;
    const waited = compiling !== this.#compiling;
    this.#compiling = compiling;
    if (waited) return milliseconds;
    if (kind === "step") this.#step = mixed(this.#step, milliseconds);
    else if (this.#step !== null) {
      const most = STEPS_A_CHUNK * this.#step;
      if (++this.#since > FORGOTTEN) this.#tooLong = Infinity;
      // A shorter one says nothing of a chunk that takes too little.
      if (milliseconds > most && tokens <= this.#between) {
        this.#tooLong = this.#between;
        this.#since = 0;
        this.#between = Math.max(Math.min(LEAST_CHUNK, this.#chunk), this.#between - MORE);
      } else if (milliseconds < most && tokens >= this.#between && this.#between + MORE < this.#tooLong)
        this.#between = Math.min(this.#chunk, this.#between + MORE);
    }
    return milliseconds;
  }

  /** Records how long a request was on the device. */
  ended(milliseconds: number): void {
    this.#request = mixed(this.#request, milliseconds);
  }

  /** Seconds until so many waiting requests will have begun, at least 1. */
  secondsFor(waiting: number, batch: number): number {
    return Math.max(1, Math.min(600, Math.ceil(((this.#request ?? 1000) * waiting) / batch / 1000)));
  }
}
