// The text of tokens with their places, worked out a slice at a time.
import { TextStream, type PlacedText } from "../../models/tokenizer/text-stream.js";
import type { Tokenizer } from "../../models/tokenizer/tokenizer.js";
import { turn } from "./turn.js";

/** Tokens between two turns of others. For each of them the stream decodes some tens of tokens. */
const TOKENS_A_TURN = 64;

/** Throws the reason of `signal`. */
export async function placed(
  tokenizer: Tokenizer,
  tokens: readonly number[],
  { special = false, signal }: { readonly special?: boolean; readonly signal: AbortSignal },
): Promise<PlacedText> {
  const stream = new TextStream(tokenizer, { special });
  const starts: number[] = [];
  const pieces: string[] = [];
  let length = 0;
  for (const [i, token] of tokens.entries()) {
    if (i > 0 && i % TOKENS_A_TURN === 0) {
      await turn();
      signal.throwIfAborted();
    }
    const piece = stream.add(token);
    starts.push(length + stream.lead);
    pieces.push(piece);
    length += piece.length;
  }
  return { text: pieces.join("") + stream.finish(), starts };
}
