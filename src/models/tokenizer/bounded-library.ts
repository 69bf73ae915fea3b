// Replaces parts of the library that take more than linear time, and lets the others check a deadline.
import { BoundedPattern } from "./bounded-pattern.js";
import type { Deadline } from "./deadline.js";
import { unigramPieces, type UnigramModel } from "./unigram.js";
import { wordPieces, type WordPieceModel } from "./word-piece.js";

/** `longest`: characters of the longest piece. */
export function boundLibrary(library: object, longest: number, deadline: Deadline): void {
  boundPatterns(library, deadline);
  boundModel(Reflect.get(library, "model"), longest, () => deadline.check());
  indexAddedTokens(Reflect.get(library, "decoder"));
}

/** Puts patterns that check the deadline in place of the library's own, in a part and all its parts. */
function boundPatterns(library: object, deadline: Deadline): void {
  const open: unknown[] = [Reflect.get(library, "normalizer"), Reflect.get(library, "pre_tokenizer")];
  for (let part = open.pop(); open.length > 0 || part; part = open.pop()) {
    if (part === null || (typeof part !== "object" && typeof part !== "function")) continue;
    const pattern: unknown = Reflect.get(part, "pattern");
    if (pattern instanceof RegExp) Reflect.set(part, "pattern", new BoundedPattern(pattern, deadline));
    for (const name of ["normalizers", "tokenizers"]) {
      const parts: unknown = Reflect.get(part, name);
      if (Array.isArray(parts)) open.push(...(parts as readonly unknown[]));
    }
  }
}

/** The library's WordPiece takes the cube of a word's length, its Unigram the square of unknown text. */
function boundModel(model: unknown, longest: number, check: () => void): void {
  if (typeof model !== "function") return;
  if ("max_input_chars_per_word" in model) {
    const own = model as object as WordPieceModel; // only the library's WordPiece has that field
    own.encode = (words) => wordPieces(own, words, longest, check);
  } else if ("unk_score" in model) {
    const own = model as object as UnigramModel; // only the library's Unigram has that field
    own.encode = (words) => unigramPieces(own, words, longest, check);
    own.fuse_unk = false;
  } else if ("bpe_ranks" in model) {
    const own = model as object as { bpe: (word: string) => readonly string[] }; // only the library's BPE has ranks
    const bpe = own.bpe.bind(own);
    own.bpe = (word) => (check(), bpe(word));
  }
}

interface ByteDecoder {
  readonly added_tokens: readonly { readonly content: string }[];
  convert_tokens_to_string(tokens: readonly string[]): string;
  decode_chain: (tokens: readonly string[]) => readonly string[];
}

/** The library's ByteLevel compares each token with all added ones. */
function indexAddedTokens(decoder: unknown): void {
  if (typeof decoder !== "function" || !("byte_decoder" in decoder)) return;
  const own = decoder as object as ByteDecoder; // only the library's ByteLevel has that field
  const added = new Set(own.added_tokens.map(({ content }) => content));
  own.decode_chain = (tokens) => {
    const texts: string[] = [];
    let bytes: string[] = [];
    const flush = (): void => {
      if (bytes.length > 0) texts.push(own.convert_tokens_to_string(bytes));
      bytes = [];
    };
    for (const token of tokens)
      if (added.has(token)) {
        flush();
        texts.push(token);
      } else bytes.push(token);
    flush();
    return texts;
  };
}
