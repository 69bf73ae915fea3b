// Chat templates: format messages as the text that a model was trained to continue.
import { escapedName } from "../../ground/base/shown.js";
import type { Apart } from "./apart.js";
import { TokenizerError } from "./errors.js";
import { charactersOf, type ChatOptions, type Message } from "./message.js";
import { parseTemplate } from "./template.js";
import { Budget, TemplateLimit } from "./template-budget.js";

export type { ChatOptions, Message, ToolCall } from "./message.js";

/** A compiled template with the special tokens that it may refer to. */
export interface ChatTemplate {
  /** Its source. */
  readonly text: string;
  /** Texts that end an answer and that the tokenizer does not have as tokens. */
  readonly stops: readonly string[];
  /** Formats messages as a prompt, with special tokens as text. Throws TokenizerError if the template rejects them. */
  prompt(messages: readonly Message[], options?: ChatOptions): string;
  /**
   * The same, for a thread that others wait for: a worker, if there is one, does work of more than about 50 ms.
   * Throws the reason of `signal` too.
   */
  promptAsync(messages: readonly Message[], options?: ChatOptions & { readonly signal?: AbortSignal }): Promise<string>;
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
      `${file} is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
  if (typeof config !== "object" || config === null || Array.isArray(config))
    throw new TokenizerError("bad-tokenizer", `${file} is not a JSON object`);
  const fields = new Map<string, unknown>(Object.entries(config));
  const specials = new Map<string, string>();
  for (const name of SPECIALS) {
    const token = tokenText(fields.get(name) ?? null);
    if (token === undefined)
      throw new TokenizerError("bad-tokenizer", `${file}: ${name} is neither a string nor an object with a content`);
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

/** Steps and messages of a template that take less than about 50 ms, whatever they do. */
const QUICK = { steps: 25_000, messages: 128 } as const;

/** Characters whose time a template may take in a worker besides: its steps are bounded already. */
const PATIENCE = 25_000;

export interface TemplateOptions {
  /** Texts that end an answer. */
  readonly stops?: readonly string[];
  /** Runs prompts that take long. */
  readonly apart?: Apart | null;
  /** Whether an invalid template is refused only when a prompt is asked for, with a hint; default: at once. */
  readonly deferred?: boolean;
}

/** Compiles a template; `file` is its file, for messages. Throws TokenizerError for an invalid template. */
export function chatTemplate(
  template: string,
  specials: ReadonlyMap<string, string>,
  file: string,
  { stops = [], apart = null, deferred = false }: TemplateOptions = {},
): ChatTemplate {
  const compile = (): ReturnType<typeof parseTemplate> =>
    convertingErrors(`the chat template of ${file} cannot be read`, file, () => parseTemplate(template));
  let compiled = deferred ? null : compile();
  const run = (
    messages: readonly Message[],
    { answer = true, tools = [], variables = {} }: ChatOptions,
    steps?: number,
  ): string => {
    const parsed = (compiled ??= compile());
    const characters = expectMessages(messages) + JSON.stringify(tools).length;
    const budget = new Budget(messages.length, characters, steps);
    const all = {
      ...Object.fromEntries(specials),
      messages,
      ...(tools.length > 0 && { tools }),
      add_generation_prompt: answer,
      ...variables,
    };
    const prompt: unknown = convertingErrors(`the chat template of ${file} refuses the messages`, file, () =>
      parsed(all, budget),
    );
    if (typeof prompt !== "string")
      throw new TokenizerError("bad-template", `the chat template of ${file} returns no text`, { file });
    return prompt;
  };
  return {
    text: template,
    stops,
    prompt: (messages, options = {}) => run(messages, options),
    async promptAsync(messages, { signal, ...options } = {}) {
      signal?.throwIfAborted();
      if (apart === null) return run(messages, options);
      if (messages.length <= QUICK.messages)
        try {
          return run(messages, options, QUICK.steps);
        } catch (fault) {
          if (!(fault instanceof TokenizerError && fault.cause instanceof TemplateLimit)) throw fault;
        }
      return apart.ask({ kind: "prompt", messages, options }, PATIENCE + expectMessages(messages), signal);
    },
  };
}

/** How many characters messages have. Throws TokenizerError unless each is a role and a content. */
function expectMessages(messages: readonly Message[]): number {
  if (messages.length === 0) throw new TokenizerError("bad-text", "a chat without messages has no prompt");
  for (const [i, { role, content }] of messages.entries())
    if (typeof role !== "string" || typeof content !== "string")
      throw new TokenizerError("bad-text", `message ${i} of the chat needs a role and a content, both text`, {
        hint: 'write { role: "user", content: "…" }; modc reads no other parts',
      });
  return messages.reduce((sum, message) => sum + charactersOf(message), 0);
}

/** Runs a template, which is external code; converts whatever it throws to a TokenizerError. */
function convertingErrors<T>(what: string, file: string, body: () => T): T {
  try {
    return body();
  } catch (cause) {
    // A RangeError means a stack overflow.
    const reason =
      cause instanceof RangeError
        ? "it nests or recurses too deeply"
        : cause instanceof Error
          ? cause.message
          : String(cause);
    throw new TokenizerError("bad-template", `${what}: ${escapedName(reason, MAX_REASON)}`, { cause, file });
  }
}

/** The limit on text from the template in a message. */
const MAX_REASON = 500;
