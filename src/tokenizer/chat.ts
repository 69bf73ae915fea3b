// Chat templates: format messages as the text that a model was trained to continue.
import { escapedName } from "../size/shown.js";
import { TokenizerError } from "./errors.js";
import { parseTemplate } from "./template.js";

export interface Message {
  readonly role: string;
  /** Empty for a message that has tool calls alone. */
  readonly content: string;
  /** The calls that an answer consists of; templates expect their arguments as objects. */
  readonly tool_calls?: readonly ToolCall[];
  /** The call whose result a message of the role `tool` is. */
  readonly tool_call_id?: string;
  readonly name?: string;
}

export interface ToolCall {
  readonly id: string;
  readonly type: "function";
  readonly function: { readonly name: string; readonly arguments: unknown };
}

export interface ChatOptions {
  /** Whether the text ends with the beginning of the model's answer. Default true. */
  readonly answer?: boolean;
  /** Tools that the model may call, as JSON schemas in OpenAI's form; the template decides how to show them. */
  readonly tools?: readonly object[];
  /** Further variables of the template, such as `enable_thinking`. */
  readonly variables?: Readonly<Record<string, unknown>>;
}

/** A compiled template with the special tokens that it may refer to. */
export interface ChatTemplate {
  /** Its source. */
  readonly text: string;
  /** Texts that end an answer and that the tokenizer does not have as tokens. */
  readonly stops: readonly string[];
  /** Formats messages as a prompt, with special tokens as text. Throws TokenizerError if the template rejects them. */
  prompt(messages: readonly Message[], options?: ChatOptions): string;
}

/** The chat settings of a `tokenizer_config.json`: special tokens by name, and the template; null if it has none. */
export interface ChatConfig {
  readonly template: string | null;
  /** `bos_token`, `eos_token` and the like, as text. */
  readonly specials: ReadonlyMap<string, string>;
}

const SPECIALS = ["bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token"] as const;

/** Reads a `tokenizer_config.json`. Throws TokenizerError. */
export function parseChatConfig(json: string, file: string): ChatConfig {
  let config: unknown;
  try {
    config = JSON.parse(json);
  } catch (cause) {
    throw new TokenizerError(
      "bad-tokenizer",
      `${file} is no JSON: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
  if (typeof config !== "object" || config === null || Array.isArray(config))
    throw new TokenizerError("bad-tokenizer", `${file} is no JSON object`);
  const fields = new Map<string, unknown>(Object.entries(config));
  const specials = new Map<string, string>();
  for (const name of SPECIALS) {
    const token = tokenText(fields.get(name) ?? null);
    if (token === undefined)
      throw new TokenizerError("bad-tokenizer", `${file}: ${name} is neither a string nor an object with its content`);
    if (token !== null) specials.set(name, token);
  }
  return { template: templateOf(fields.get("chat_template") ?? null, file), specials };
}

/** The text of a token: a string, or the `content` of an object; undefined for any other value. */
function tokenText(value: unknown): string | null | undefined {
  if (value === null || typeof value === "string") return value;
  const content = typeof value === "object" && "content" in value ? value.content : undefined;
  return typeof content === "string" ? content : undefined;
}

/** A template, or the one named `default` of a list. */
function templateOf(value: unknown, file: string): string | null {
  if (value === null || typeof value === "string") return value;
  if (!Array.isArray(value))
    throw new TokenizerError(
      "bad-tokenizer",
      `${file}: chat_template is neither a string nor a list of named templates`,
    );
  for (const entry of value as readonly unknown[])
    if (
      typeof entry === "object" &&
      entry !== null &&
      "name" in entry &&
      entry.name === "default" &&
      "template" in entry &&
      typeof entry.template === "string"
    )
      return entry.template;
  throw new TokenizerError("bad-tokenizer", `${file}: chat_template has no template called default`);
}

/**
 * Compiles a template; `file` is its file, for messages, and `stops` are texts that end an answer. Throws
 * TokenizerError for an invalid template.
 */
export function chatTemplate(
  template: string,
  specials: ReadonlyMap<string, string>,
  file: string,
  { stops = [] }: { readonly stops?: readonly string[] } = {},
): ChatTemplate {
  const compiled = convertingErrors(`the chat template of ${file} cannot be read`, file, () => parseTemplate(template));
  return {
    text: template,
    stops,
    prompt(messages, { answer = true, tools = [], variables = {} } = {}) {
      expectMessages(messages);
      const templateVariables = {
        ...Object.fromEntries(specials),
        messages,
        ...(tools.length > 0 && { tools }),
        add_generation_prompt: answer,
        ...variables,
      };
      const toolCharacters = JSON.stringify(tools).length;
      const characters = messages.reduce((sum, message) => sum + charactersOf(message), toolCharacters);
      const prompt: unknown = convertingErrors(`the chat template of ${file} refuses the messages`, file, () =>
        compiled(templateVariables, messages.length, characters),
      );
      if (typeof prompt !== "string")
        throw new TokenizerError("bad-template", `the chat template of ${file} gives no text`, { file });
      return prompt;
    },
  };
}

function expectMessages(messages: readonly Message[]): void {
  if (messages.length === 0) throw new TokenizerError("bad-text", "a chat without messages has no prompt");
  for (const [i, { role, content }] of messages.entries())
    if (typeof role !== "string" || typeof content !== "string")
      throw new TokenizerError("bad-text", `message ${i} of the chat needs a role and a content, both of them text`, {
        hint: 'write { role: "user", content: "…" }; parts of other kinds are not read',
      });
}

/** The characters of a message that a template may print. */
export const charactersOf = ({ role, content, tool_calls: calls }: Message): number =>
  role.length + content.length + (calls ? JSON.stringify(calls).length : 0);

/** Runs a template, which is external code; converts whatever it throws to a TokenizerError. */
function convertingErrors<T>(what: string, file: string, body: () => T): T {
  try {
    return body();
  } catch (cause) {
    // A RangeError means a stack overflow.
    const reason =
      cause instanceof RangeError
        ? "it nests or calls itself too deep"
        : cause instanceof Error
          ? cause.message
          : String(cause);
    throw new TokenizerError("bad-template", `${what}: ${escapedName(reason, MAX_REASON)}`, { cause, file });
  }
}

/** The limit on text from the template in a message. */
const MAX_REASON = 500;
