// How models write calls of tools: a row for each form, recognised by the model's chat template.
import { JsonBounds } from "../requests/json-bounds.js";

/** A call as a model wrote it, before it is known whether there is such a tool. */
export interface WrittenCall {
  readonly name: string;
  /** A JSON object. */
  readonly arguments: object;
}

/** The texts around all calls, around each, and between two; each is an object with a name and this field. */
export interface WrittenCalls {
  readonly open: string;
  readonly close: string;
  readonly begin: string;
  readonly end: string;
  readonly between: string;
  readonly field: "arguments" | "parameters";
}

export interface ToolFormat {
  /** Whether a chat template with this text writes calls so. */
  readonly writtenBy: (template: string) => boolean;
  /** Special tokens whose texts belong to a call. */
  readonly marks: readonly string[];
  /** The texts by which calls begin, and whether only at the beginning of an answer. */
  readonly begins: readonly string[];
  readonly first: boolean;
  /** The text by which a call ends; null: the end of the answer. */
  readonly end: string | null;
  /** The calls of a text from its beginning to its end, both included; null if it is not a call. */
  readonly read: (text: string) => readonly WrittenCall[] | null;
  /** How calls are written where an answer must have some. */
  readonly written: WrittenCalls;
  /** A new id, as the template accepts it. */
  readonly id: () => string;
}

const callId = (): string => `call_${crypto.randomUUID().replaceAll("-", "").slice(0, 24)}`;
/** Templates of Mistral refuse ids of other than nine letters and digits. */
const shortId = (): string => crypto.randomUUID().replaceAll("-", "").slice(0, 9);

/** In this order: a template may contain the texts of several. */
export const TOOL_FORMATS: readonly ToolFormat[] = [
  {
    // Mistral: [TOOL_CALLS] [{"name": …, "arguments": {…}}], or, since 2025, [TOOL_CALLS]name[ARGS]{…}.
    writtenBy: (template) => template.includes("[TOOL_CALLS]"),
    marks: ["[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"],
    begins: ["[TOOL_CALLS]"],
    first: false,
    end: null,
    read: (text) => mistralCalls(text),
    written: { open: "[TOOL_CALLS][", close: "]", begin: "", end: "", between: ", ", field: "arguments" },
    id: shortId,
  },
  {
    // Hermes and Qwen: <tool_call>{"name": …, "arguments": {…}}</tool_call>, several in a row. Templates that write
    // names and arguments as elements in it are of another form.
    writtenBy: (template) => template.includes("<tool_call>") && !/<function=|<arg_key>/.test(template),
    marks: ["<tool_call>", "</tool_call>"],
    begins: ["<tool_call>"],
    first: false,
    end: "</tool_call>",
    read: (text) => listOf(callOf(parsed(text.slice("<tool_call>".length).replace(/<\/tool_call>$/, "")))),
    written: {
      open: "",
      close: "",
      begin: "<tool_call>\n",
      end: "\n</tool_call>",
      between: "\n",
      field: "arguments",
    },
    id: callId,
  },
  {
    // Llama 3: the whole answer is {"name": …, "parameters": {…}}, several separated by ";".
    writtenBy: (template) => template.includes("<|start_header_id|>") && template.includes('"parameters":'),
    marks: ["<|python_tag|>"],
    begins: ["<|python_tag|>", "{"],
    first: true,
    end: null,
    read: (text) => separatedCalls(text.replace(/^<\|python_tag\|>/, "")),
    written: { open: "", close: "", begin: "", end: "", between: "; ", field: "parameters" },
    id: callId,
  },
];

function mistralCalls(text: string): readonly WrittenCall[] | null {
  const inner = text.slice("[TOOL_CALLS]".length);
  if (inner.trimStart().startsWith("[")) {
    const list = parsed(inner.slice(0, jsonEnd(inner)));
    return Array.isArray(list) && list.length > 0 ? all(list.map(callOf)) : null;
  }
  return all(
    inner.split("[TOOL_CALLS]").map((one) => {
      const [head = "", ...rest] = one.split("[ARGS]");
      const name = head.split("[CALL_ID]", 1)[0]!.trim();
      return callOf({ name, arguments: parsed(rest.join("[ARGS]")) });
    }),
  );
}

function separatedCalls(text: string): readonly WrittenCall[] | null {
  const calls: (WrittenCall | null)[] = [];
  for (let rest = text; rest.trim() !== "" || calls.length === 0;) {
    const end = jsonEnd(rest);
    calls.push(callOf(parsed(rest.slice(0, end))));
    rest = rest.slice(end).replace(/^\s*;/, "");
    if (calls.at(-1) === null) return null;
  }
  return all(calls);
}

/** A call by its fields; null for anything else. A model may write its arguments as a text of JSON. */
function callOf(value: unknown): WrittenCall | null {
  if (!isObject(value)) return null;
  const { name, arguments: own, parameters } = value;
  const given = own ?? parameters ?? {};
  const found = typeof given === "string" ? parsed(given) : given;
  return typeof name === "string" && isObject(found) ? { name, arguments: found } : null;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const listOf = (call: WrittenCall | null): readonly WrittenCall[] | null => call && [call];

const all = (calls: readonly (WrittenCall | null)[]): readonly WrittenCall[] | null =>
  calls.every((call) => call !== null) ? calls : null;

/** Undefined for what is not JSON, or nests too deep to be written again: a model may write anything. */
function parsed(text: string): unknown {
  if (new JsonBounds().excess(text) !== null) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Where the list or object ends that a text begins with; the text's end if it does not end. */
function jsonEnd(text: string): number {
  let depth = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (quoted) {
      if (c === "\\") i++;
      else if (c === '"') quoted = false;
    } else if (c === '"') quoted = true;
    else if (c === "{" || c === "[") depth++;
    else if ((c === "}" || c === "]") && --depth === 0) return i + 1;
  }
  return text.length;
}
