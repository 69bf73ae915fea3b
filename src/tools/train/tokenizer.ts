// Encodes text as tokens, as bytes or with a `tokenizer.json`, one piece of a document at a time.
import { TokenizerError } from "../../models/tokenizer/errors.js";
import { piecesOf } from "../../models/tokenizer/text-stream.js";
import { parseTokenizer } from "../../models/tokenizer/tokenizer-node.js";
import type { Tokenizer } from "../../models/tokenizer/tokenizer.js";
import { TrainError } from "./errors.js";

/** Encodes documents as tokens. */
export interface Encoder {
  /** Identifies the vocabulary and the encoding: part of the key of cached tokens. */
  readonly name: string;
  /** Bytes per token, enough for the largest token. */
  readonly width: 1 | 2 | 4;
  /** The token between two documents; null: none. */
  readonly separator: number | null;
  /** The tokens of a document read in pieces; `place` names it in messages. */
  encode(pieces: AsyncIterable<Uint8Array>, place: string): AsyncIterable<ArrayLike<number>>;
  /** The text of each token, for display. If several tokens encode one character, one of these tokens shows it. */
  show(tokens: readonly number[]): readonly string[];
}

/** Each byte is a token. Byte 0, which texts do not contain, separates documents. */
export const bytesEncoder: Encoder = {
  name: "bytes",
  width: 1,
  separator: 0,
  encode: (pieces) => pieces,
  show: showBytes,
};

function showBytes(tokens: readonly number[]): readonly string[] {
  const decoder = new TextDecoder("utf-8");
  const bytes = Uint8Array.from(tokens);
  const shown: string[] = [];
  while (shown.length < bytes.length) {
    const first = bytes[shown.length]!;
    const length = first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    const text = decoder.decode(bytes.subarray(shown.length, shown.length + length));
    const isComplete = !text.includes("\ufffd");
    shown.push(
      text.slice(0, isComplete ? undefined : 1),
      ...Array<string>(isComplete ? Math.min(length, bytes.length - shown.length) - 1 : 0).fill(""),
    );
  }
  return shown;
}

/** Characters that are tokenized at once: a longer document is split after a line end. */
const PIECE = 1 << 16;
/** A document of this many characters without a line end is split after a space, or anywhere. */
const LONGEST_PIECE = 1 << 20;

/** End-of-text tokens of common vocabularies, in the order of search. */
const ENDS = ["<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|im_end|>"] as const;

/** The token that ends a text, if it has one of the usual names; null: none has. */
export const endOf = (tokenizer: Pick<Tokenizer, "idOf">): number | null =>
  ENDS.map((token) => tokenizer.idOf(token)).find((id) => id !== null) ?? null;

/**
 * An encoder for a `tokenizer.json`. It adds no special tokens except the end-of-text token between documents, if that
 * token has one of the usual names. A document longer than 65,536 characters is tokenized in pieces that end with a
 * line.
 */
export async function jsonEncoder(json: string, file: string, digest: string): Promise<Encoder> {
  const tokenizer = await asTraining(() => parseTokenizer(json, file));
  const separator = endOf(tokenizer);
  return {
    name: `tokenizer ${digest}`,
    width: tokenizer.vocabulary <= 256 ? 1 : tokenizer.vocabulary <= 65536 ? 2 : 4,
    separator,
    show: (tokens) => piecesOf(tokenizer, tokens),
    async *encode(pieces, place) {
      for await (const text of textPieces(pieces, place))
        yield await asTraining(() => tokenizer.encodeAsync(text, { alone: true }));
    },
  };
}

/** Converts errors of the tokenizer to TrainErrors about the data. */
export async function asTraining<T>(body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (cause) {
    throw cause instanceof TokenizerError
      ? new TrainError("bad-data", cause.message, { hint: cause.hint, cause })
      : cause;
  }
}

/** Decodes UTF-8 bytes into pieces of text, split after line ends. Throws TrainError for invalid UTF-8. */
export async function* textPieces(pieces: AsyncIterable<Uint8Array>, place: string): AsyncIterable<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  let bytes = 0;
  const decode = (piece?: Uint8Array): string => {
    try {
      return piece === undefined ? decoder.decode() : decoder.decode(piece, { stream: true });
    } catch (cause) {
      throw new TrainError("bad-data", `${place} is not UTF-8 text after byte ${bytes}`, {
        hint: "convert it to UTF-8",
        cause,
      });
    }
  };
  for await (const piece of pieces) {
    text += decode(piece);
    bytes += piece.length;
    for (let cut = cutOf(text); cut > 0; cut = cutOf(text)) {
      yield text.slice(0, cut);
      text = text.slice(cut);
    }
  }
  text += decode();
  if (text !== "") yield text;
}

/** The index at which a long text is split; 0: not yet. */
function cutOf(text: string): number {
  if (text.length < PIECE) return 0;
  const line = text.lastIndexOf("\n", PIECE - 2) + 1;
  if (line > 0) return line;
  const later = text.indexOf("\n", PIECE - 1) + 1;
  if (later > 0 && later <= LONGEST_PIECE && later < text.length) return later;
  if (text.length <= LONGEST_PIECE) return 0;
  const space = text.lastIndexOf(" ", LONGEST_PIECE - 1);
  if (space > 0) return space;
  const last = text.charCodeAt(LONGEST_PIECE - 1);
  return last >= 0xd800 && last < 0xdc00 ? LONGEST_PIECE - 1 : LONGEST_PIECE; // do not split a surrogate pair
}
