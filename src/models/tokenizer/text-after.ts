// The text of a continuation: its first tokens are decoded after the prompt's last tokens.
import { TextStream } from "./text-stream.js";
import type { Tokenizer } from "./tokenizer.js";

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
  const own = (text: string): string => {
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
      if (mark === undefined) return own(stream.add(token));
      const rest = own(stream.finish());
      lead = rest.length;
      return rest + mark;
    },
    finish: () => own(stream.finish()),
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
