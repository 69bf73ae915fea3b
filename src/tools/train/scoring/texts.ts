// Encodes a prompt and its continuation, and selects the scored tokens.
import type { Tokenizer } from "../../../models/tokenizer/tokenizer.js";
import { TokenizerError } from "../../../models/tokenizer/errors.js";
import { TrainError } from "../errors.js";
import type { ScoredText } from "./passes.js";

/** What the tokens of texts must fit. */
export interface TextLimits {
  readonly tokenizer: Tokenizer;
  /** The model's name, for messages. */
  readonly model: string;
  /** The most tokens of a text; null: no limit. */
  readonly context: number | null;
  /** The sizes of the vocabularies that the model reads and gives. */
  readonly readable: number;
  readonly vocabulary: number;
}

/** The tokens of a whole text, of which those from `from` on follow the prompt. */
export interface Continued {
  readonly tokens: readonly number[];
  readonly from: number;
}

/** Encodes a whole text, with the tokenizer's own first token if it has one. Throws TrainError with the place. */
export async function tokensAt(place: string, text: string, { tokenizer }: TextLimits): Promise<readonly number[]> {
  try {
    return await tokenizer.encodeAsync(text, { alone: true, template: true });
  } catch (cause) {
    if (!(cause instanceof TokenizerError)) throw cause;
    throw new TrainError("bad-data", `${place}: ${cause.message}`, { hint: cause.hint, cause });
  }
}

/**
 * Encodes prompt and continuation as one text. A token across the end of the prompt belongs to the continuation,
 * as in lm-evaluation-harness.
 */
export async function continuedAt(
  place: string,
  prompt: string,
  continuation: string,
  limits: TextLimits,
): Promise<Continued> {
  const before = await tokensAt(place, prompt, limits);
  const tokens = await tokensAt(place, prompt + continuation, limits);
  let from = 0;
  while (from < before.length && from < tokens.length && before[from] === tokens[from]) from++;
  return { tokens, from };
}

/**
 * The text that is scored from token `from` on. Its last token is read too, as in training, which matters to top-k.
 * `what` names it in messages: "choice 2". Throws TrainError for a text that the model cannot read.
 */
export function scoredText(place: string, what: string, { tokens, from }: Continued, limits: TextLimits): ScoredText {
  expectFits(place, what, tokens, limits);
  if (from >= tokens.length) throw new TrainError("bad-data", `${place}: ${what} adds no token to the prompt`);
  if (from === 0)
    throw new TrainError("bad-data", `${place}: nothing precedes ${what}, so its first token has no probability`, {
      hint: "begin the prompt with a text; the tokenizer puts no token before it",
    });
  const targets = new Int32Array(tokens.length).fill(-1);
  for (let i = from; i < tokens.length; i++) targets[i - 1] = tokens[i]!;
  return { tokens, targets };
}

/** Throws TrainError for more tokens than the model reads, and for a token that it does not have. */
export function expectFits(
  place: string,
  what: string,
  tokens: readonly number[],
  { context, model, readable, vocabulary }: TextLimits,
): void {
  if (context !== null && tokens.length > context)
    throw new TrainError(
      "bad-data",
      `${place}: ${what} has ${tokens.length} tokens with what precedes it: ${model} allows ${context}`,
    );
  const most = Math.min(readable, vocabulary);
  const wrong = tokens.find((token) => token >= most);
  if (wrong !== undefined)
    throw new TrainError("bad-data", `${place}: ${what} has token ${wrong}: ${model} has ${most} tokens`, {
      hint: "give the tokenizer that the model was trained with: --tokenizer",
    });
}

/** The sum of the scores of a text's targets, in the order of the tokens. */
export function sumOf({ targets }: ScoredText, scores: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < targets.length; i++) if (targets[i]! >= 0) sum += scores[i]!;
  return sum;
}
