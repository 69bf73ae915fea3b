// The text of tokens within a text: generated tokens, and alternatives to generated tokens.
import { TokenizerError } from "../../../models/tokenizer/errors.js";
import type { Tokenizer } from "../../../models/tokenizer/tokenizer.js";
import { TextStream, type PlacedText } from "../../../models/tokenizer/text-stream.js";
import { turn } from "./turn.js";

/** Null where the tokenizer lacks one of the tokens. */
function known(decode: () => string): string | null {
  try {
    return decode();
  } catch (fault) {
    if (fault instanceof TokenizerError && fault.code === "bad-token") return null;
    throw fault;
  }
}

/** The text of tokens, without special ones. A token that the tokenizer lacks has no text, like a generated one. */
export async function textOf(tokenizer: Tokenizer, tokens: readonly number[], signal: AbortSignal): Promise<string> {
  try {
    return await tokenizer.decodeAsync(tokens, { signal });
  } catch (fault) {
    if (fault instanceof TokenizerError && fault.code === "bad-token")
      return (await placed(tokenizer, tokens, { signal })).text;
    throw fault;
  }
}

/** The text of a token after others, with special tokens. Bytes that are not a whole character become U+FFFD. */
export function textAfter(tokenizer: Tokenizer, before: readonly number[], token: number): string {
  const decode = (tokens: readonly number[]): string => known(() => tokenizer.decode(tokens, { special: true })) ?? "";
  const near = before.slice(-4);
  const [base, whole] = [decode(near), decode([...near, token])];
  return near.length > 0 && whole.length > base.length && whole.startsWith(base)
    ? whole.slice(base.length)
    : decode([token]);
}

/**
 * The bytes of a token with this text; the vocabulary's bytes if the token is not a text of whole characters.
 */
export function bytesOf(tokenizer: Tokenizer, token: number, text: string): readonly number[] | null {
  const whole = text !== "" && !text.includes("\ufffd");
  return whole ? [...new TextEncoder().encode(text)] : tokenizer.bytesOf(token);
}

/** The key of a token: its text or, for a part of a character, its bytes in OpenAI's notation. */
export function nameOf(tokenizer: Tokenizer, token: number, text: string): string {
  const bytes = text.includes("\ufffd") ? tokenizer.bytesOf(token) : null;
  return bytes === null ? text : `bytes:${bytes.map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}`;
}

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
