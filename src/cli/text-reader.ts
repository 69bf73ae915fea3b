// Text on the command line as a model's tokens, and tokens as people read them: by bytes, or through a tokenizer.
import { pathIn, readBytes, readText } from "./files.js";
import { printableBytes, printablePieces } from "./routes.js";

export interface TextReader {
  readonly unit: "byte" | "token";
  /** Tokens of a text, or of the file behind an `@`. */
  encode(text: string): ArrayLike<number>;
  /** A column for each token. */
  strip(tokens: ArrayLike<number>): string;
  /** One token in quotes. */
  show(token: number): string;
}

const bytesReader: TextReader = {
  unit: "byte",
  encode(text) {
    const path = pathIn(text);
    return path === null ? new TextEncoder().encode(text) : readBytes(path);
  },
  strip: (tokens) => printableBytes(Uint8Array.from(tokens)),
  show: showByte,
};

/** `'a'`, `'\n'`, `0xc3` */
function showByte(byte: number): string {
  if (byte === 10) return "'\\n'";
  return byte >= 0x20 && byte < 0x7f ? `'${String.fromCharCode(byte)}'` : `0x${byte.toString(16).padStart(2, "0")}`;
}

/** Reads by a `tokenizer.json`, with what it puts around a whole text; without one, by bytes. */
export async function textReader(tokenizerFile: string | undefined): Promise<TextReader> {
  if (tokenizerFile === undefined) return bytesReader;
  const { openTokenizer } = await import("../tokenizer/tokenizer-node.js");
  const { piecesOf } = await import("../tokenizer/text-stream.js");
  const { tokenizer } = await openTokenizer(tokenizerFile);
  return {
    unit: "token",
    encode(text) {
      const path = pathIn(text);
      return tokenizer.encode(path === null ? text : readText(path), { template: true });
    },
    strip: (tokens) => printablePieces(piecesOf(tokenizer, Array.from(tokens))),
    show: (token) => (token < tokenizer.vocabulary ? JSON.stringify(tokenizer.decode([token], { special: true })) : `token ${token}`),
  };
}
