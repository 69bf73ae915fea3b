// Text of tokens as they come, one at a time: never a part of a character.
import type { Tokenizer } from "./tokenizer.js";

/**
 * Tokens that stay as context: a character has at most four bytes, so what follows one is decoded as it would be in the
 * whole.
 */
const CONTEXT = 4;
/** Tokens that are decoded again for each new one, at most. */
const MOST = 16;
/** What decoders put for bytes that are no character, or none yet. */
const REPLACEMENT = "\ufffd";

/**
 * Decodes tokens as they come. All that `add` and `finish` return, put together, is what decoding all tokens at once
 * gives; bytes at the end that are no character yet are held back until they are one, or no longer can be.
 */
export class TextStream {
  private window: readonly number[] = [];
  /** Characters of the window's text that were given out. */
  private given = 0;

  constructor(
    private readonly tokenizer: Tokenizer,
    private readonly options: { readonly special?: boolean } = {},
  ) {}

  /** The text that a token completes; often none. Throws TokenizerError for what is no token. */
  add(token: number): string {
    // What is left out leaves no trace in what is decoded around it.
    if (!this.options.special && this.tokenizer.isSpecial(token)) return "";
    const window = [...this.window, token];
    const text = this.tokenizer.decode(window, this.options);
    this.window = window;
    // Only the last replacement may still become a character: a decoder puts one for all bytes of a character that is
    // cut short.
    const whole = text.endsWith(REPLACEMENT) ? text.slice(0, -REPLACEMENT.length) : text;
    const fresh = whole.slice(this.given);
    this.given = Math.max(this.given, whole.length);
    if (whole === text && window.length >= MOST) this.shorten();
    return fresh;
  }

  /** What is left at the end: bytes that became no character. */
  finish(): string {
    const text = this.window.length === 0 ? "" : this.tokenizer.decode(this.window, this.options);
    const rest = text.slice(this.given);
    this.window = [];
    this.given = 0;
    return rest;
  }

  private shorten(): void {
    this.window = this.window.slice(-CONTEXT);
    this.given = this.tokenizer.decode(this.window, this.options).length;
  }
}

/**
 * The text each token adds to those before it; a character of several tokens stands with the last. Special tokens are
 * shown.
 */
export function piecesOf(tokenizer: Tokenizer, tokens: readonly number[]): readonly string[] {
  const stream = new TextStream(tokenizer, { special: true });
  const pieces = tokens.map((token) => stream.add(token));
  return pieces.map((piece, i) => (i === pieces.length - 1 ? piece + stream.finish() : piece));
}
