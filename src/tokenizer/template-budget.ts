// What a chat template may still do: steps, and characters of a text.

/**
 * Steps for any messages, and how many more for each and for each of its characters. A step takes a microsecond or two.
 */
const STEPS = { any: 300_000, message: 300, character: 0.25 } as const;
/** Characters of any text that comes up, and how many more for each that is given. */
const TEXT = { any: 4_000_000, character: 8 } as const;

/** What a template does that would not end, or not soon. */
export class TemplateLimit extends Error {
  override readonly name = "TemplateLimit";
}

/** What may still be done. */
export class Budget {
  readonly #most: number;
  #left: number;
  /** Characters of the longest text. */
  readonly text: number;

  /** For a template that is given so many messages, of so many characters together. */
  constructor(messages: number, characters: number) {
    this.#most = STEPS.any + STEPS.message * messages + Math.ceil(STEPS.character * characters);
    this.#left = this.#most;
    this.text = TEXT.any + TEXT.character * characters;
  }

  spend(steps: number): void {
    this.#left -= steps;
    if (!(this.#left >= 0))
      throw new TemplateLimit(`it takes more than ${this.#most} steps: its loops do not end, or not soon`);
  }

  expectText(characters: number): void {
    if (!(characters <= this.text)) throw new TemplateLimit(`it makes a text of more than ${this.text} characters`);
  }
}
