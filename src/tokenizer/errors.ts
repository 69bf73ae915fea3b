// Errors of tokenizers and chat templates: what is wrong with a file, a text or messages, in one sentence with a hint.
import { ModcError } from "../base/errors.js";

export type TokenizerErrorCode = "bad-tokenizer" | "bad-template" | "bad-text" | "bad-token";

/** An error in a tokenizer's files, or in the text or messages passed to it. */
export class TokenizerError extends ModcError<TokenizerErrorCode> {
  override readonly name = "TokenizerError";
}
