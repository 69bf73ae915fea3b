// Replaces parts of the library that take more than linear time, and lets the others check a deadline.
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
    const wordPiece = model as object as WordPieceModel; // only the library's WordPiece has that field
    wordPiece.encode = (words) => wordPieces(wordPiece, words, longest, check);
  } else if ("unk_score" in model) {
    const unigram = model as object as UnigramModel; // only the library's Unigram has that field
    unigram.encode = (words) => unigramPieces(unigram, words, longest, check);
    unigram.fuse_unk = false;
  } else if ("bpe_ranks" in model) {
    // Only the library's BPE has ranks.
    const bytePair = model as object as { bpe: (word: string) => readonly string[] };
    const bpe = bytePair.bpe.bind(bytePair);
    bytePair.bpe = (word) => (check(), bpe(word));
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
  const byteLevel = decoder as object as ByteDecoder; // only the library's ByteLevel has that field
  const added = new Set(byteLevel.added_tokens.map(({ content }) => content));
  byteLevel.decode_chain = (tokens) => {
    const texts: string[] = [];
    let bytes: string[] = [];
    const flush = (): void => {
      if (bytes.length > 0) texts.push(byteLevel.convert_tokens_to_string(bytes));
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

/**
 * Does to a text what the methods of strings do with a global expression. Each attempt takes at most as long as
 * `patternCost` says; between two of them the deadline is checked.
 */
export class BoundedPattern {
  /** Asked by `String.prototype.matchAll` of whatever has `Symbol.match`. */
  readonly flags = "gu";
  readonly #attempt: RegExp;

  constructor(
    pattern: RegExp,
    readonly deadline: Deadline,
  ) {
    this.#attempt = new RegExp(pattern.source, pattern.flags.replace("g", "y"));
  }

  *[Symbol.matchAll](text: string): Generator<RegExpExecArray, void> {
    for (let at = 0; at <= text.length;) {
      this.deadline.check();
      this.#attempt.lastIndex = at;
      const match = this.#attempt.exec(text);
      if (match) yield match;
      at = match && match[0] !== "" ? at + match[0].length : at + (text.codePointAt(at)! > 0xffff ? 2 : 1);
    }
  }

  [Symbol.match](text: string): readonly string[] | null {
    const found = Array.from(this[Symbol.matchAll](text), ([whole]) => whole);
    return found.length > 0 ? found : null;
  }

  [Symbol.replace](text: string, by: string): string {
    return this.#parts(text, (match) => [expanded(by, match, text)]).join("");
  }

  /** The texts between matches, and the groups of each match, as `String.prototype.split` returns them. */
  [Symbol.split](text: string): readonly (string | undefined)[] {
    if (text === "") return this[Symbol.match](text) === null ? [""] : [];
    const parts: (string | undefined)[] = [];
    let from = 0;
    for (const match of this[Symbol.matchAll](text)) {
      // A match of no characters at either end splits nothing.
      if (match[0] === "" && (match.index === from || match.index >= text.length)) continue;
      parts.push(text.slice(from, match.index), ...match.slice(1));
      from = match.index + match[0].length;
    }
    return [...parts, text.slice(from)];
  }

  #parts(text: string, by: (match: RegExpExecArray) => readonly string[]): readonly string[] {
    const parts: string[] = [];
    let from = 0;
    for (const match of this[Symbol.matchAll](text)) {
      parts.push(text.slice(from, match.index), ...by(match));
      from = match.index + match[0].length;
    }
    return [...parts, text.slice(from)];
  }
}

/** The replacement of a match: `$1` and the like stand for its parts. */
function expanded(by: string, found: RegExpExecArray, text: string): string {
  if (!by.includes("$")) return by;
  return by.replace(/\$(\$|&|`|'|\d{1,2})/g, (reference, name: string) => {
    if (name === "$") return "$";
    if (name === "&") return found[0];
    if (name === "`") return text.slice(0, found.index);
    if (name === "'") return text.slice(found.index + found[0].length);
    const group = Number(name);
    return group >= 1 && group < found.length ? (found[group] ?? "") : reference;
  });
}
