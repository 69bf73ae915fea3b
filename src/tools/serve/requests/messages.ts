// Messages of a chat: text by a speaker, calls of tools and their results. Everything else of OpenAI's messages is
// refused by name.
import { oneOf, type Read, type Reader } from "../../../runtime/program/reader.js";
import type { Message, ToolCall } from "../../../models/tokenizer/chat.js";
import { JsonBounds } from "./json-bounds.js";
import { anyText, body, type Unsupported } from "./body.js";

const ROLES = ["system", "developer", "user", "assistant", "tool"] as const;
type Role = (typeof ROLES)[number];
/** Of a chat, and of all the contents that are lists: everybody waits while they are read. */
export const MOST_MESSAGES = 4096;
const MOST_CALLS = 128;

const part = body<{ type: "text"; text: string }, object>({ type: oneOf(["text"]), text: anyText }, {});

/** A text, or a list of texts, which are one. */
export const contentOf =
  (one: Read<{ readonly text: string }>): Read<string> =>
  (r: Reader) =>
    typeof r.value === "string"
      ? r.value
      : Array.isArray(r.value)
        ? r.list((item) => one(item).text).join("")
        : r.unlike("a text or a list of texts");

const content = contentOf(part);

/** An answer may have calls in place of a content. */
const contentOrNone: Read<string> = (r) => (r.value === null ? "" : content(r));

/**
 * Templates expect arguments as objects; what a model wrote otherwise stays a text. `expectFewParts` has bounded them.
 */
export function argumentsOf(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : text;
  } catch {
    return text;
  }
}

const call: Read<ToolCall> = body<ToolCall, object>(
  {
    id: (r) => r.string(),
    type: oneOf(["function"]),
    function: body<ToolCall["function"], object>(
      { name: (r) => r.string(), arguments: (r) => argumentsOf(anyText(r)) },
      {},
    ),
  },
  {},
);

const LACKING: Unsupported = { name: [], audio: [], function_call: [], refusal: [] };
const LACKING_CALLS: Unsupported = { ...LACKING, tool_call_id: [], tool_calls: [[]] };

type Written = Omit<Message, "role"> & { readonly role: Role };

const text = body<Written, object>({ role: oneOf(ROLES), content }, {}, LACKING_CALLS);
const result = body<Written & { readonly tool_call_id: string }, { readonly name: string }>(
  { role: oneOf(ROLES), content, tool_call_id: (r) => r.string() },
  { name: (r) => r.string() },
  { tool_calls: [[]] },
);
const answer = body<{ readonly role: Role; readonly tool_calls: readonly ToolCall[] }, { readonly content: string }>(
  { role: oneOf(ROLES), tool_calls: (r) => r.list(call, MOST_CALLS) },
  { content: contentOrNone },
  { ...LACKING, tool_call_id: [] },
);

const message: Read<Written> = (r) => {
  const { value: role } = r.get("role");
  if (role === "tool") return result(r);
  const { value: calls } = r.get("tool_calls");
  if (role !== "assistant" || !Array.isArray(calls) || calls.length === 0) return text(r);
  return { content: "", ...answer(r) };
};

/** `developer` is what OpenAI calls `system` since; templates know the older word. */
export const messagesField: Read<readonly Message[]> = (r) => {
  expectFewParts(r);
  const messages = r.list(message, MOST_MESSAGES);
  if (messages.length === 0) r.fail("is an empty list");
  return messages.map((own) => ({ ...own, role: templateRole(own.role) }));
};

export const templateRole = (role: string): string => (role === "developer" ? "system" : role);

/** The fields of a message, or of an item of a conversation, that may be lists or texts of JSON; none was read yet. */
interface Unread {
  readonly content?: unknown;
  readonly output?: unknown;
  readonly tool_calls?: unknown;
  readonly arguments?: unknown;
}

/** Counts the parts of all contents, and the values of all arguments, before any is read. */
export function expectFewParts(r: Reader): void {
  if (!Array.isArray(r.value) || r.value.length > MOST_MESSAGES) return; // refused as it is read
  const messages = r.value as readonly (Unread | null)[];
  let parts = 0;
  for (const own of messages)
    for (const list of [own?.content, own?.output, own?.tool_calls]) if (Array.isArray(list)) parts += list.length;
  if (parts > MOST_MESSAGES) r.fail(`must have contents of at most ${MOST_MESSAGES} parts in all, found ${parts}`);
  const bounds = new JsonBounds();
  for (const [i, own] of messages.entries()) {
    expectBounded(bounds, own?.arguments, () => r.item(i));
    const calls: readonly unknown[] = Array.isArray(own?.tool_calls) ? own.tool_calls : [];
    for (const [n, one] of calls.entries()) {
      const given = (one as { readonly function?: Unread | null } | null)?.function?.arguments;
      expectBounded(bounds, given, () => r.item(i).get("tool_calls").item(n).get("function"));
    }
  }
}

/** `owner`: what has the arguments. */
function expectBounded(bounds: JsonBounds, given: unknown, owner: () => Reader): void {
  const excess = typeof given === "string" ? bounds.excess(given) : null;
  if (excess !== null) owner().get("arguments").fail(excess);
}
