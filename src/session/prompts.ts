// Encodes the prompts of a session as tokens.
import { isChat, type Prompt } from "../generate/prompts.js";
import type { ChatTemplate } from "../tokenizer/chat.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import { SessionError } from "./errors.js";

/**
 * Encodes a prompt. For a text the tokenizer adds the tokens that it puts around a whole text; a chat template already
 * contains them. Throws TokenizerError, and SessionError for a chat if there is no template.
 */
export function tokensOf(prompt: Prompt, tokenizer: Tokenizer, chat: ChatTemplate | null): ArrayLike<number> {
  if (typeof prompt === "string") return tokenizer.encode(prompt, { template: true });
  if (!isChat(prompt)) return prompt;
  return tokenizer.encode(expectTemplate(chat).prompt(prompt));
}

/** Throws SessionError if there is no template. */
export function expectTemplate(chat: ChatTemplate | null): ChatTemplate {
  if (chat !== null) return chat;
  throw new SessionError("the model has no chat template", {
    hint: "give the prompt as text, or choose a template: --chat-template chatml, or `chatTemplate` in code",
  });
}
