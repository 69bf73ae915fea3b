// Errors of tokenizers and chat templates: what is wrong with a file, a text or messages, in one sentence with a hint.
import { ModcError, type FaultOptions } from "../../ground/base/errors.js";

export type TokenizerErrorCode = "bad-tokenizer" | "bad-template" | "bad-text" | "bad-token" | "too-slow" | "busy";

/** An error in a tokenizer's files, or in the text or messages passed to it. */
export class TokenizerError extends ModcError<TokenizerErrorCode> {
  override readonly name = "TokenizerError";
  /** The file that the message names, which a server does not reveal to clients; null: none. */
  readonly file: string | null;

  constructor(
    code: TokenizerErrorCode,
    message: string,
    { file = null, ...options }: FaultOptions & { readonly file?: string | null } = {},
  ) {
    super(code, message, options);
    this.file = file;
  }
}
