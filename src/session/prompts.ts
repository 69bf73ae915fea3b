// What a session goes on from: texts, tokens, messages of a chat.
import type { ChatTemplate, Message } from "../tokenizer/chat.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import { SessionError } from "./errors.js";

/** A text, its tokens, or the messages of a chat, whose last one is to be answered. */
export type Prompt = string | ArrayLike<number> | readonly Message[];

/** One prompt, or several that go on at once. */
export type Prompts = Prompt | { readonly prompts: readonly Prompt[] };

/** Throws SessionError for what is no prompt. */
export function promptsOf(given: Prompts): readonly Prompt[] {
  const prompts = typeof given === "object" && given !== null && "prompts" in given ? given.prompts : [given];
  for (const prompt of prompts)
    if (typeof prompt !== "string" && (typeof prompt !== "object" || prompt === null || typeof prompt.length !== "number"))
      throw new SessionError(`a prompt is a text, a list of tokens or of messages, found ${prompt === null ? "null" : typeof prompt}`);
  return prompts;
}

/**
 * Tokens of a prompt. A text is read with what the tokenizer puts around a whole text; the template of a chat has that already. Throws TokenizerError, and SessionError for a chat
 * without a template.
 */
export function tokensOf(prompt: Prompt, tokenizer: Tokenizer, chat: ChatTemplate | null): ArrayLike<number> {
  if (typeof prompt === "string") return tokenizer.encode(prompt, { template: true });
  if (!isChat(prompt)) return prompt;
  if (chat === null)
    throw new SessionError("the model has no chat template", { hint: "give the prompt as text, or a folder whose tokenizer_config.json has a chat_template" });
  return tokenizer.encode(chat.prompt(prompt));
}

const isChat = (prompt: ArrayLike<number> | readonly Message[]): prompt is readonly Message[] => typeof prompt[0] === "object";
