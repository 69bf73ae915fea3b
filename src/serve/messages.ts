// Messages of a chat: text by a speaker. Everything else of OpenAI's messages is refused by name.
import { oneOf, type Read, type Reader } from "../program/reader.js";
import type { Message } from "../tokenizer/chat.js";
import { anyText, body, type Unsupported } from "./schema.js";

const ROLES = ["system", "developer", "user", "assistant"] as const;
/** Of a chat, and of all the contents that are lists: everybody waits while they are read. */
const MOST_MESSAGES = 4096;

interface Written {
  readonly role: (typeof ROLES)[number];
  readonly content: string;
}

const part = body<{ type: "text"; text: string }, object>({ type: oneOf(["text"]), text: anyText }, {});

/** A text, or a list of texts, which are one. */
const content: Read<string> = (r: Reader) =>
  typeof r.value === "string"
    ? r.value
    : Array.isArray(r.value)
      ? r.list((item) => part(item).text).join("")
      : r.unlike("a text, or a list of texts");

const LACKING: Unsupported = {
  name: [],
  audio: [],
  function_call: [],
  refusal: [],
  tool_call_id: [],
  tool_calls: [[]],
};

const message: Read<Written> = body<Written, object>({ role: oneOf(ROLES), content }, {}, LACKING);

/** `developer` is what OpenAI calls `system` since; templates know the older word. */
export const messagesField: Read<readonly Message[]> = (r) => {
  expectFewParts(r);
  const messages = r.list(message, MOST_MESSAGES);
  if (messages.length === 0) r.fail("is an empty list");
  return messages.map(({ role, content: text }) => ({ role: role === "developer" ? "system" : role, content: text }));
};

/** Counts the parts of all contents, before any is read. */
function expectFewParts(r: Reader): void {
  if (!Array.isArray(r.value) || r.value.length > MOST_MESSAGES) return; // refused as it is read
  let parts = 0;
  for (const message of r.value as readonly ({ readonly content?: unknown } | null)[])
    if (Array.isArray(message?.content)) parts += message.content.length;
  if (parts > MOST_MESSAGES) r.fail(`must have contents of at most ${MOST_MESSAGES} parts in all, found ${parts}`);
}
