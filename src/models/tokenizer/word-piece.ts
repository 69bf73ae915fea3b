// WordPiece in linear time: the longest piece that each place of a word begins with, without looking at longer texts
// than any piece.
import { wordLimit } from "./judge.js";

/** The part of the library's model that encodes words. */
export interface WordPieceModel {
  readonly tokens_to_ids: ReadonlyMap<string, number>;
  readonly unk_token: string | undefined;
  readonly config: { readonly continuing_subword_prefix?: string | null; readonly max_input_chars_per_word?: unknown };
  encode: (words: readonly string[]) => readonly (string | undefined)[];
}

/** Encodes words as the library does. `longest`: characters of the longest piece; `check`: called for each piece. */
export function wordPieces(
  model: WordPieceModel,
  words: readonly string[],
  longest: number,
  check: () => void,
): readonly (string | undefined)[] {
  const { continuing_subword_prefix: written, max_input_chars_per_word: limit } = model.config;
  const prefix = written === undefined ? "undefined" : String(written); // as the library joins it
  const most = wordLimit(limit);
  const all: (string | undefined)[] = [];
  for (const word of words) {
    const pieces = codePoints(word) > most ? null : piecesOf(model, word, prefix, longest, check);
    if (pieces === null) all.push(model.unk_token);
    else for (const piece of pieces) all.push(piece);
  }
  return all;
}

function piecesOf(
  model: WordPieceModel,
  word: string,
  prefix: string,
  longest: number,
  check: () => void,
): readonly string[] | null {
  const pieces: string[] = [];
  for (let start = 0; start < word.length;) {
    check();
    const before = start > 0 ? prefix : "";
    let end = Math.min(word.length, start + Math.max(0, longest - before.length));
    while (end > start && (splitsPair(word, end) || !model.tokens_to_ids.has(before + word.slice(start, end)))) end--;
    if (end === start) return null;
    pieces.push(before + word.slice(start, end));
    start = end;
  }
  return pieces;
}

/** Whether an index lies between the two halves of a character. */
const splitsPair = (text: string, at: number): boolean => {
  const [high, low] = [text.charCodeAt(at - 1), text.charCodeAt(at)];
  return high >= 0xd800 && high < 0xdc00 && low >= 0xdc00 && low < 0xe000;
};

function codePoints(text: string): number {
  let n = 0;
  for (const _ of text) n++;
  return n;
}
