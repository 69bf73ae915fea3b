// Encodes text of the command line as tokens, and shows tokens as text, by bytes or with a tokenizer.
import type { TokenizerSource } from "../../../models/tokenizer/source-node.js";
import { pathIn, readText, readTextBytes } from "../source/files.js";

export interface TextReader {
  readonly unit: "byte" | "token";
  /** Tokens of a text, or of a file (`@path`). */
  encode(text: string): Promise<ArrayLike<number>>;
  /** The text with one column for each token. */
  strip(tokens: ArrayLike<number>): string;
  /** One token in quotes, decoded after the tokens before it. */
  show(token: number, before: ArrayLike<number>): string;
}

const bytesReader: TextReader = {
  unit: "byte",
  async encode(text) {
    const path = pathIn(text);
    return path === null ? new TextEncoder().encode(text) : readTextBytes(path);
  },
  strip: (tokens) => printableBytes(Uint8Array.from(tokens)),
  show: showByte,
};

/** `'a'`, `'\n'`, `0xc3` */
function showByte(byte: number): string {
  if (byte === 10) return "'\\n'";
  return byte >= 0x20 && byte < 0x7f ? `'${String.fromCharCode(byte)}'` : `0x${byte.toString(16).padStart(2, "0")}`;
}

/** A reader that uses a tokenizer, with its special tokens around a whole text; without one, bytes. */
export async function textReader(source: TokenizerSource | null): Promise<TextReader> {
  if (source === null) return bytesReader;
  const { noTokenizer } = await import("../../../models/tokenizer/tokenizer-node.js");
  const { piecesOf } = await import("../../../models/tokenizer/text-stream.js");
  const { textAfter } = await import("../../serve/token-text.js");
  const opened = await source.open();
  if (opened === null) throw noTokenizer(source.path);
  const { tokenizer } = opened;
  return {
    unit: "token",
    encode(text) {
      const path = pathIn(text);
      return tokenizer.encodeAsync(path === null ? text : readText(path), { template: true, alone: true });
    },
    strip: (tokens) => printablePieces(piecesOf(tokenizer, Array.from(tokens))),
    show(token, before) {
      const text = textAfter(tokenizer, Array.from(before), token);
      return text === "" ? `token ${token}` : JSON.stringify(text);
    },
  };
}

/** Bytes as one column each: unprintable and continuation bytes become spaces. */
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

/** Whether a character is one column wide: combining and wide characters would misalign the lines below. */
const isNarrow = (character: string): boolean =>
  /^[\u0020-\u007e\u00a1-\u00ac\u00ae-\u02ff\u2010-\u2027]$/.test(character);

/** Tokens as one column each: the first printable character of each. */
export const printablePieces = (pieces: readonly string[]): string =>
  pieces.map((piece) => Array.from(piece.trim()).find(isNarrow) ?? " ").join("");
