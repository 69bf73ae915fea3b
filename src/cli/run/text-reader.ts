// Text on the command line as a model's tokens, and tokens as people read them: by bytes, or through a tokenizer.
import { pathIn, readBytes, readText } from "../source/files.js";

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
  const { openTokenizer } = await import("../../tokenizer/tokenizer-node.js");
  const { piecesOf } = await import("../../tokenizer/text-stream.js");
  const { tokenizer } = await openTokenizer(tokenizerFile);
  return {
    unit: "token",
    encode(text) {
      const path = pathIn(text);
      return tokenizer.encode(path === null ? text : readText(path), { template: true });
    },
    strip: (tokens) => printablePieces(piecesOf(tokenizer, Array.from(tokens))),
    show: (token) =>
      token < tokenizer.vocabulary ? JSON.stringify(tokenizer.decode([token], { special: true })) : `token ${token}`,
  };
}

/** Bytes of text as one column each: what does not print, and the further bytes of a character, as a space. */
export function printableBytes(bytes: Uint8Array): string {
  const cells: string[] = [];
  for (let i = 0; i < bytes.length;) {
    const length = bytes[i]! < 0x80 ? 1 : bytes[i]! < 0xe0 ? 2 : bytes[i]! < 0xf0 ? 3 : 4;
    const character = new TextDecoder().decode(bytes.subarray(i, i + length));
    const width = Math.min(length, bytes.length - i);
    cells.push(isNarrow(character) ? character : " ", ...Array<string>(width - 1).fill(" "));
    i += width;
  }
  return cells.join("");
}

/** Combining and wide characters would shift what stands below. */
const isNarrow = (character: string): boolean =>
  /^[\u0020-\u007e\u00a1-\u00ac\u00ae-\u02ff\u2010-\u2027]$/.test(character);

/** Tokens of text as one column each: the first character of each that prints. */
export const printablePieces = (pieces: readonly string[]): string =>
  pieces.map((piece) => Array.from(piece.trim()).find(isNarrow) ?? " ").join("");
