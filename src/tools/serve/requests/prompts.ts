// Prompts of requests as tokens: texts, lists of tokens, and several of either.
import type { Read, Reader } from "../../../runtime/program/reader.js";
import type { Call } from "./call.js";
import { invalid, type RequestError } from "./errors.js";
import type { Served } from "./options.js";
import { anyText } from "./body.js";
import { turn } from "./turn.js";

/** A text, or tokens. */
export type WirePrompt = string | readonly number[];

/** Where a request has its texts, and the most tokens of one; null: no limit. */
export interface PromptField {
  readonly name: "prompt" | "messages" | "input" | "tools";
  readonly context: number | null;
}

/** The most tokens of a list, of a model that has no longest context. */
export const MOST_LISTED = 1 << 20;

/**
 * A text, a list of tokens, or a list of such. What is more than the server takes is refused by its length: everybody
 * would wait while it is read.
 */
export const promptsField =
  ({ limits }: Pick<Served, "limits">, field: PromptField): Read<readonly WirePrompt[]> =>
  (r) => {
    if (typeof r.value === "string") return [anyText(r)];
    if (isTokens(r)) return [tokensField(r, field)];
    if (!Array.isArray(r.value)) r.unlike("a text, a list of tokens, or a list of either");
    const { length } = r.value as readonly unknown[]; // as was asked
    if (length > limits.choices) throw tooMany(limits.choices, length, field.name);
    const prompts = r.list((item, i) =>
      typeof item.value === "string" ? anyText(item) : tokensField(item, field, i, length),
    );
    return prompts.length > 0 ? prompts : r.fail("is an empty list");
  };

const isTokens = ({ value }: Reader): boolean => Array.isArray(value) && typeof value[0] === "number";

/** A request with more texts than it may have. */
export const tooMany = (most: number, texts: number, param: string): RequestError =>
  invalid(`a request may ask for ${most} ${most === 1 ? "choice" : "choices"}, but this one asks for ${texts}`, param);

function tokensField(r: Reader, field: PromptField, index = 0, count = 1): readonly number[] {
  const length = Array.isArray(r.value) ? r.value.length : 0;
  const most = field.context ?? MOST_LISTED;
  if (length > most) throw tooLong(most, length, field, index, count);
  return tokenList(r);
}

const isToken = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0; // an integer

/** A list of tokens, of any length. Millions are looked at without a reader for each. */
export function tokenList(r: Reader): readonly number[] {
  const { value } = r;
  if (!Array.isArray(value)) return r.unlike("a list");
  const wrong = value.findIndex((token) => !isToken(token) || token > 0xffffffff);
  if (wrong >= 0) r.item(wrong).integer(0, 0xffffffff);
  return value as readonly number[]; // each was looked at
}

/** The subject and verb of a message about a prompt, such as "prompt 3 has". */
export const whichHas = ({ name }: Pick<PromptField, "name">, index: number, count: number): string =>
  name === "messages" || name === "tools"
    ? `the ${name} have`
    : name === "input"
      ? `text ${index} has`
      : count === 1
        ? "the prompt has"
        : `prompt ${index} has`;

/** A text with more tokens than are read. */
export const tooLong = (most: number, found: number, field: PromptField, index: number, count: number): RequestError =>
  invalid(
    `a text may have ${most} tokens here, ${whichHas(field, index, count)} ${found}`,
    field.name,
    "context_length_exceeded",
  );

/** How many times the characters that the context's tokens could have a text may have, for tokenizers that drop some. */
const SLACK = 4;
/** Characters that any text may have, and for each token of the context where that is more. */
const CHARACTERS = { any: 65_536, token: 8 } as const;

/** The most characters of a text: encoding takes a microsecond or more for each. */
export const mostCharacters = (context: number | null): number =>
  Math.max(CHARACTERS.any, CHARACTERS.token * (context ?? 0));

/** Throws RequestError for a text that could not fit into the context, or would take too long to be encoded. */
export function expectCharacters(served: Served, characters: number, field: PromptField, index = 0, count = 1): void {
  const { context } = field;
  const { longest } = served.tokenizer;
  const refused = (message: string): RequestError => invalid(message, field.name, "context_length_exceeded");
  if (context !== null && characters > SLACK * context * longest + longest)
    throw refused(`a text may have ${context} tokens here, and ${field.name} has ${characters} characters`);
  const most = mostCharacters(context);
  if (characters > most)
    throw refused(`a text may have ${most} characters, ${whichHas(field, index, count)} ${characters}`);
}

/** Texts of so many characters or fewer are encoded without a turn of others before. */
export const SHORT = 4096;

/**
 * The tokens of each prompt; to a text the tokenizer adds what it puts around whole texts, unless `template` says
 * otherwise. Others have their turn between long texts. Throws TokenizerError, and RequestError before anything is
 * encoded for a text that could not fit into the context, and for the first that has too many tokens.
 */
export async function tokensOf(
  served: Served,
  call: Call,
  prompts: readonly WirePrompt[],
  field: PromptField,
  template = true,
): Promise<readonly (readonly number[])[]> {
  const count = prompts.length;
  for (const [i, prompt] of prompts.entries())
    if (typeof prompt === "string") expectCharacters(served, prompt.length, field, i, count);
  const all: (readonly number[])[] = [];
  let characters = 0;
  for (const [i, prompt] of prompts.entries()) {
    if (typeof prompt !== "string") {
      all.push(prompt);
      continue;
    }
    characters += prompt.length;
    if (characters > SHORT) {
      await turn();
      call.signal.throwIfAborted();
    }
    const tokens = await served.tokenizer.encodeAsync(prompt, { template, signal: call.signal });
    if (field.context !== null && tokens.length > field.context)
      throw tooLong(field.context, tokens.length, field, i, count);
    all.push(tokens);
  }
  return all;
}
