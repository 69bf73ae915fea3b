// Collects one sequence's text: tokens become characters, and a stop string ends it.
import { StopMatcher } from "./stop.js";

/** A streaming decoder of one sequence's tokens. */
export interface TokenDecoder {
  /** The characters that a token completes; often none. */
  add(token: number): string;
  /** The remaining text after the last token. */
  finish(): string;
}

/** Collects the text of one sequence that can be shown. */
export class TextWriter {
  readonly #matcher: StopMatcher;
  #fresh = "";
  #stopped = false;

  constructor(
    readonly decoder: TokenDecoder,
    stop: readonly string[],
  ) {
    this.#matcher = new StopMatcher(stop);
  }

  /** Whether a stop string ended the text. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Adds a token; returns whether a stop string has ended the text. */
  add(token: number): boolean {
    return this.#write(this.decoder.add(token));
  }

  /** Adds the withheld text, unless a stop string ended the text. */
  finish(): void {
    if (!this.#stopped && !this.#write(this.decoder.finish())) this.#fresh += this.#matcher.end();
  }

  /** Returns the text since the last call. */
  take(): string {
    const text = this.#fresh;
    this.#fresh = "";
    return text;
  }

  #write(piece: string): boolean {
    const { text, stop } = this.#matcher.push(piece);
    this.#fresh += text;
    this.#stopped ||= stop !== null;
    return this.#stopped;
  }
}
