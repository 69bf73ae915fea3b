// Checks prompts and options before anything is submitted to the device.
import type { Generation } from "../../runtime/program/generation.js";
import { InputError } from "../../runtime/index.js";
import type { GenerateOptions, GeneratorOptions } from "../types.js";

/** Limits on the work submitted to the device at once. */
export interface Limits {
  /**
   * The most tokens of a prompt in one run, for which a session is loaded. With caches of the last loop alone the runs
   * of longer prompts make its buffers larger: those for the whole context may have no room, and no use.
   */
  readonly chunk: number;
  readonly ahead: number;
}

export function checkOptions(
  generation: Generation,
  { chunk: given, ahead = 8 }: Pick<GeneratorOptions, "chunk" | "ahead">,
): Limits {
  const { context, loopCaches } = generation;
  const chunk = given ?? 256;
  if (loopCaches && given !== undefined)
    throw new InputError("chunk", "with caches of the last loop alone a prompt is read at once");
  if (!Number.isSafeInteger(chunk) || chunk < 1)
    throw new InputError("chunk", `chunk is ${String(chunk)}: it must be a whole number of at least 1`);
  if (!Number.isSafeInteger(ahead) || ahead < 1 || ahead > 8)
    throw new InputError("ahead", `ahead is ${String(ahead)}: it must be a whole number from 1 to 8`);
  return { chunk: Math.min(chunk, context ?? chunk), ahead };
}

const LISTED_OPTIONS = ["sampling", "maxTokens", "ends", "signal"] satisfies readonly (keyof GenerateOptions)[];
/** Valid options. The error message lists none of those for `generateText` and `Constraints`. */
const OPTIONS: readonly string[] = [
  ...LISTED_OPTIONS,
  "until",
  "constraints",
  "inputs",
  "lengths",
  "next",
] satisfies readonly (keyof GenerateOptions)[];

/** Throws InputError unless the prompts are a list of texts or lists of tokens; callers may have no types. */
export function expectPrompts<P extends string | ArrayLike<number>>(prompts: readonly P[]): readonly P[] {
  if (!Array.isArray(prompts))
    throw new InputError("prompts", `prompts must be a list, found ${kindOf(prompts)}`, "write [prompt]");
  for (const prompt of prompts as readonly unknown[])
    if (typeof prompt !== "string" && typeof (prompt as ArrayLike<number> | null)?.length !== "number")
      throw new InputError(
        "prompts",
        `a prompt is a list of tokens, or a text where texts are generated, found ${kindOf(prompt)}`,
        "several prompts are a list of lists",
      );
  return prompts;
}

/** Throws InputError unless the options are an object with options of the right kinds; callers may have no types. */
export function expectOptions(options: GenerateOptions & { readonly stop?: unknown }): void {
  if (typeof options !== "object" || options === null)
    throw new InputError("options", `options must be an object, found ${kindOf(options)}`);
  const { ends = [], signal, stop = "" } = options;
  if (!isIterable(ends)) throw new InputError("ends", `ends must be a list of tokens, found ${kindOf(ends)}`);
  if (!isIterable(stop)) throw new InputError("stop", `stop must be a text or a list of texts, found ${kindOf(stop)}`);
  if (signal !== undefined && typeof signal?.throwIfAborted !== "function")
    throw new InputError(
      "signal",
      `signal must be an AbortSignal, found ${kindOf(signal)}`,
      "give the `signal` of the AbortController",
    );
}

const kindOf = (value: unknown): string => (value === null ? "null" : `a value of type ${typeof value}`);
const isIterable = (value: unknown): boolean =>
  typeof value === "string" || (typeof value === "object" && value !== null && Symbol.iterator in value);

/**
 * The maximum number of generated tokens for each prompt: the context must hold all tokens that are read, and the last
 * generated token is not read. `more`: names of further options.
 */
export function checkPrompts(
  generation: Generation,
  prompts: readonly ArrayLike<number>[],
  options: GenerateOptions,
  more: readonly string[] = [],
): readonly number[] {
  expectPrompts(prompts);
  expectOptions(options);
  const { maxTokens, ends } = options;
  for (const name of Object.keys(options))
    if (![...OPTIONS, ...more].includes(name))
      throw new InputError(
        name,
        `there is no option ${name}`,
        `there are ${LISTED_OPTIONS.join(", ")}, and \`stop\` where texts are generated`,
      );
  const { context, vocabulary } = generation;
  if (prompts.length === 0) throw new InputError("prompts", "there is no prompt");
  if (options.constraints && options.constraints.length !== prompts.length)
    throw new InputError(
      "constraints",
      `there are ${prompts.length} sequences, and constraints for ${options.constraints.length}`,
    );
  if (maxTokens !== undefined && (!Number.isSafeInteger(maxTokens) || maxTokens < 1))
    throw new InputError("maxTokens", `maxTokens is ${String(maxTokens)}: it must be a whole number of at least 1`);
  if (maxTokens === undefined && context === null)
    throw new InputError(
      "maxTokens",
      "the model has no longest context, so `maxTokens` must say how many tokens to add",
    );
  for (const end of ends ?? [])
    if (!Number.isSafeInteger(end) || end < 0)
      throw new InputError("ends", `the end token ${String(end)} is not a token`);
  return prompts.map((prompt, i) => {
    const name = prompts.length === 1 ? "the prompt" : `prompt ${i}`;
    if (prompt.length === 0)
      throw new InputError(
        "prompts",
        `${name} is empty`,
        "give it at least one token, such as the token that begins a text",
      );
    for (let at = 0; at < prompt.length; at++) {
      const token = prompt[at]!;
      if (!Number.isSafeInteger(token) || token < 0 || token >= vocabulary)
        throw new InputError(
          "prompts",
          `token ${at} of ${name} is ${String(token)}: the model's are whole numbers from 0 to ${vocabulary - 1}`,
        );
    }
    if (context !== null && prompt.length > context)
      throw new InputError(
        "prompts",
        `${name} has ${prompt.length} tokens, the model reads at most ${context}`,
        "shorten it, or keep its last tokens only",
      );
    const room = context === null ? Infinity : context - prompt.length + 1;
    return Math.min(maxTokens ?? room, room);
  });
}
