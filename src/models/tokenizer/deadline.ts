// The time that encoding a text may take.
import { TokenizerError } from "./errors.js";

/** Milliseconds for any text, and for each of its characters: ten times what a slow machine takes. */
const TIME = { any: 2000, character: 0.2 } as const;

/** The most milliseconds for a text of this number of characters. */
export const timeFor = (characters: number): number => Math.ceil(TIME.any + TIME.character * characters);

/** A text takes longer than it may. */
export const tooSlow = (file: string, milliseconds: number): TokenizerError =>
  new TokenizerError(
    "too-slow",
    `${file} takes more than ${(milliseconds / 1000).toFixed(1)} s for this text: its patterns or its vocabulary ` +
      `may never end`,
    { file, hint: "use a tokenizer.json that you trust, or another text" },
  );

/** How often the clock is read: an attempt of a pattern takes up to some milliseconds in a long text. */
const CHECKS = 16;

/** The deadline of the text that is being encoded; none before `start`. */
export class Deadline {
  #end = Infinity;
  #milliseconds = 0;
  #checks = 0;

  constructor(readonly file: string) {}

  start(characters: number): void {
    this.#milliseconds = timeFor(characters);
    this.#end = performance.now() + this.#milliseconds;
  }

  /** Throws TokenizerError after the deadline. */
  check(): void {
    if (++this.#checks % CHECKS === 0 && performance.now() > this.#end) throw tooSlow(this.file, this.#milliseconds);
  }
}
