// The tools of a request: their fields, and whether the model's chat template can show and call them.
import { flag, oneOf, type Read } from "../../program/reader.js";
import type { ChatTemplate } from "../../tokenizer/chat.js";
import { invalid, unsupported } from "../errors.js";
import { anyText, body, type Unsupported } from "../schema.js";
import type { CallableTools } from "./answer-reader.js";
import { TOOL_FORMATS } from "./formats.js";

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
        `${r.get("strict").path} is not supported, since arguments are not held to the schema of a tool: ` +
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

export interface ToolFields {
  readonly tools: readonly Tool[];
  readonly tool_choice: "none" | "auto";
  readonly parallel_tool_calls: boolean;
}

/** A model decides by itself whether it calls a tool. */
export const toolChoice: Read<"none" | "auto"> = (r) => {
  if (r.value === "none" || r.value === "auto") return r.value;
  throw unsupported(r.path, `${r.path} may be "auto" or "none": the model is not forced to call a tool`);
};

export const toolFields = { tools: toolsField, tool_choice: toolChoice, parallel_tool_calls: flag };

export interface RequestedTools extends CallableTools {
  readonly tools: readonly Tool[];
}

/** Null where the request has no tools, or none may be called. Throws RequestError. */
export function requestedTools(
  chat: ChatTemplate | null,
  { tools = [], tool_choice: choice = "auto", parallel_tool_calls: parallel = true }: Partial<ToolFields>,
): RequestedTools | null {
  if (tools.length === 0 || choice === "none" || chat === null) return null;
  if (!/\btools\b/.test(chat.text)) throw unsupported("tools", "the model's chat template knows no tools");
  const format = TOOL_FORMATS.find(({ writtenBy }) => writtenBy(chat.text));
  if (!format)
    throw unsupported("tools", "the model's chat template writes calls of tools in a form that is not supported");
  const names = new Set(tools.map((own) => own.function.name));
  if (names.size < tools.length) throw invalid("two tools have the same name", "tools");
  return { tools, format, names, parallel };
}
