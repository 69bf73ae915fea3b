// Prompts (texts, tokens, or chat messages), and options with the checkpoint's defaults.
import { InputError } from "../../runtime/index.js";
import type { SamplingOptions } from "../sampling/options.js";

export interface Message {
  readonly role: string;
  readonly content: string;
}

/** A text, a list of tokens, or the messages of a chat, the last of which is to be answered. */
export type Prompt = string | ArrayLike<number> | readonly Message[];

/** One prompt, or several to be continued together. */
export type Prompts = Prompt | { readonly prompts: readonly Prompt[] };

/** The list of prompts. Throws InputError for an invalid prompt. */
export function promptsOf(given: Prompts): readonly Prompt[] {
  const prompts = typeof given === "object" && given !== null && "prompts" in given ? given.prompts : [given];
  if (!Array.isArray(prompts))
    throw new InputError("prompts", `prompts must be a list, found ${typeof prompts}`, "write { prompts: [prompt] }");
  for (const prompt of prompts)
    if (typeof prompt !== "string" && typeof prompt?.length !== "number")
      throw new InputError(
        "prompt",
        `a prompt is a text, a list of tokens or of messages, found ${prompt === null ? "null" : typeof prompt}`,
      );
  return prompts;
}

export const isChat = (prompt: Prompt): prompt is readonly Message[] =>
  typeof prompt !== "string" && typeof prompt[0] === "object";

/** Completes sampling options, given for each sequence or for all, with the checkpoint's defaults. */
export const withDefaults = (
  own: SamplingOptions,
  given: SamplingOptions | readonly SamplingOptions[] = {},
): SamplingOptions | readonly SamplingOptions[] =>
  isList(given) ? given.map((one) => ({ ...own, ...one })) : { ...own, ...given };

/** A type guard: `Array.isArray` does not narrow readonly lists. */
const isList = (options: SamplingOptions | readonly SamplingOptions[]): options is readonly SamplingOptions[] =>
  Array.isArray(options);
