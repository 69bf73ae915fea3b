// Text → syntax tree. Each step is a file: lex, balance brackets, lay out lines, parse, build the tree.
import type { FileCstNode } from "../../grammar/cst.js";
import { ModcParser } from "../../grammar/parser.js";
import type { IToken } from "../../grammar/tokens.js";
import type { Code } from "../diagnostics/catalogue.js";
import { Diagnostics, type Diagnostic } from "../diagnostics/diagnostic.js";
import { withSources } from "../diagnostics/sources.js";
import type { SourceFile } from "../diagnostics/span.js";
import { allowsOf } from "./allow.js";
import type { File } from "./ast.js";
import { balance } from "./brackets.js";
import { Builder } from "./builder.js";
import { fileOf } from "./declarations.js";
import { docFinder } from "./docs.js";
import { layOut, stretchAt } from "./layout.js";
import { lex, type Comment } from "./lex.js";
import { Complaints, TooManyErrors } from "./complaint.js";
import { explain } from "./messages.js";

export interface Parsed {
  /** Without the statements, members and declarations that could not be read. */
  readonly file: File;
  readonly diagnostics: readonly Diagnostic[];
}

/**
 * Never throws for a fault of the source. A tree with diagnostics beside it is partial: it is fit for tools, not for
 * checking.
 */
export function parse(source: SourceFile): Parsed {
  const { file, diagnostics } = parseTree(source);
  return { file, diagnostics };
}

/**
 * Also the concrete tree, the tokens it was made of and the comments between them; null where no tree could be made.
 */
export interface ParsedTree extends Parsed {
  readonly tree: {
    readonly cst: FileCstNode;
    readonly tokens: readonly IToken[];
    readonly comments: readonly Comment[];
  } | null;
}

export function parseTree(source: SourceFile): ParsedTree {
  const parsed = parseText(source);
  return { ...parsed, diagnostics: withSources(parsed.diagnostics, [source]) };
}

function parseText(source: SourceFile): ParsedTree {
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

  const { cst, complaints } = parseTokens(laid.tokens, source);
  // One message a stretch: what follows an error in the same statement is usually its echo.
  const told = new Set(
    diagnostics.all.filter((d) => BREAKING.has(d.code)).map((d) => stretchAt(laid.stretches, d.span.start)),
  );
  for (const d of complaints) {
    const stretch = stretchAt(laid.stretches, d.span.start);
    if (!told.has(stretch)) diagnostics.add(d);
    told.add(stretch);
  }
  if (!cst) return failed();
  const quiet = (offset: number): boolean => told.has(stretchAt(laid.stretches, offset));
  const builder = new Builder(source.file, docFinder(source.text, lexed.comments), diagnostics, quiet);
  const made = fileOf(builder, cst, source.text.length);
  const file = { ...made, allows: allowsOf(source, lexed.comments, laid.tokens, made.declarations, diagnostics) };
  return { file, diagnostics: diagnostics.all, tree: { cst, tokens: laid.tokens, comments: lexed.comments } };
}

/** Errors before parsing that what the parser finds in the same stretch may come from. */
const BREAKING: ReadonlySet<Code> = new Set<Code>([
  "unclosed-bracket",
  "unmatched-bracket",
  "unknown-character",
  "misplaced-line-break",
]);

let parser: { readonly parser: ModcParser; readonly complaints: Complaints } | null = null;

function parseTokens(
  tokens: readonly IToken[],
  { file, text }: SourceFile,
): { cst: FileCstNode | null; complaints: readonly Diagnostic[] } {
  if (!parser) {
    const messages = new Complaints();
    parser = { complaints: messages, parser: new ModcParser({ messages }) };
  }
  parser.parser.input = [...tokens];
  let cst: FileCstNode | null = null;
  try {
    // Marked boundary: chevrotain types every tree alike; `cst.ts` is generated from this grammar.
    cst = parser.parser.file() as FileCstNode;
  } catch (error) {
    if (!(error instanceof TooManyErrors)) throw error;
  }
  return { cst, complaints: parser.complaints.take(tokens).map((c) => explain(c, file, text)) };
}
