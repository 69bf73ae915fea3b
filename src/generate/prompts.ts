// What texts go on from: texts, tokens, messages of a chat; and options that a checkpoint fills in.
import { InputError } from "../runtime/index.js";
import type { SamplingOptions } from "./options.js";

export interface Message {
  readonly role: string;
  readonly content: string;
}

/** A text, its tokens, or the messages of a chat, whose last one is to be answered. */
export type Prompt = string | ArrayLike<number> | readonly Message[];

/** One prompt, or several that go on at once. */
export type Prompts = Prompt | { readonly prompts: readonly Prompt[] };

/** Throws InputError for what is no prompt. */
export function promptsOf(given: Prompts): readonly Prompt[] {
  const prompts = typeof given === "object" && given !== null && "prompts" in given ? given.prompts : [given];
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

/** Of each sequence, or of all, its own options, else those of the checkpoint. */
export const withDefaults = (
  own: SamplingOptions,
  given: SamplingOptions | readonly SamplingOptions[] = {},
): SamplingOptions | readonly SamplingOptions[] =>
  isList(given) ? given.map((one) => ({ ...own, ...one })) : { ...own, ...given };

/** What `Array.isArray` does not tell of readonly lists. */
const isList = (options: SamplingOptions | readonly SamplingOptions[]): options is readonly SamplingOptions[] =>
  Array.isArray(options);
