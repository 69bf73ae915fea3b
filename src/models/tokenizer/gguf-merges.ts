// Merges of pieces that have scores, in the order in which SentencePiece makes them.
import { quotedName } from "../../ground/base/shown.js";
import type { TokenizerKeys } from "./gguf-keys.js";

interface Scored {
  readonly keys: TokenizerKeys;
  readonly tokens: readonly string[];
  readonly ids: ReadonlyMap<string, number>;
  readonly scores: ArrayLike<number>;
  /** Whether a token may come of a merge. */
  readonly merged: (id: number) => boolean;
}

/**
 * The limit on the sum of the squared lengths of tokens, which bounds the work: large vocabularies take a tenth of it.
 */
const MOST_WORK = 3e8;

/**
 * SentencePiece merges the two neighbours whose whole has the highest score, the first in the text among equals. Here
 * each pair of parts is a merge, ordered by the score of the whole, the longest first part first. Parts are tokens, or
 * single characters. Throws TokenizerError where two wholes have the same score, since a list cannot say of those that
 * the first in the text comes first.
 */
export function mergesByScore({ keys, tokens, ids, scores, merged }: Scored): readonly (readonly [string, string])[] {
  const wholes: {
    readonly score: number;
    readonly whole: string;
    readonly pairs: readonly (readonly [string, string])[];
  }[] = [];
  const work = tokens.reduce((sum, { length }) => sum + length ** 2, 0);
  if (work > MOST_WORK) keys.fail("tokenizer.ggml.tokens are longer than merged tokens can be");
  for (const [id, whole] of tokens.entries()) {
    if (!merged(id)) continue;
    const score = scores[id]!;
    if (!Number.isFinite(score)) keys.fail(`the score of token ${id}, ${quotedName(whole)}, is ${score}`);
    const pairs = partsOf(whole, ids);
    if (pairs.length > 0) wholes.push({ score, whole, pairs });
  }
  wholes.sort((a, b) => b.score - a.score);
  for (const [i, { score, whole }] of wholes.entries())
    if (i > 0 && wholes[i - 1]!.score === score)
      keys.fail(
        `tokens ${quotedName(wholes[i - 1]!.whole)} and ${quotedName(whole)} have the same score, ${score}`,
        "give the tokenizer.json of the model with --tokenizer: the file was converted without a tokenizer.model",
      );
  return wholes.flatMap(({ pairs }) => pairs);
}

/** The two parts that a text can be made of, the longest first part first. */
function partsOf(whole: string, ids: ReadonlyMap<string, number>): readonly (readonly [string, string])[] {
  const characters = Array.from(whole);
  const pairs: (readonly [string, string])[] = [];
  let first = whole;
  for (let n = characters.length - 1; n > 0; n--) {
    first = first.slice(0, -characters[n]!.length);
    const second = whole.slice(first.length);
    const firstIs = n === 1 || ids.has(first);
    const secondIs = n === characters.length - 1 || ids.has(second);
    if (firstIs && secondIs) pairs.push([first, second]);
  }
  return pairs;
}
