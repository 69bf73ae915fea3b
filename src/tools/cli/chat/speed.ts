// The speed of an answer, in one line.
import type { RequestUse } from "../../../generation/engine/index.js";
import { rate } from "../generate/generation-summary.js";
import { milliseconds, plural } from "../terminal/units.js";

/** Measures an answer from the time when it is made. */
export class Stopwatch {
  readonly #start = performance.now();
  #first: number | null = null;
  #last = this.#start;
  #tokens = 0;

  /** Counts a token. */
  token(): void {
    this.#last = performance.now();
    this.#first ??= this.#last;
    this.#tokens++;
  }

  /** `24 tokens at 32.3 tokens/s, the first after 212 ms (18 tokens read, 230 cached)`; null without a token. */
  line({ promptTokens, cachedTokens }: Pick<RequestUse, "promptTokens" | "cachedTokens">): string | null {
    if (this.#first === null) return null;
    const later = this.#tokens - 1;
    const speed = later === 0 ? "" : ` at ${rate(later, this.#last - this.#first)}`;
    const cached = cachedTokens === 0 ? "" : `, ${cachedTokens} cached`;
    return (
      `${plural(this.#tokens, "token")}${speed}, the first after ${milliseconds(this.#first - this.#start)} ms ` +
      `(${plural(promptTokens, "token")} read${cached})`
    );
  }
}
