// Streaming decoder: the text of tokens one at a time, never part of a character.
import type { Tokenizer } from "./tokenizer.js";

/**
 * The number of earlier tokens decoded as context: a character has at most four bytes, so the next token is decoded as
 * in the whole text.
 */
const CONTEXT = 4;
/** The limit on tokens that are decoded again for each new one. */
const MAX_REDECODED = 16;
/** The character that decoders output for invalid or incomplete bytes. */
const REPLACEMENT = "\ufffd";

/**
 * Decodes tokens one at a time. The concatenated results of `add` and `finish` equal the text of all tokens decoded at
 * once; incomplete bytes at the end are withheld until they form a character, or no longer can.
 */
export class TextStream {
  private window: readonly number[] = [];
  /** The number of characters of the window's text already returned. */
  private emitted = 0;

  constructor(
    private readonly tokenizer: Tokenizer,
    private readonly options: { readonly special?: boolean } = {},
  ) {}

  /** The text that a token completes; often none. Throws TokenizerError for an invalid token. */
  add(token: number): string {
    // Skip a special token: it must not influence the text around it.
    if (!this.options.special && this.tokenizer.isSpecial(token)) return "";
    const window = [...this.window, token];
    const text = this.tokenizer.decode(window, this.options);
    this.window = window;
    // Only the last replacement character may still become a real one: decoders output one for all bytes of an
    // incomplete character.
    const whole = text.endsWith(REPLACEMENT) ? text.slice(0, -REPLACEMENT.length) : text;
    const fresh = whole.slice(this.emitted);
    this.emitted = Math.max(this.emitted, whole.length);
    if (whole === text && window.length >= MAX_REDECODED) this.shorten();
    return fresh;
  }

  /** The remaining text at the end: bytes that did not form a character. */
  finish(): string {
    const text = this.window.length === 0 ? "" : this.tokenizer.decode(this.window, this.options);
    const rest = text.slice(this.emitted);
    this.window = [];
    this.emitted = 0;
    return rest;
  }

  private shorten(): void {
    this.window = this.window.slice(-CONTEXT);
    this.emitted = this.tokenizer.decode(this.window, this.options).length;
  }
}

/**
 * The text that each token adds to the previous ones; a character of several tokens belongs to the last. Special tokens
 * are shown.
 */
export function piecesOf(tokenizer: Tokenizer, tokens: readonly number[]): readonly string[] {
  const stream = new TextStream(tokenizer, { special: true });
  const pieces = tokens.map((token) => stream.add(token));
  return pieces.map((piece, i) => (i === pieces.length - 1 ? piece + stream.finish() : piece));
}
