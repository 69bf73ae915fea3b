// What was said, as the tokens that the next answer goes on from.
import { tokensOf } from "../../session/prompts.js";
import type { SessionTexts } from "../../session/session.js";
import type { Message } from "../../tokenizer/chat.js";

export interface Conversation {
  /** The tokens of what was said, with a message more; it is kept only when it is answered. */
  asked(message: string): readonly number[];
  /** Keeps the message that was asked last, and its answer. */
  answered(answer: string): void;
  /** Forgets all but the message that comes first. */
  reset(): void;
}

/** By the chat template, or as one text that goes on where there is none. */
export const conversationOf = (texts: Pick<SessionTexts, "tokenizer" | "chat">, system: string | null): Conversation =>
  texts.chat ? new Messages(texts, system) : new RunningText(texts, system);

class Messages implements Conversation {
  readonly #texts: Pick<SessionTexts, "tokenizer" | "chat">;
  readonly #first: readonly Message[];
  #messages: Message[];
  #asked: Message | null = null;

  constructor(texts: Pick<SessionTexts, "tokenizer" | "chat">, system: string | null) {
    this.#texts = texts;
    this.#first = system === null ? [] : [{ role: "system", content: system }];
    this.#messages = [...this.#first];
  }

  asked(content: string): readonly number[] {
    this.#asked = { role: "user", content };
    return Array.from(tokensOf([...this.#messages, this.#asked], this.#texts.tokenizer, this.#texts.chat));
  }

  answered(content: string): void {
    if (this.#asked) this.#messages.push(this.#asked, { role: "assistant", content });
    this.#asked = null;
  }

  reset(): void {
    this.#messages = [...this.#first];
  }
}

class RunningText implements Conversation {
  readonly #texts: Pick<SessionTexts, "tokenizer" | "chat">;
  readonly #first: string;
  #text: string;
  #asked = "";

  constructor(texts: Pick<SessionTexts, "tokenizer" | "chat">, system: string | null) {
    this.#texts = texts;
    this.#first = this.#text = system === null ? "" : `${system}\n`;
  }

  asked(message: string): readonly number[] {
    this.#asked = message;
    return Array.from(tokensOf(this.#text + message, this.#texts.tokenizer, null));
  }

  answered(answer: string): void {
    this.#text += `${this.#asked}${answer}\n`;
  }

  reset(): void {
    this.#text = this.#first;
  }
}
