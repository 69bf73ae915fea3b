// Reads the questions of a task: choices, of which one is right, or an answer that greedy text is to begin with.
import { TrainError } from "../errors.js";
import type { DataRow } from "../rows-node.js";
import type { ScoredText } from "./passes.js";
import { continuedAt, expectFits, scoredText, tokensAt, type TextLimits } from "./texts.js";

/** A prompt with choices, each a text. */
export interface ChoiceQuestion {
  readonly kind: "choices";
  readonly place: string;
  readonly choices: readonly ScoredText[];
  /** Bytes of each choice in UTF-8. */
  readonly bytes: readonly number[];
  /** The index of the right choice. */
  readonly answer: number;
}

/** A prompt, and the text that is to follow. */
export interface GreedyQuestion {
  readonly kind: "greedy";
  readonly place: string;
  readonly prompt: readonly number[];
  readonly answer: string;
  /** The tokens of the answer after the prompt; empty if a token has parts of both. */
  readonly likely: readonly number[];
}

export type Question = ChoiceQuestion | GreedyQuestion;

/**
 * The question of a line `{prompt, choices, answer}`, whose answer is an index or one of the choices, or
 * `{prompt, answer}`. Throws TrainError with the line for anything else, and for a text that the model cannot read.
 */
export async function questionOf({ place, values }: DataRow, limits: TextLimits): Promise<Question> {
  const fail = (message: string, hint: string | null = null): never => {
    throw new TrainError("bad-data", `${place}: ${message}`, { hint });
  };
  const column = (name: string): unknown =>
    Object.hasOwn(values, name)
      ? values[name]
      : fail(
          `the line has no ${name}`,
          `its columns are ${Object.keys(values).join(", ") || "none"}; a task has prompt, answer, and choices if any`,
        );
  const prompt = column("prompt");
  if (typeof prompt !== "string") return fail(`prompt is ${kindOf(prompt)}, not a text`);
  const answer = column("answer");
  if (!Object.hasOwn(values, "choices")) {
    if (typeof answer !== "string")
      return fail(`answer is ${kindOf(answer)}, not a text`, "an index needs choices, a list of texts");
    if (answer === "") return fail("answer is empty");
    const tokens = await tokensAt(place, prompt, limits);
    if (tokens.length === 0) return fail("prompt is empty", "the tokenizer puts no token before a text");
    const whole = await continuedAt(place, prompt, answer, limits);
    expectFits(place, "answer", whole.tokens, limits);
    const likely = whole.from === tokens.length ? whole.tokens.slice(whole.from) : [];
    return { kind: "greedy", place, prompt: tokens, answer, likely };
  }
  const { choices } = values;
  if (!Array.isArray(choices)) return fail(`choices is ${kindOf(choices)}, not a list of texts`);
  const texts: string[] = (choices as readonly unknown[]).map((choice, i) =>
    typeof choice === "string" ? choice : fail(`choice ${i} is ${kindOf(choice)}, not a text`),
  );
  if (texts.length === 0) return fail("there are no choices");
  if (texts.length === 1) return fail("there is only one choice, which would always be right");
  const again = texts.findIndex((text, i) => texts.indexOf(text) < i);
  if (again > 0) return fail(`choice ${again} is choice ${texts.indexOf(texts[again]!)} again`);
  const right = typeof answer === "string" ? texts.indexOf(answer) : answer;
  if (typeof right !== "number" || !Number.isInteger(right) || right < 0 || right >= texts.length)
    return fail(
      `answer ${JSON.stringify(answer)} is not one of the ${texts.length} choices`,
      `write one of them, or its index, 0 to ${texts.length - 1}`,
    );
  const scored: ScoredText[] = [];
  for (const [i, text] of texts.entries())
    scored.push(scoredText(place, `choice ${i}`, await continuedAt(place, prompt, text, limits), limits));
  return {
    kind: "choices",
    place,
    choices: scored,
    bytes: texts.map((text) => Buffer.byteLength(text)),
    answer: right,
  };
}

/** The kind of a JSON value, for messages. */
export const kindOf = (value: unknown): string =>
  value === null
    ? "null"
    : Array.isArray(value)
      ? "a list"
      : typeof value === "object"
        ? "an object"
        : `a ${typeof value}`;
