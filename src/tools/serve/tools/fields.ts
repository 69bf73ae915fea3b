// The tools of a request: their fields, and whether the model's chat template can show and call them.
import { flag, oneOf, type Read } from "../../../runtime/program/reader.js";
import type { Form } from "../../../generation/constrain/index.js";
import type { ChatTemplate } from "../../../models/tokenizer/chat.js";
import { invalid, unsupported } from "../requests/errors.js";
import { anyText, body, type Unsupported } from "../requests/body.js";
import type { CallableTools } from "./answer-reader.js";
import { TOOL_FORMATS, type ToolFormat } from "./formats.js";

/** A tool in OpenAI's form, as templates show it. */
export interface Tool {
  readonly type: "function";
  readonly function: ToolFunction;
}

export interface ToolFunction {
  readonly name: string;
  readonly description?: string;
  readonly parameters?: object;
}

const MOST_TOOLS = 128;

const name: Read<string> = (r) => {
  const text = r.string(64);
  return /^[\w.-]+$/.test(text) ? text : r.fail("must be of letters, digits, `.`, `_` and `-`");
};

/** A JSON schema: shown to the model as it is, and read no further. */
const jsonSchema: Read<object> = (r) => (r.isObject() ? (r.value as object) : r.unlike("an object"));

export const FUNCTION_FIELDS = [
  { name },
  { description: anyText, parameters: jsonSchema },
  { strict: [false] } as Unsupported, // answers are not held to the schema
] as const;

/** Reads what has these fields. What is strict is refused with the way out, since some clients say so by themselves. */
export const notStrict =
  <T>(read: Read<T>): Read<T> =>
  (r) => {
    if (r.isObject() && r.get("strict").value === true)
      throw unsupported(
        r.get("strict").path,
        `${r.get("strict").path} is not supported, because arguments are not checked against a schema: ` +
          'send "strict": false',
      );
    return read(r);
  };

const tool: Read<Tool> = body<Tool, object>(
  {
    type: oneOf(["function"]),
    function: notStrict(body<{ readonly name: string }, Omit<Required<ToolFunction>, "name">>(...FUNCTION_FIELDS)),
  },
  {},
);

export const toolsField: Read<readonly Tool[]> = (r) => r.list(tool, MOST_TOOLS);

/** Which tools an answer calls: none, those that the model chooses, at least one, or the one of this name. */
export type ToolChoice = "none" | "auto" | "required" | Named;

export interface ToolFields {
  readonly tools: readonly Tool[];
  readonly tool_choice: ToolChoice;
  readonly parallel_tool_calls: boolean;
}

interface Named {
  readonly name: string;
}

/** `named`: how a request names a tool. */
const toolChoice =
  (named: Read<Named>): Read<ToolChoice> =>
  (r) => {
    if (r.value === "none" || r.value === "auto" || r.value === "required") return r.value;
    if (r.isObject() && r.get("type").value === "function") return named(r);
    throw unsupported(r.path, `${r.path} may be "auto", "none" or "required", or name a function`);
  };

const wrappedName = body<{ readonly type: "function"; readonly function: Named }, object>(
  { type: oneOf(["function"]), function: body<Named, object>({ name }, {}) },
  {},
);
const namedFunction: Read<Named> = (r) => wrappedName(r).function;
const flatName = body<Named & { readonly type: "function" }, object>({ type: oneOf(["function"]), name }, {});

export const toolFields = { tools: toolsField, tool_choice: toolChoice(namedFunction), parallel_tool_calls: flag };

/** Of /v1/responses, where the name is not within `function`. */
export const flatToolChoice = toolChoice(flatName);

export interface RequestedTools extends CallableTools {
  readonly tools: readonly Tool[];
  /** The form of an answer that must call a tool; null where the model decides. */
  readonly form: Form | null;
}

/** Null where the request has no tools, or none may be called. Throws RequestError. */
export function requestedTools(chat: ChatTemplate | null, fields: Partial<ToolFields>): RequestedTools | null {
  const { tools = [], tool_choice: choice = "auto", parallel_tool_calls: parallel = true } = fields;
  const free = choice === "auto" || choice === "none";
  if (!free && tools.length === 0) throw invalid("tool_choice asks for a call, but there are no tools", "tool_choice");
  if (tools.length === 0 || choice === "none" || chat === null) return null;
  if (!/\btools\b/.test(chat.text)) throw unsupported("tools", "the model's chat template does not support tools");
  const format = TOOL_FORMATS.find(({ writtenBy }) => writtenBy(chat.text));
  if (!format)
    throw unsupported("tools", "the model's chat template writes calls of tools in a form that is not supported");
  const names = new Set(tools.map((own) => own.function.name));
  if (names.size < tools.length) throw invalid("two tools have the same name", "tools");
  if (free) return { tools, format, names, parallel, form: null };
  if (choice === "required") return { tools, format, names, parallel, form: callsForm(format, [...names], parallel) };
  if (!names.has(choice.name))
    throw invalid(`tool_choice names ${choice.name}, which is not one of the tools`, "tool_choice");
  return { tools, format, names, parallel, form: callsForm(format, [choice.name], false) };
}

// Answers that must call a tool: the grammar of the calls, as a model's chat template writes them.

/** Any JSON, with blanks where templates write some. Escapes are of whole characters. */
const JSON_RULES = String.raw`
object ::= "{" blank (member (comma member)*)? blank "}"
member ::= string blank ":" blank value
array ::= "[" blank (value (comma value)*)? blank "]"
value ::= object | array | string | number | "true" | "false" | "null"
comma ::= blank "," blank
blank ::= [ \n]?
string ::= "\"" character* "\""
character ::= [^"\\\x00-\x1F] | "\\" (["\\/bfnrt] | "u" ([0-9A-CEFa-cef] hex hex hex | [Dd] [0-7] hex hex))
hex ::= [0-9A-Fa-f]
number ::= "-"? ("0" | [1-9] [0-9]{0,14}) ("." [0-9]{1,15})? ([Ee] [+\-]? [0-9]{1,2})?
`;

/** The form of answers that call one tool or, with `several`, tools in a row. Arguments are any object. */
function callsForm(format: ToolFormat, names: readonly string[], several: boolean): Form {
  const { open, close, begin, end, between, field } = format.written;
  const list = several ? ` (${quoted(between)} call)*` : "";
  const grammar = [
    `root ::= ${quoted(open)} call${list} ${quoted(close)}`,
    `call ::= ${quoted(`${begin}{"name": "`)} name ${quoted(`", "${field}": `)} object ${quoted(`}${end}`)}`,
    `name ::= ${names.map(quoted).join(" | ")}`,
  ];
  return { kind: "grammar", grammar: grammar.join("\n") + JSON_RULES };
}

/** A text in a grammar, which has the escapes of JSON that are needed here. */
const quoted = (text: string): string => JSON.stringify(text);
