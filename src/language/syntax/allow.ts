// `// @allow code: reason`: a comment that suppresses one kind of warning in the item that follows it, or on its line.
import type { IToken } from "../../../grammar/tokens.js";
import { Newline } from "../../../grammar/tokens.js";
import type { Diagnostics } from "../diagnostics/diagnostic.js";
import { isWarning, warnings } from "../diagnostics/catalogue.js";
import type { SourceFile } from "../diagnostics/span.js";
import { nearest } from "../../ground/numerics/nearest.js";
import type { Allow, Declaration, Member, Stmt } from "./ast.js";
import type { Comment } from "./lex.js";

const DIRECTIVE = /^\/\/\/?[ \t]*@allow\b(.*)$/;
const FORM = /^[ \t]+([\w-]+)[ \t]*(?::[ \t]*(.*))?$/;

/** Whether a comment is an `@allow` directive, perhaps malformed; such lines are not documentation. */
export const isAllow = (comment: Comment): boolean => DIRECTIVE.test(comment.text);

/**
 * The `@allow` directives of a file. A directive without a known warning or without a reason is reported and suppresses
 * nothing.
 */
export function allowsOf(
  { file, text }: SourceFile,
  comments: readonly Comment[],
  tokens: readonly IToken[],
  declarations: readonly Declaration[],
  diagnostics: Diagnostics,
): readonly Allow[] {
  const directives = comments.filter(isAllow);
  if (directives.length === 0) return [];
  const ends = endsOf(declarations);
  return directives.flatMap((comment) => {
    const span = { file, start: comment.start, end: comment.end };
    const [, code = "", reason = ""] = FORM.exec(DIRECTIVE.exec(comment.text)?.[1] ?? "") ?? [];
    const problem = code === "" ? "form" : !isWarning(code) ? "code" : reason.trim() === "" ? "reason" : null;
    if (problem !== null) {
      diagnostics.report(
        "bad-allow",
        { code, problem, suggestion: problem === "code" ? nearest(code, warnings) : null },
        span,
      );
      return [];
    }
    return [{ code, span, covers: { file, ...coverOf(text, comment, tokens, ends) } }];
  });
}

/**
 * The range that a directive covers: a trailing comment covers its line; any other covers the declaration, parameter,
 * member or statement that follows, or the next line if there is none.
 */
function coverOf(
  text: string,
  comment: Comment,
  tokens: readonly IToken[],
  ends: ReadonlyMap<number, number>,
): { readonly start: number; readonly end: number } {
  const head = text.lastIndexOf("\n", comment.start - 1) + 1;
  if (text.slice(head, comment.start).trim() !== "") return { start: head, end: comment.end };
  const next = firstAfter(tokens, comment.end);
  if (next === null) return { start: comment.end, end: comment.end };
  const line = text.indexOf("\n", next);
  return { start: next, end: Math.max(ends.get(next) ?? 0, line === -1 ? text.length : line) };
}

/** Offset of the first token after an offset. */
function firstAfter(tokens: readonly IToken[], offset: number): number | null {
  let low = 0;
  let high = tokens.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (tokens[middle]!.startOffset < offset) low = middle + 1;
    else high = middle;
  }
  for (; low < tokens.length; low++)
    if (tokens[low]!.tokenType !== Newline && tokens[low]!.image !== "") return tokens[low]!.startOffset;
  return null;
}

/** For each offset, the end of the longest declaration, parameter, member or statement that begins there. */
function endsOf(declarations: readonly Declaration[]): ReadonlyMap<number, number> {
  const ends = new Map<number, number>();
  const note = ({
    span: { start, end },
  }: {
    readonly span: { readonly start: number; readonly end: number };
  }): void => {
    ends.set(start, Math.max(end, ends.get(start) ?? 0));
  };
  const statements = (all: readonly Stmt[]): void => {
    for (const s of all) {
      note(s);
      if (s.kind === "for") statements(s.body);
      else if (s.kind === "if") for (const branch of [s.then, s.else]) statements(branch);
    }
  };
  const members = (all: readonly Member[]): void => {
    for (const m of all) {
      note(m);
      if (m.kind === "function") statements(m.body);
      else if (m.kind === "member-if") for (const branch of [m.then, m.else]) members(branch);
    }
  };
  for (const d of declarations) {
    note(d);
    if (d.kind !== "block") continue;
    for (const p of d.params) note(p);
    members(d.members);
  }
  return ends;
}
