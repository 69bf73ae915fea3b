// Errors of tokenizers and chat templates: what is wrong with a file, a text or messages, in one sentence with a hint.

export type TokenizerErrorCode = "bad-tokenizer" | "bad-template" | "bad-text" | "bad-token";

/** A fault of a tokenizer's files, or of what it is given. */
export class TokenizerError extends Error {
  override readonly name = "TokenizerError";
  readonly code: TokenizerErrorCode;
  /** How to mend it; null where nothing simple helps. */
  readonly hint: string | null;

  constructor(code: TokenizerErrorCode, message: string, options: { readonly hint?: string | null; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint ?? null;
  }
}
