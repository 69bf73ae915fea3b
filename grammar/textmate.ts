// Generates the TextMate grammar for editors from the token types, the single list of keywords and operators.
import { foreignOperators, lexerTokens, type TokenType } from "./tokens.js";
import { CONSTANTS, DECLARING, DTYPES, HEADING, PARAM_KINDS, RESERVED, WORD_OPERATORS } from "./words.js";

const escape = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
const words = (list: readonly string[]): string => `\\b(?:${list.join("|")})\\b`;

const named = (list: readonly string[]): string[] => RESERVED.filter((w) => list.includes(w));

/** Operator signs of the language, longest first, without brackets, comma and `;`. */
function operators(): string[] {
  const foreign = new Set(foreignOperators.map((f) => f.token));
  return lexerTokens
    .filter(
      (type: TokenType) =>
        typeof type.PATTERN === "string" && !foreign.has(type) && !/^[()[\]{},;:.]$/.test(type.PATTERN),
    )
    .map((type) => String(type.PATTERN))
    .sort((a, b) => b.length - a.length || (a < b ? -1 : 1));
}

/** Generates the text of `grammar/modc.tmLanguage.json`. */
export function textMate(): string {
  const control = RESERVED.filter((w) => ![...CONSTANTS, ...WORD_OPERATORS, ...DECLARING].some((x) => x === w));
  const grammar = {
    $schema: "https://raw.githubusercontent.com/martinring/tmlanguage/master/tmlanguage.json",
    name: "modc",
    scopeName: "source.modc",
    fileTypes: ["mod"],
    patterns: [
      {
        name: "comment.line.double-slash.modc",
        match: String.raw`///?[ \t]*(@allow)\b(?:[ \t]+([A-Za-z0-9_-]+))?.*$`,
        captures: { 1: { name: "keyword.other.directive.modc" }, 2: { name: "entity.name.tag.modc" } },
      },
      { name: "comment.line.documentation.modc", match: "///(?!/).*$" },
      { name: "comment.line.double-slash.modc", match: "//.*$" },
      {
        name: "string.quoted.double.modc",
        begin: '"',
        end: '"|$',
        patterns: [
          { name: "constant.character.escape.modc", match: String.raw`\\(?:["\\nt]|u\{[0-9A-Fa-f]{1,6}\})` },
          { name: "invalid.illegal.escape.modc", match: String.raw`\\.` },
          { name: "variable.parameter.segment.modc", match: String.raw`\{[A-Za-z_][A-Za-z0-9_]*\}` },
        ],
      },
      { name: "constant.numeric.ratio.modc", match: String.raw`\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?%` },
      { name: "constant.numeric.modc", match: String.raw`\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b` },
      {
        match: String.raw`\b(block|model)\s+([A-Za-z_][A-Za-z0-9_]*)`,
        captures: { 1: { name: "keyword.declaration.modc" }, 2: { name: "entity.name.type.modc" } },
      },
      {
        match: String.raw`(?:^|(?<=[{;]))\s*(${HEADING.member.join("|")})\s+([A-Za-z_][A-Za-z0-9_]*)`,
        captures: { 1: { name: "keyword.declaration.modc" }, 2: { name: "variable.other.member.modc" } },
      },
      {
        match: String.raw`(?:^|(?<=[{;]))\s*(${HEADING.statement.join("|")})\s+([A-Za-z_][A-Za-z0-9_]*)(?=\s*=)`,
        captures: { 1: { name: "keyword.control.modc" }, 2: { name: "variable.other.member.modc" } },
      },
      { name: "storage.type.tensor.modc", match: String.raw`\b(?:${DTYPES.join("|")})(?=\s*\[)` },
      {
        match: String.raw`(:)\s*\[*(${PARAM_KINDS.join("|")})\b(?=\s*(?:[,)\]=]|$))`,
        captures: { 1: { name: "punctuation.separator.modc" }, 2: { name: "storage.type.modc" } },
      },
      { name: "constant.language.modc", match: words(named(CONSTANTS)) },
      { name: "keyword.operator.word.modc", match: words(named(WORD_OPERATORS)) },
      { name: "keyword.declaration.modc", match: words(named(DECLARING)) },
      { name: "keyword.control.modc", match: words(control) },
      { name: "entity.name.function.modc", match: String.raw`\b[A-Za-z_][A-Za-z0-9_]*(?=\s*\()` },
      { name: "keyword.operator.modc", match: operators().map(escape).join("|") },
      { name: "punctuation.separator.modc", match: "[,;:.]" },
    ],
  };
  return `${JSON.stringify(grammar, null, 2)}\n`;
}
