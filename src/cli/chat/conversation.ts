// What was said, as the tokens that the next answer goes on from: by the chat template, or as one text that goes on
// where there is none.
import { expectTemplate, tokensOf } from "../../session/prompts.js";
import type { SessionTexts } from "../../session/session.js";

interface Exchange {
  readonly message: string;
  readonly answer: string;
}

/** A message with what was said before it, as far as there is room for it. */
export interface Asked {
  readonly message: string;
  readonly tokens: readonly number[];
  /** How many exchanges are left out, the oldest ones. */
  readonly dropped: number;
}

export class Conversation {
  readonly #texts: Pick<SessionTexts, "tokenizer" | "chat">;
  readonly #system: string | null;
  #exchanges: readonly Exchange[] = [];

  /** Throws SessionError for a message of the system without a template. */
  constructor(texts: Pick<SessionTexts, "tokenizer" | "chat">, system: string | null) {
    if (system !== null) expectTemplate(texts.chat);
    this.#texts = texts;
    this.#system = system;
  }

  /**
   * The tokens of what was said, with a message more. The oldest exchanges are left out until `fits` holds, or none is
   * left; the message of the system stays.
   */
  asked(message: string, fits: (tokens: readonly number[]) => boolean): Asked {
    const all = this.#exchanges.length;
    const from = (dropped: number): Asked => ({ message, tokens: this.#tokens(dropped, message), dropped });
    const whole = from(0);
    if (all === 0 || fits(whole.tokens)) return whole;
    const alone = from(all);
    if (!fits(alone.tokens)) return alone;
    for (let dropped = 1; dropped < all; dropped++) {
      const some = from(dropped);
      if (fits(some.tokens)) return some;
    }
    return alone;
  }

  /** Keeps the message and its answer, and forgets what was left out. */
  answered({ message, dropped }: Asked, answer: string): void {
    this.#exchanges = [...this.#exchanges.slice(dropped), { message, answer }];
  }

  /** Forgets all but the message of the system. */
  reset(): void {
    this.#exchanges = [];
  }

  #tokens(dropped: number, message: string): readonly number[] {
    const { tokenizer, chat } = this.#texts;
    const kept = this.#exchanges.slice(dropped);
    const prompt = chat
      ? [
          ...(this.#system === null ? [] : [{ role: "system", content: this.#system }]),
          ...kept.flatMap((own) => [
            { role: "user", content: own.message },
            { role: "assistant", content: own.answer },
          ]),
          { role: "user", content: message },
        ]
      : kept.map((own) => `${own.message}${own.answer}\n`).join("") + message;
    return Array.from(tokensOf(prompt, tokenizer, chat));
  }
}
