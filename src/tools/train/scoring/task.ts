// Answers the questions of a task with a program that scores texts, and counts what is right.
import { decoderAfter } from "../../../models/tokenizer/text-stream.js";
import { RuntimeError } from "../../../runtime/index.js";
import type { Passes, ScoredText } from "./passes.js";
import type { ChoiceQuestion, GreedyQuestion } from "./questions.js";
import { sumOf, type TextLimits } from "./texts.js";

/** A share of questions. */
export interface Accuracy {
  readonly questions: number;
  readonly correct: number;
  readonly accuracy: number;
  /** √(p · (1 − p) / (n − 1)), the standard error of a mean; null for one question. */
  readonly standardError: number | null;
}

export function accuracyOf(correct: number, questions: number): Accuracy {
  const accuracy = correct / questions;
  const standardError = questions < 2 ? null : Math.sqrt((accuracy * (1 - accuracy)) / (questions - 1));
  return { questions, correct, accuracy, standardError };
}

/** Questions read together: a pass then has texts of similar lengths. */
const TOGETHER = 64;

/**
 * How many questions have their right choice as the likeliest: by the sum of the log-probabilities of its tokens, and
 * by that sum over its bytes. Of equal choices the first is taken. Throws RuntimeError for a score that is no number.
 */
export async function judgeChoices(
  questions: readonly ChoiceQuestion[],
  passes: Passes,
  onQuestions: (questions: number) => void = () => {},
): Promise<{ readonly likeliest: number; readonly byBytes: number }> {
  let [likeliest, byBytes] = [0, 0];
  for (let at = 0; at < questions.length; at += TOGETHER) {
    const some = questions.slice(at, at + TOGETHER);
    const scores = await passes.scores(some.flatMap(({ choices }) => choices));
    let next = 0;
    for (const { choices, bytes, answer, place } of some) {
      const sums = choices.map((text) => sumOf(text, scores[next++]!));
      if (!sums.every(Number.isFinite)) throw notFinite(place);
      if (largest(sums) === answer) likeliest++;
      if (largest(sums.map((sum, i) => sum / bytes[i]!)) === answer) byBytes++;
    }
    onQuestions(some.length);
  }
  return { likeliest, byBytes };
}

const largest = (values: readonly number[]): number => values.indexOf(Math.max(...values));

export const notFinite = (place: string): RuntimeError =>
  new RuntimeError("bad-weights", `${place}: a log-probability of the model is not a finite number`, {
    hint: "check that the weights belong to the model",
  });

/** A question whose text is not decided yet. */
interface Open {
  readonly question: GreedyQuestion;
  readonly decoder: ReturnType<typeof decoderAfter>;
  readonly tokens: number[];
  text: string;
  /** Expected next tokens, which a pass reads too. */
  guess: readonly number[];
}

/**
 * How many questions have greedy text that begins with their answer: each next token is the likeliest one behind the
 * tokens so far, read in one pass. `ahead`: whether a token does not depend on those behind it, as by the causal rule,
 * so that one pass decides several.
 */
export async function judgeGreedy(
  questions: readonly GreedyQuestion[],
  passes: Passes,
  { ahead, limits, ends }: { readonly ahead: boolean; readonly limits: TextLimits; readonly ends: readonly number[] },
  onQuestions: (questions: number) => void = () => {},
): Promise<number> {
  let right = 0;
  const context = limits.context ?? Infinity;
  for (let at = 0; at < questions.length; at += TOGETHER) {
    const some = questions.slice(at, at + TOGETHER);
    let open = some.map((question): Open => ({
      question,
      decoder: decoderAfter(limits.tokenizer, question.prompt),
      tokens: [...question.prompt],
      text: "",
      guess: ahead ? question.likely : [],
    }));
    while (open.length > 0) {
      const texts = open.map(({ tokens, guess }) => unscored([...tokens, ...guess].slice(0, context)));
      const likeliest = await passes.scores(texts);
      const left: Open[] = [];
      for (const [i, one] of open.entries()) {
        const verdict = follow(one, likeliest[i]!, { limits, ends });
        if (verdict) right++;
        if (verdict === null) left.push(one);
      }
      onQuestions(open.length - left.length);
      open = left;
    }
  }
  return right;
}

const unscored = (tokens: readonly number[]): ScoredText => ({
  tokens,
  targets: new Int32Array(tokens.length).fill(-1),
});

/**
 * Adds the tokens that a pass decides; returns whether the text begins with the answer, null if that takes another
 * pass.
 */
function follow(
  one: Open,
  likeliest: ArrayLike<number>,
  { limits, ends }: { readonly limits: TextLimits; readonly ends: readonly number[] },
): boolean | null {
  const { question, decoder, tokens, guess } = one;
  const { tokenizer } = limits;
  one.guess = [];
  for (let at = 0; ; at++) {
    const token = likeliest[tokens.length - 1]!;
    // No text of its own comes behind an end, nor from a special token.
    if (ends.includes(token) || tokenizer.isSpecial(token)) return false;
    tokens.push(token);
    one.text += decoder.add(token);
    if (one.text.startsWith(question.answer)) return true;
    if (!question.answer.startsWith(one.text) || tokens.length >= (limits.context ?? Infinity)) return false;
    if (guess[at] !== token || tokens.length > likeliest.length) return null;
  }
}
