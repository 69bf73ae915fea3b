// The parser with the concrete tree: text → syntax tree. Each step is a file: lex, balance brackets, lay out lines,
// parse, build the tree.
import type { FileCstNode } from "../../../grammar/cst.js";
import { ModcParser } from "../../../grammar/parser.js";
import type { IToken } from "../../../grammar/tokens.js";
import type { Code } from "../diagnostics/catalogue.js";
import { Diagnostics, withSources, type Diagnostic } from "../diagnostics/diagnostic.js";
import type { SourceFile } from "../diagnostics/span.js";
import { allowsOf } from "./allow.js";
import type { File } from "./ast.js";
import { balance } from "./brackets.js";
import { Builder } from "./builder.js";
import { fileOf } from "./declarations.js";
import { docFinder } from "./docs.js";
import { layOut, stretchAt } from "./layout.js";
import { lex, type Comment } from "./lex.js";
import { ParserErrors, TooManyErrors } from "./hints.js";
import { parserDiagnostic } from "./messages.js";
import type { Parsed } from "./parsed.js";

/** The result of parsing with the concrete tree, its tokens and its comments; null if no tree could be built. */
export interface ParsedTree extends Parsed {
  readonly tree: {
    readonly cst: FileCstNode;
    readonly tokens: readonly IToken[];
    readonly comments: readonly Comment[];
  } | null;
}

/** Parses a text. `more`: whether further declarations follow, which are parsed separately. */
export function parseTree(source: SourceFile, more = false): ParsedTree {
  const parsed = parseText(source, more);
  return { ...parsed, diagnostics: withSources(parsed.diagnostics, [source]) };
}

function parseText(source: SourceFile, more: boolean): ParsedTree {
  const diagnostics = new Diagnostics();
  const empty: File = {
    kind: "file",
    file: source.file,
    imports: [],
    declarations: [],
    allows: [],
    span: { file: source.file, start: 0, end: source.text.length },
  };
  const failed = (): ParsedTree => ({ file: empty, diagnostics: diagnostics.all, tree: null });

  const lexed = lex(source, diagnostics);
  if (!lexed) return failed();
  const balanced = balance(lexed.tokens, source);
  for (const d of balanced.diagnostics) diagnostics.add(d);
  const laid = balanced.tokens && layOut(balanced.tokens, source, diagnostics);
  if (!laid) return failed();

  const { cst, parserErrors } = parseTokens(laid.tokens, source, more);
  // One error per stretch: later errors in a statement usually follow from the first.
  const reportedStretches = new Set(
    diagnostics.all.filter((d) => BREAKING.has(d.code)).map((d) => stretchAt(laid.stretches, d.span.start)),
  );
  for (const d of parserErrors) {
    const stretch = stretchAt(laid.stretches, d.span.start);
    if (!reportedStretches.has(stretch)) diagnostics.add(d);
    reportedStretches.add(stretch);
  }
  if (!cst) return failed();
  const quiet = (offset: number): boolean => reportedStretches.has(stretchAt(laid.stretches, offset));
  const builder = new Builder(source.file, docFinder(source.text, lexed.comments), diagnostics, quiet);
  const tree = fileOf(builder, cst, source.text.length);
  const file = { ...tree, allows: allowsOf(source, lexed.comments, laid.tokens, tree.declarations, diagnostics) };
  return { file, diagnostics: diagnostics.all, tree: { cst, tokens: laid.tokens, comments: lexed.comments } };
}

/** Codes of lexer and layout errors that may cause a parser error in the same stretch. That parser error is dropped. */
const BREAKING: ReadonlySet<Code> = new Set<Code>([
  "unclosed-bracket",
  "unmatched-bracket",
  "unknown-character",
  "misplaced-line-break",
]);

let parser: { readonly parser: ModcParser; readonly parserErrors: ParserErrors } | null = null;

function parseTokens(
  tokens: readonly IToken[],
  { file, text }: SourceFile,
  more: boolean,
): { cst: FileCstNode | null; parserErrors: readonly Diagnostic[] } {
  if (!parser) {
    const messages = new ParserErrors();
    parser = { parserErrors: messages, parser: new ModcParser({ messages }) };
  }
  parser.parser.input = [...tokens];
  let cst: FileCstNode | null = null;
  try {
    // Cast: chevrotain types all trees alike; `cst.ts` is generated from this grammar.
    cst = parser.parser.file() as FileCstNode;
  } catch (error) {
    if (!(error instanceof TooManyErrors)) throw error;
  }
  return { cst, parserErrors: parser.parserErrors.take(tokens).map((c) => parserDiagnostic(c, { file, text, more })) };
}
