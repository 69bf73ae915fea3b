// Answers that must call a tool: the grammar of the calls, as a model's chat template writes them.
import type { Form } from "../../../generation/constrain/index.js";
import type { ToolFormat } from "./formats.js";

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

/** The form of answers that call one of these tools, or several of them in a row. Arguments are any object. */
export function callsForm(format: ToolFormat, names: readonly string[], several: boolean): Form {
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
