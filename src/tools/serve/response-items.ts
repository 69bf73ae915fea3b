// The input of /v1/responses: messages, calls of tools and their results, as the messages of a chat.
import { oneOf, type Read, type Reader } from "../../runtime/program/reader.js";
import type { Message, ToolCall } from "../../models/tokenizer/chat.js";
import { argumentsOf, contentOf, expectFewParts, MOST_MESSAGES, templateRole } from "./messages.js";
import { anyText, body } from "./schema.js";

const ROLES = ["system", "developer", "user", "assistant"] as const;
const STATUS = oneOf(["in_progress", "completed", "incomplete"]);

/** Fields that items of an earlier answer have, and that say nothing to the model. */
const MARKS = { id: (r: Reader) => r.string(), status: STATUS };
const emptyList: Read<null> = (r) => (r.list(() => null, 0), null);

const content = contentOf(
  body<{ readonly type: "input_text" | "output_text"; readonly text: string }, object>(
    { type: oneOf(["input_text", "output_text"]), text: anyText },
    { annotations: emptyList, logprobs: emptyList },
  ),
);

const said = body<Message, object>({ role: oneOf(ROLES), content }, { ...MARKS, type: oneOf(["message"]) });
const called = body<Omit<ToolCall["function"], "arguments"> & { call_id: string; arguments: string }, object>(
  { call_id: (r) => r.string(), name: (r) => r.string(), arguments: anyText },
  { ...MARKS, type: oneOf(["function_call"]) },
);
const answered = body<{ readonly call_id: string; readonly output: string }, object>(
  { call_id: (r) => r.string(), output: content },
  { ...MARKS, type: oneOf(["function_call_output"]) },
);

const item: Read<Message> = (r) => {
  const { value: type = "message" } = r.get("type");
  if (type === "function_call") {
    const { call_id: id, name, arguments: given } = called(r);
    const call: ToolCall = { id, type: "function", function: { name, arguments: argumentsOf(given) } };
    return { role: "assistant", content: "", tool_calls: [call] };
  }
  if (type === "function_call_output") {
    const { call_id: id, output } = answered(r);
    return { role: "tool", content: output, tool_call_id: id };
  }
  if (type !== "message") oneOf(["message", "function_call", "function_call_output"])(r.get("type"));
  const { role, content: text } = said(r);
  return { role: templateRole(role), content: text };
};

/** A text of the user, or a list of items. */
export const inputField: Read<readonly Message[]> = (r) => {
  if (typeof r.value === "string") return [{ role: "user", content: r.value }];
  if (!Array.isArray(r.value)) r.unlike("a text, or a list of items");
  expectFewParts(r);
  const items = r.list(item, MOST_MESSAGES);
  if (items.length === 0) r.fail("is an empty list");
  return joined(items);
};

/** Calls belong to the message of the assistant before them. */
function joined(items: readonly Message[]): readonly Message[] {
  const messages: Message[] = [];
  for (const own of items) {
    const before = messages.at(-1);
    if (own.tool_calls && before?.role === "assistant")
      messages.splice(-1, 1, { ...before, tool_calls: [...(before.tool_calls ?? []), ...own.tool_calls] });
    else messages.push(own);
  }
  return messages;
}

/** The messages with the instructions as the system's text: many templates accept one message of the system. */
export function instructed(messages: readonly Message[], instructions: string | undefined): readonly Message[] {
  if (instructions === undefined || instructions === "") return messages;
  const [first, ...rest] = messages;
  return first?.role === "system"
    ? [{ role: "system", content: `${instructions}\n\n${first.content}` }, ...rest]
    : [{ role: "system", content: instructions }, ...messages];
}
