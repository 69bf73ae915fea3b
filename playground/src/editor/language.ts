// Syntax highlighting of sources, with the word lists of the compiler's lexer.
import {
  HighlightStyle,
  StreamLanguage,
  type StreamParser,
  StringStream,
  syntaxHighlighting,
} from "@codemirror/language";
import type { Extension } from "@codemirror/state";
import { tags } from "@lezer/highlight";
import {
  CONSTANTS,
  DECLARING,
  DTYPES,
  HEADING,
  PARAM_KINDS,
  RESERVED,
  WORD_OPERATORS,
} from "../../../grammar/words.js";

const reserved: ReadonlySet<string> = new Set(RESERVED);
const constants: ReadonlySet<string> = new Set(CONSTANTS);
const operators: ReadonlySet<string> = new Set(WORD_OPERATORS);
const declaring: ReadonlySet<string> = new Set(DECLARING);
const types: ReadonlySet<string> = new Set([...DTYPES, ...PARAM_KINDS]);

const memberWords: ReadonlySet<string> = new Set(HEADING.member);
const statementWords: ReadonlySet<string> = new Set(HEADING.statement);

interface State {
  /** The previous token on the line: a name after `block` is a declaration, a kind after `:` is not a name. */
  before: string;
}

const parser: StreamParser<State> = {
  name: "modc",
  startState: () => ({ before: "" }),
  token(stream, state) {
    if (stream.sol()) state.before = "";
    if (stream.eatSpace()) return null;
    const { before } = state;
    // `// @allow code: reason`: a comment whose directive is highlighted.
    if (before === "//" && stream.match(/^@allow\b(?:[ \t]+[\w-]+)?/)) return mark(state, "//@", "annotation");
    if (before === "//@") return (stream.skipToEnd(), "comment");
    if (stream.match(/^\/\/\/?(?=[ \t]*@allow\b)/)) return mark(state, "//", "comment");
    if (stream.match("//")) {
      const doc = stream.match(/^\/(?!\/)/) !== null;
      stream.skipToEnd();
      return doc ? "docComment" : "comment";
    }
    if (stream.match(/^"(?:[^"\\]|\\.)*"?/)) return mark(state, '"', "string");
    if (stream.match(/^\d+(?:\.\d+)?(?:[eE][+-]?\d+)?%?/)) return mark(state, "0", "number");
    const word = stream.match(/^[A-Za-z_]\w*/);
    if (word === null) return mark(state, stream.next() ?? "", "operator");
    // Marked boundary: `match` with a pattern returns its match.
    const text = (word as RegExpMatchArray)[0];
    return mark(state, text, styleOf(text, before, stream.string.slice(stream.pos)));
  },
};

function mark(state: State, before: string, style: string): string {
  state.before = before;
  return style;
}

function styleOf(text: string, before: string, after: string): string {
  if (constants.has(text)) return "atom";
  if (operators.has(text)) return "operatorKeyword";
  if (declaring.has(text)) return "definitionKeyword";
  if (reserved.has(text)) return "keyword";
  // These are keywords only at the start of a member or a statement.
  if (memberWords.has(text) && before === "" && /^\s+[A-Za-z_]/.test(after)) return "definitionKeyword";
  if (statementWords.has(text) && before === "" && /^\s+[A-Za-z_]\w*\s*=/.test(after)) return "keyword";
  if (before === "block" || before === "model") return "className";
  if (types.has(text) && (/^\s*\[/.test(after) || before === ":" || before === "[")) return "typeName";
  return /^\s*\(/.test(after) ? "function" : "variableName";
}

/** The style of each word of a text, for comparison with the lexer in tests. */
export function stylesOf(
  text: string,
): readonly { readonly from: number; readonly to: number; readonly style: string }[] {
  const state: State = { before: "" };
  let start = 0;
  return text.split("\n").flatMap((line) => {
    const stream = new StringStream(line, 4, 2);
    const found: { from: number; to: number; style: string }[] = [];
    while (!stream.eol()) {
      stream.start = stream.pos;
      const style = parser.token(stream, state);
      if (style !== null) found.push({ from: start + stream.start, to: start + stream.pos, style });
    }
    start += line.length + 1;
    return found;
  });
}

export const modcLanguage = StreamLanguage.define({
  ...parser,
  tokenTable: { function: tags.function(tags.variableName) },
  languageData: {
    commentTokens: { line: "//" },
    closeBrackets: { brackets: ["(", "[", "{", '"'] },
    indentOnInput: /^\s*\}$/,
  },
});

/** The page's colours, which depend on the theme. */
export const colours: Extension = syntaxHighlighting(
  HighlightStyle.define([
    { tag: [tags.keyword, tags.definitionKeyword, tags.operatorKeyword], color: "var(--code-keyword)" },
    { tag: [tags.comment], color: "var(--code-comment)" },
    { tag: [tags.annotation], color: "var(--code-keyword)" },
    { tag: [tags.docComment], color: "var(--code-doc)" },
    { tag: [tags.string], color: "var(--code-string)" },
    { tag: [tags.number, tags.atom], color: "var(--code-number)" },
    { tag: [tags.typeName], color: "var(--code-type)" },
    { tag: [tags.className], color: "var(--code-type)", fontWeight: "600" },
    { tag: [tags.function(tags.variableName)], color: "var(--code-function)" },
    { tag: [tags.operator], color: "var(--code-operator)" },
  ]),
);
