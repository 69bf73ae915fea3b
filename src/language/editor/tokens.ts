// Semantic tokens: the kind of each word, from the lexer and from resolved names.
import { isCompileTimeFunction } from "../check/eval/compile-time.js";
import { builtins } from "../check/builtins/index.js";
import { CONSTANTS, DTYPES, PARAM_KINDS, RESERVED, WORD_OPERATORS } from "../../../grammar/words.js";
import { Diagnostics } from "../diagnostics/diagnostic.js";
import { isDoc } from "../syntax/docs.js";
import { lex } from "../syntax/lex.js";
import type { Definition } from "../names/definitions.js";
import type { Occurrence } from "./occurrences.js";
import type { Project } from "./project.js";
import { phases } from "./definition-text.js";

export const TOKEN_TYPES = [
  "comment",
  "string",
  "number",
  "keyword",
  "operator",
  "type",
  "class",
  "function",
  "method",
  "parameter",
  "property",
  "variable",
  "typeParameter",
  "namespace",
] as const;
export type TokenType = (typeof TOKEN_TYPES)[number];

/** The index of a modifier is its bit. */
export const TOKEN_MODIFIERS = ["declaration", "readonly", "defaultLibrary", "documentation", "modification"] as const;
export type TokenModifier = (typeof TOKEN_MODIFIERS)[number];

export interface Token {
  readonly start: number;
  readonly end: number;
  readonly type: TokenType;
  readonly modifiers: readonly TokenModifier[];
}

const reserved: ReadonlySet<string> = new Set(RESERVED);
const operators: ReadonlySet<string> = new Set(WORD_OPERATORS);
const constants: ReadonlySet<string> = new Set(CONSTANTS);
const types: ReadonlySet<string> = new Set([...DTYPES, ...PARAM_KINDS]);

/** In source order and without overlaps. */
export function tokensOf(project: Project, file: string): readonly Token[] {
  const text = project.textOf(file);
  const lexed = text === null ? null : lex({ file, text }, new Diagnostics());
  const names = project.names(file);
  if (lexed === null || names === null) return [];
  const at = new Map(names.occurrences.map((o) => [o.span.start, o]));
  const found: Token[] = lexed.comments.map((c) => ({
    start: c.start,
    end: c.end,
    type: "comment",
    modifiers: isDoc(c) ? ["documentation"] : [],
  }));
  let before = "";
  for (const { image, startOffset: start } of lexed.tokens) {
    const token = (type: TokenType, ...modifiers: readonly TokenModifier[]): void =>
      void found.push({ start, end: start + image.length, type, modifiers });
    const occurrence = at.get(start);
    if (/^[0-9.]*[0-9]/.test(image)) token("number");
    else if (/^["']/.test(image)) token("string");
    else if (/^\{\w/.test(image)) token("parameter");
    else if (occurrence) {
      const named = /^\s*:/.test((text ?? "").slice(start + image.length, start + image.length + 9));
      const [type, ...modifiers] = kindOf(project, occurrence, image, named);
      token(type, ...modifiers);
    } else if (types.has(image) && (!reserved.has(image) || before === ":" || before === "["))
      token("type", "defaultLibrary");
    else if (operators.has(image)) token("operator");
    else if (constants.has(image)) token("keyword", "readonly");
    else if (reserved.has(image) || ["weight", "state", "update"].includes(image)) token("keyword");
    else if (/^[A-Za-z_]/.test(image)) token(before === "weight" ? "property" : "variable");
    before = image;
  }
  return found.sort((a, b) => a.start - b.start);
}

type Kind = readonly [TokenType, ...TokenModifier[]];

/** `named`: whether a colon follows, as after the name of an argument. */
function kindOf(
  project: Project,
  { definitions: [definition], object, binds, called, span }: Occurrence,
  word: string,
  named: boolean,
): Kind {
  if (!definition) {
    if (named && !object) return ["parameter"];
    if (object) return called ? ["method"] : ["property"];
    if (phases.has(word)) return ["variable", "readonly", "defaultLibrary"];
    return builtins.has(word) || isCompileTimeFunction(word) ? ["function", "defaultLibrary"] : ["variable"];
  }
  const library: readonly TokenModifier[] = project.isLibrary(definition.name.span.file) ? ["defaultLibrary"] : [];
  const isDefinition = definition.name.span.start === span.start && definition.name.span.file === span.file;
  const modifiers: readonly TokenModifier[] = isDefinition ? ["declaration"] : binds ? ["modification"] : [];
  return [TYPES[definition.kind], ...modifiers, ...library];
}

const TYPES: Readonly<Record<Definition["kind"], TokenType>> = {
  block: "class",
  const: "variable",
  parameter: "parameter",
  "sub-block": "property",
  weight: "property",
  function: "method",
  input: "parameter",
  axis: "typeParameter",
  local: "variable",
  each: "variable",
  loss: "property",
  result: "property",
};
