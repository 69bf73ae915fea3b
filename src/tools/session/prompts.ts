// Encodes the prompts of a session as tokens.
import { isChat, type Prompt } from "../../generation/generate/prompts.js";
import type { ChatTemplate } from "../../models/tokenizer/chat.js";
import type { EncodeAsyncOptions, Tokenizer } from "../../models/tokenizer/tokenizer.js";
import { SessionError } from "../../models/errors.js";

/**
 * Encodes a prompt. For a text the tokenizer adds the tokens that it puts around a whole text; a chat template already
 * contains them. Throws TokenizerError, SessionError for a chat if there is no template, and the reason of `signal`.
 */
export async function tokensOf(
  prompt: Prompt,
  tokenizer: Tokenizer,
  chat: ChatTemplate | null,
  options: Omit<EncodeAsyncOptions, "template"> = {},
): Promise<ArrayLike<number>> {
  if (typeof prompt === "string") return tokenizer.encodeAsync(prompt, { ...options, template: true });
  if (!isChat(prompt)) return prompt;
  return tokenizer.encodeAsync(await expectTemplate(chat).promptAsync(prompt, signalOf(options)), options);
}

const signalOf = ({ signal }: EncodeAsyncOptions): { readonly signal?: AbortSignal } => (signal ? { signal } : {});

/** Throws SessionError if there is no template. */
export function expectTemplate(chat: ChatTemplate | null): ChatTemplate {
  if (chat !== null) return chat;
  throw new SessionError("the model has no chat template", {
    hint: "give the prompt as text, or choose a template: --chat-template chatml, or `chatTemplate` in code",
  });
}
