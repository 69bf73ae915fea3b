// The tokens of a model as a tree of their bytes, so that tokens that begin alike are looked at together.
import { plainToken } from "../../models/tokenizer/text-stream.js";
import type { Tokenizer } from "../../models/tokenizer/tokenizer.js";

/** The nodes of the tree in order, each before those below it. */
export interface TokenTree {
  /** The number of tokens of the model. */
  readonly vocabulary: number;
  /** Of each node: its byte, its depth from 0, and the index of the next node that is not below it. */
  readonly bytes: Uint8Array;
  readonly depths: Uint16Array;
  readonly skips: Uint32Array;
  /** Tokens in the order of their nodes; those of node i are from `first[i]` to before `first[i + 1]`. */
  readonly tokens: Uint32Array;
  readonly first: Uint32Array;
  /** The bytes of each token as characters U+0000 to U+00FF; empty: the token has no text, and never comes. */
  readonly texts: readonly string[];
}

/** Tokens between two turns of others. */
const SLICE = 512;

/** Special tokens have no text here. `turn` is awaited now and then, so that others have their turn. */
export async function tokenTree(
  tokenizer: Tokenizer,
  vocabulary: number,
  turn: () => Promise<void>,
): Promise<TokenTree> {
  const bytesOf = byteReader(tokenizer);
  const texts: string[] = [];
  // By their first byte, so that no list takes long to sort.
  const groups: number[][] = Array.from({ length: 256 }, () => []);
  for (let token = 0; token < vocabulary; token++) {
    if (token % SLICE === 0) await turn();
    const text = token < tokenizer.vocabulary && !tokenizer.isSpecial(token) ? bytesOf(token) : "";
    texts.push(text);
    if (text !== "") groups[text.charCodeAt(0)]!.push(token);
  }
  const sorted: number[] = [];
  for (const group of groups) {
    await turn();
    for (const token of group.sort((a, b) => (texts[a]! < texts[b]! ? -1 : texts[a]! > texts[b]! ? 1 : a - b)))
      sorted.push(token);
  }
  await turn();
  return { vocabulary, texts, ...treeOf(sorted, texts) };
}

function treeOf(
  sorted: readonly number[],
  texts: readonly string[],
): Pick<TokenTree, "bytes" | "depths" | "skips" | "tokens" | "first"> {
  const [bytes, depths, skips, first]: [number[], number[], number[], number[]] = [[], [], [], []];
  /** The nodes from the root to the last one. */
  const path: number[] = [];
  let before = "";
  for (const [at, token] of sorted.entries()) {
    const text = texts[token]!;
    let shared = 0;
    while (shared < before.length && before.charCodeAt(shared) === text.charCodeAt(shared)) shared++;
    for (const node of path.splice(shared)) skips[node] = bytes.length;
    for (let depth = shared; depth < text.length; depth++) {
      path.push(bytes.length);
      bytes.push(text.charCodeAt(depth));
      depths.push(depth);
      first.push(at);
    }
    before = text;
  }
  for (const node of path) skips[node] = bytes.length;
  first.push(sorted.length);
  return {
    bytes: Uint8Array.from(bytes),
    depths: Uint16Array.from(depths),
    skips: Uint32Array.from(skips),
    tokens: Uint32Array.from(sorted),
    first: Uint32Array.from(first),
  };
}

/** Reads the bytes of tokens as they are after other text, each as a character. */
function byteReader(tokenizer: Tokenizer): (token: number) => string {
  // Some decoders drop the blank of the first token: a text before the token keeps it.
  const before = plainToken(tokenizer);
  const decode = (tokens: readonly number[]): string | null => {
    try {
      return tokenizer.decode(tokens, { special: true });
    } catch {
      return null; // the tokenizer lacks the token
    }
  };
  const base = before === null ? "" : decode([before])!; // a token that it has
  return (token) => {
    const bytes = tokenizer.bytesOf(token);
    if (bytes !== null) return String.fromCharCode(...bytes);
    const text = decode(before === null ? [token] : [before, token]);
    // U+FFFD stands for bytes that are not known.
    if (text === null || !text.startsWith(base) || text.includes("\ufffd")) return "";
    return String.fromCharCode(...new TextEncoder().encode(text.slice(base.length)));
  };
}
