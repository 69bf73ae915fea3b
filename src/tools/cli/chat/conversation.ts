// The messages of a conversation, as the tokens that the next answer continues: by the chat template, or as one text if
// there is no template.
import { expectTemplate, tokensOf, type SessionTexts } from "../../session/session.js";

interface Exchange {
  readonly message: string;
  readonly answer: string;
}

/** A message of a conversation, as chat templates have it. */
export interface Said {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
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
  /** How many exchanges are forgotten, the oldest ones. */
  #forgotten = 0;

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
  async asked(message: string, fits: (tokens: readonly number[]) => boolean, signal: AbortSignal): Promise<Asked> {
    const all = this.#exchanges.length - this.#forgotten;
    const from = async (dropped: number): Promise<Asked> => ({
      message,
      tokens: await this.#tokens(dropped, message, signal),
      dropped,
    });
    const complete = await from(0);
    if (all === 0 || fits(complete.tokens)) return complete;
    const alone = await from(all);
    if (!fits(alone.tokens)) return alone;
    for (let dropped = 1; dropped < all; dropped++) {
      const some = await from(dropped);
      if (fits(some.tokens)) return some;
    }
    return alone;
  }

  /** Keeps the message and its answer, and forgets what was left out. */
  answered({ message, dropped }: Asked, answer: string): void {
    this.#exchanges = [...this.#exchanges, { message, answer }];
    this.#forgotten += dropped;
  }

  /** Takes the last exchange back: its message, and how to restore it; null if there is none. */
  takeBack(): { readonly message: string; readonly restore: () => void } | null {
    const [exchanges, forgotten] = [this.#exchanges, this.#forgotten];
    const last = exchanges.at(-1);
    if (!last) return null;
    this.#exchanges = exchanges.slice(0, -1);
    this.#forgotten = Math.min(forgotten, this.#exchanges.length);
    return { message: last.message, restore: () => ([this.#exchanges, this.#forgotten] = [exchanges, forgotten]) };
  }

  /** All messages since the start or the last reset, forgotten ones too; none without an answer. */
  get messages(): readonly Said[] {
    if (this.#exchanges.length === 0) return [];
    return this.#said(this.#exchanges);
  }

  /** Forgets all but the message of the system. */
  reset(): void {
    this.#exchanges = [];
    this.#forgotten = 0;
  }

  #said(exchanges: readonly Exchange[]): readonly Said[] {
    return [
      ...(this.#system === null ? [] : [{ role: "system", content: this.#system } as const]),
      ...exchanges.flatMap(({ message, answer }): readonly Said[] => [
        { role: "user", content: message },
        { role: "assistant", content: answer },
      ]),
    ];
  }

  async #tokens(dropped: number, message: string, signal: AbortSignal): Promise<readonly number[]> {
    const { tokenizer, chat } = this.#texts;
    const kept = this.#exchanges.slice(this.#forgotten + dropped);
    const prompt = chat
      ? [...this.#said(kept), { role: "user", content: message }]
      : kept.map((turn) => `${turn.message}${turn.answer}\n`).join("") + message;
    return Array.from(await tokensOf(prompt, tokenizer, chat, { signal, alone: true }));
  }
}
