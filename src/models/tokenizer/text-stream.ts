// Streaming decoder: the text of tokens one at a time, never part of a character.
import { TokenizerError } from "./errors.js";
import type { Tokenizer } from "./tokenizer.js";

/**
 * The number of earlier tokens decoded as context: a character has at most four bytes, so the next token is decoded as
 * in the whole text.
 */
const CONTEXT = 4;
/** The limit on tokens that are decoded again for each new one. */
const MAX_REDECODED = 16;
/** The limit while each of them ends in bytes that are no character, yet or ever. */
const MAX_INCOMPLETE = 4 * MAX_REDECODED;
/** The character that decoders output for invalid or incomplete bytes. */
const REPLACEMENT = "\ufffd";

/**
 * Decodes tokens one at a time. The concatenated results of `add` and `finish` equal the text of all tokens decoded at
 * once; incomplete bytes at the end are withheld until they form a character, or no longer can.
 */
export class TextStream {
  private window: readonly number[] = [];
  /** The window's text, and the number of its characters already returned. */
  private text = "";
  private emitted = 0;
  private ahead = 0;

  constructor(
    private readonly tokenizer: Tokenizer,
    private readonly options: { readonly special?: boolean } = {},
  ) {}

  /**
   * How many characters of what the last `add` returned are earlier tokens': a replacement character for bytes that
   * this token does not go on with. A part of a character begins where the character does.
   */
  get lead(): number {
    return this.ahead;
  }

  /** Whether the tokens so far end with bytes that are not returned yet. */
  get incomplete(): boolean {
    return this.text.length > this.emitted;
  }

  /**
   * The text that a token completes; often none. A token that the tokenizer lacks, for example padding of the
   * vocabulary, has no text, like in transformers.
   */
  add(token: number): string {
    this.ahead = 0;
    // Skip a special token: it must not influence the text around it.
    if (!this.options.special && this.tokenizer.isSpecial(token)) return "";
    const window = [...this.window, token];
    const text = decoded(this.tokenizer, window, this.options);
    if (text === null) return "";
    if (this.incomplete && text.length > this.text.length && text.startsWith(this.text) && !this.goesOn(token))
      this.ahead = this.text.length - this.emitted;
    this.window = window;
    this.text = text;
    // Only the last replacement character may still become a real one: decoders output one for all bytes of an
    // incomplete character.
    const complete = text.endsWith(REPLACEMENT) ? text.slice(0, -REPLACEMENT.length) : text;
    const fresh = complete.slice(this.emitted);
    this.emitted = Math.max(this.emitted, complete.length);
    if (complete === text && window.length >= MAX_REDECODED) this.shorten(CONTEXT);
    else if (window.length >= MAX_INCOMPLETE) this.shorten(MAX_REDECODED);
    return fresh;
  }

  /** The remaining text at the end: bytes that did not form a character. */
  finish(): string {
    const rest = this.text.slice(this.emitted);
    this.window = [];
    this.text = "";
    this.emitted = 0;
    return rest;
  }

  /** Whether the first byte of a token belongs to the bytes that are withheld. */
  private goesOn(token: number): boolean {
    const first = this.tokenizer.bytesOf(token)?.[0];
    if (first === undefined || first < 0x80 || first > 0xbf) return false;
    const near = this.window.slice(1 - CONTEXT).map((other) => this.tokenizer.bytesOf(other));
    const bytes = near.slice(near.lastIndexOf(null) + 1).flatMap((b) => b ?? []);
    return charactersOf([...bytes, first]) === charactersOf(bytes);
  }

  /** Forgets all tokens but the last ones, whose text ends as before. */
  private shorten(keep: number): void {
    const withheld = this.text.length - this.emitted;
    this.window = this.window.slice(-keep);
    this.text = this.tokenizer.decode(this.window, this.options);
    this.emitted = this.text.length - withheld;
  }
}

/** Null if the tokenizer lacks one of the tokens. */
function decoded(
  tokenizer: Tokenizer,
  tokens: readonly number[],
  options: { readonly special?: boolean },
): string | null {
  try {
    return tokenizer.decode(tokens, options);
  } catch (fault) {
    if (fault instanceof TokenizerError && fault.code === "bad-token") return null;
    throw fault;
  }
}

/** The first of the tokens that the tokenizer lacks; null if the tokenizer has every token. */
export const lackingOf = (tokenizer: Tokenizer, tokens: Iterable<number>): number | null =>
  [...new Set(tokens)].find((token) => decoded(tokenizer, [token], { special: true }) === null) ?? null;

const charactersOf = (bytes: readonly number[]): number =>
  new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes)).length;

/**
 * The text of tokens, and the start of each token in the text; a token with a part of a character starts where the
 * character does.
 */
export interface PlacedText {
  readonly text: string;
  readonly starts: readonly number[];
}

export function placedText(
  tokenizer: Tokenizer,
  tokens: readonly number[],
  options: { readonly special?: boolean } = {},
): PlacedText {
  const stream = new TextStream(tokenizer, options);
  const starts: number[] = [];
  let text = "";
  for (const token of tokens) {
    const piece = stream.add(token);
    starts.push(text.length + stream.lead);
    text += piece;
  }
  return { text: text + stream.finish(), starts };
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

/**
 * The number of prompt tokens before a continuation's first tokens while these are decoded, so that a word keeps its
 * space.
 */
const BEFORE = 8;

/** A decoder that also reports the start of the token's own text within the returned text. */
export interface PlacedDecoder {
  /** The characters that a token completes; often none. */
  add(token: number): string;
  /** The remaining text after the last token. */
  finish(): string;
  /** Characters of the last `add` that are earlier tokens'. */
  readonly lead: number;
  /** Whether the tokens so far end with bytes that are no character yet. */
  readonly incomplete: boolean;
}

/**
 * Decodes what follows on a prompt. `shown`: special tokens whose text is returned; other special tokens have no text.
 */
export function decoderAfter(
  tokenizer: Tokenizer,
  prompt: ArrayLike<number>,
  shown: ReadonlyMap<number, string> = new Map(),
): PlacedDecoder {
  const stream = new TextStream(tokenizer);
  for (const token of Array.from(prompt).slice(-BEFORE)) stream.add(token);
  // Bytes at the prompt's end that become no character are its own; bytes that do are a character in the continuation.
  let [begun, lead] = [stream.incomplete, 0];
  const withoutLead = (text: string): string => {
    lead = stream.lead;
    if (!begun || text === "") return text;
    begun = false;
    if (!text.startsWith("\ufffd")) return text;
    lead = 0;
    return text.slice(1);
  };
  return {
    add(token) {
      const mark = shown.get(token);
      if (mark === undefined) return withoutLead(stream.add(token));
      const rest = withoutLead(stream.finish());
      lead = rest.length;
      return rest + mark;
    },
    finish: () => withoutLead(stream.finish()),
    get lead() {
      return lead;
    },
    get incomplete() {
      return stream.incomplete;
    },
  };
}

/**
 * A token whose text no decoder changes, as a prefix for decoding other tokens; null if the tokenizer has no such
 * token.
 */
export const plainToken = (tokenizer: Tokenizer): number | null =>
  ["a", ".", "0"].map((text) => tokenizer.idOf(text)).find((token) => token !== null) ?? null;

/** Reads the text of a token within a text; special tokens have none. Throws TokenizerError for an invalid token. */
export function textWithin(tokenizer: Tokenizer): (token: number) => string {
  const before = plainToken(tokenizer);
  if (before === null) return (token) => tokenizer.decode([token]);
  const base = tokenizer.decode([before]);
  return (token) => {
    const text = tokenizer.decode([before, token]);
    return text.startsWith(base) ? text.slice(base.length) : tokenizer.decode([token]);
  };
}
