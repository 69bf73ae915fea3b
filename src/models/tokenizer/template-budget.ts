// The budget of a chat template: steps, and characters of a text.

/**
 * The base number of steps, and the steps added for each message and each of its characters. A step takes one or two
 * microseconds.
 */
const STEPS = { any: 300_000, message: 300, character: 0.25 } as const;
/** The base limit on the length of any text, and the characters added for each input character. */
const TEXT = { any: 4_000_000, character: 8 } as const;

/** Thrown if a template would run too long or produce too much text. */
export class TemplateLimit extends Error {
  override readonly name = "TemplateLimit";
}

/** The remaining budget. */
export class Budget {
  readonly #most: number;
  #left: number;
  /** The limit on the length of a text. */
  readonly text: number;

  /** The budget for a number of messages with a total number of characters; `most`: steps at most, whatever they are. */
  constructor(messages: number, characters: number, most = Infinity) {
    this.#most = Math.min(most, STEPS.any + STEPS.message * messages + Math.ceil(STEPS.character * characters));
    this.#left = this.#most;
    this.text = TEXT.any + TEXT.character * characters;
  }

  spend(steps: number): void {
    this.#left -= steps;
    if (!(this.#left >= 0)) throw new TemplateLimit(`it takes more than ${this.#most} steps: its loops may never end`);
  }

  expectText(characters: number): void {
    if (!(characters <= this.text)) throw new TemplateLimit(`it writes more than ${this.text} characters`);
  }
}
