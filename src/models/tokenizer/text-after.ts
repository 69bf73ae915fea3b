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
