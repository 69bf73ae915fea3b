// Messages of a chat, and how a template formats them.

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
  /** Additional variables for the template, such as `enable_thinking`. */
  readonly variables?: Readonly<Record<string, unknown>>;
}

/** The characters of a message that a template may print. */
export const charactersOf = ({ role, content, tool_calls: calls }: Message): number =>
  role.length + content.length + (calls ? JSON.stringify(calls).length : 0);
