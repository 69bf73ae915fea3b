// The items of /v1/responses: those of a request as messages of a chat, those of an answer, and the events by which a
// stream builds them.
import type { WireFinish } from "../requests/choice.js";
import type { AnswerPart, ToolCallPart } from "../tools/answer-reader.js";
import { oneOf, type Read, type Reader } from "../../../runtime/program/reader.js";
import type { Message, ToolCall } from "../../../models/tokenizer/chat.js";
import { argumentsOf, contentOf, expectFewParts, MOST_MESSAGES, templateRole } from "../requests/messages.js";
import { anyText, body } from "../requests/body.js";

// The input of /v1/responses: messages, calls of tools and their results, as the messages of a chat.

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

/** An event of a stream, without its number. */
export interface ResponseEvent {
  readonly type: `response.${string}`;
  readonly [field: string]: unknown;
}

type Status = "in_progress" | "completed" | "incomplete";

export class ResponseOutput {
  /** Of the items: the part after their kind. */
  readonly #id: string;
  readonly #items: object[] = [];
  /** The text of the message that is being written; null if there is none. */
  #text: string | null = null;

  constructor(id: string) {
    this.#id = id;
  }

  get items(): readonly object[] {
    return this.#items;
  }

  add(parts: readonly AnswerPart[]): readonly ResponseEvent[] {
    return parts.flatMap((part) =>
      part.kind === "text" ? this.#addText(part.text) : [...this.#endText("completed"), ...this.#addCall(part)],
    );
  }

  /** Ends the last item. An answer of nothing is an empty message. */
  end(finish: WireFinish): readonly ResponseEvent[] {
    const begun = this.#text === null && this.#items.length === 0 ? this.#beginText() : [];
    return [...begun, ...this.#endText(finish === "length" ? "incomplete" : "completed")];
  }

  get #place(): { readonly item_id: string; readonly output_index: number } {
    return { item_id: `msg_${this.#id}_${this.#items.length}`, output_index: this.#items.length };
  }

  #message(status: Status, content: readonly object[]): object {
    return { id: this.#place.item_id, type: "message", role: "assistant", status, content };
  }

  #beginText(): readonly ResponseEvent[] {
    this.#text = "";
    const place = this.#place;
    return [
      {
        type: "response.output_item.added",
        output_index: place.output_index,
        item: this.#message("in_progress", []),
      },
      { type: "response.content_part.added", ...place, content_index: 0, part: textPart("") },
    ];
  }

  #addText(text: string): readonly ResponseEvent[] {
    const begun = this.#text === null ? this.#beginText() : [];
    this.#text += text;
    return [
      ...begun,
      { type: "response.output_text.delta", ...this.#place, content_index: 0, delta: text, logprobs: [] },
    ];
  }

  #endText(status: Status): readonly ResponseEvent[] {
    if (this.#text === null) return [];
    const [text, place] = [this.#text, this.#place];
    const item = this.#message(status, [textPart(text)]);
    this.#text = null;
    this.#items.push(item);
    return [
      { type: "response.output_text.done", ...place, content_index: 0, text, logprobs: [] },
      { type: "response.content_part.done", ...place, content_index: 0, part: textPart(text) },
      { type: "response.output_item.done", output_index: place.output_index, item },
    ];
  }

  #addCall({ id: callId, name, arguments: given }: ToolCallPart): readonly ResponseEvent[] {
    const place = { item_id: `fc_${this.#id}_${this.#items.length}`, output_index: this.#items.length };
    const call = { id: place.item_id, type: "function_call", call_id: callId, name };
    const item = { ...call, arguments: given, status: "completed" };
    this.#items.push(item);
    return [
      {
        type: "response.output_item.added",
        output_index: place.output_index,
        item: { ...call, arguments: "", status: "in_progress" },
      },
      { type: "response.function_call_arguments.delta", ...place, delta: given },
      { type: "response.function_call_arguments.done", ...place, name, arguments: given },
      { type: "response.output_item.done", output_index: place.output_index, item },
    ];
  }
}

const textPart = (text: string): object => ({ type: "output_text", text, annotations: [], logprobs: [] });
