// Decides which newlines are significant: produces the parser's tokens, with a separator before each item of a body.
import * as t from "../../../grammar/tokens.js";
import type { Diagnostics } from "../diagnostics/diagnostic.js";
import type { SourceFile } from "../diagnostics/span.js";
import { MAX_NESTING } from "./limits.js";

export interface Laid {
  readonly tokens: readonly t.IToken[];
  /**
   * Start offsets of statements, members, declarations and parameters, ascending. They divide the text into stretches;
   * one error is reported per stretch.
   */
  readonly stretches: readonly number[];
}

interface Level {
  /** Newlines are ignored between these brackets. */
  readonly list: boolean;
  /** Whether commas between these brackets separate parameters or arguments of the enclosing item. */
  readonly items: boolean;
  /** The number of `if`s that still lack their `else`. */
  ifs: number;
}

const OPENERS: ReadonlySet<t.TokenType> = new Set([t.LParen, t.LBracket, t.LBrace]);
const CLOSERS: ReadonlySet<t.TokenType> = new Set([t.RParen, t.RBracket, t.RBrace]);
const NEVER_FIRST: ReadonlySet<t.TokenType> = new Set([t.LBrace, t.Then, t.Else]);
/** Tokens that begin or end items and cannot occur in an expression outside brackets. */
const STARTERS: ReadonlySet<t.TokenType> = new Set([
  t.For,
  t.Loss,
  t.Observe,
  t.RBrace,
  t.Names,
  t.Ignore,
  t.Import,
  t.Const,
  t.Block,
  t.Model,
]);

/**
 * Replaces newlines and `;` by one separator before each item, including the first of a body. Drops newlines inside `(
 * )` and `[ ]`, after an operator, a comma, `then` or `else`, and before `}`; drops trailing commas. Null if `if`s nest
 * too deep.
 */
export function layOut(tokens: readonly t.IToken[], { file }: SourceFile, diagnostics: Diagnostics): Laid | null {
  const out: t.IToken[] = [];
  const stretches: number[] = [0];
  const levels: Level[] = [{ list: false, items: false, ifs: 0 }];
  let openIfs = 0;
  let separator: t.IToken | null = virtualSeparator(0);
  const reset = (level: Level): void => {
    openIfs -= level.ifs;
    level.ifs = 0;
  };
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!;
    const type = token.tokenType;
    const level = levels.at(-1)!;
    const before = out.at(-1)?.tokenType;
    if (type === t.Newline || (type === t.Semicolon && !level.list)) {
      if (level.list || separator?.image === "") continue;
      if (type === t.Newline && breaksBefore(tokens, i, before, file, diagnostics)) continue;
      if (type === t.Newline && before !== undefined && t.continuing.has(before) && !startsItem(tokens, i)) continue;
      if (separator === null || type === t.Semicolon) separator = token;
      continue;
    }
    if (
      type === t.Comma &&
      level.list &&
      endsList(tokens, i) &&
      before !== undefined &&
      !OPENERS.has(before) &&
      before !== t.Comma
    )
      continue;
    if (separator !== null) {
      if (type !== t.RBrace) out.push(separator);
      stretches.push(token.startOffset);
      separator = null;
      reset(level);
    }
    out.push(token);
    if (OPENERS.has(type)) {
      const list = type !== t.LBrace || before === t.Import;
      if (!list) {
        stretches.push(token.startOffset + 1);
        reset(level);
        separator = virtualSeparator(token.startOffset + 1);
      }
      levels.push({ list, items: type === t.LParen && !level.list, ifs: 0 });
    } else if (CLOSERS.has(type)) {
      if (levels.length > 1) reset(levels.pop()!);
      if (type === t.RBrace) stretches.push(token.startOffset + token.image.length);
    } else if (type === t.Comma && level.items) {
      stretches.push(token.startOffset + 1);
    } else if (type === t.If && before !== t.Else) {
      level.ifs++;
      openIfs++;
      if (openIfs + levels.length > MAX_NESTING) {
        diagnostics.report(
          "nesting-too-deep",
          { limit: MAX_NESTING },
          { file, start: token.startOffset, end: token.startOffset + 2 },
        );
        return null;
      }
    } else if (type === t.Else && level.ifs > 0 && tokens[i + 1]?.tokenType !== t.If) {
      level.ifs--;
      openIfs--;
    }
  }
  return { tokens: out, stretches };
}

/** The separator before the first item of a body, which is not in the text. */
function virtualSeparator(offset: number): t.IToken {
  // Cast: chevrotain adds `tokenTypeIdx` to each type when the lexer is created.
  const { tokenTypeIdx } = t.Newline as t.TokenType & { readonly tokenTypeIdx: number };
  return { image: "", startOffset: offset, endOffset: offset - 1, tokenType: t.Newline, tokenTypeIdx };
}

/**
 * Whether the tokens after a newline begin an item regardless of the previous line. If so, an incomplete previous line
 * is reported as such.
 */
function startsItem(tokens: readonly t.IToken[], newline: number): boolean {
  const first = tokens[newline + 1];
  const second = tokens[newline + 2];
  if (first === undefined) return true;
  if (STARTERS.has(first.tokenType)) return true;
  if (second === undefined || !t.isName(first)) return false;
  return second.tokenType === t.Equal || second.tokenType === t.Colon || t.isName(second);
}

/** `{`, `then` and `else` never begin an item: reports and drops a newline before them. */
function breaksBefore(
  tokens: readonly t.IToken[],
  newline: number,
  before: t.TokenType | undefined,
  file: string,
  diagnostics: Diagnostics,
): boolean {
  const next = tokens[newline + 1];
  if (!next || before === undefined || !NEVER_FIRST.has(next.tokenType) || t.continuing.has(before)) return false;
  diagnostics.report(
    "misplaced-line-break",
    { before: next.image },
    { file, start: next.startOffset, end: next.startOffset + next.image.length },
  );
  return true;
}

function endsList(tokens: readonly t.IToken[], comma: number): boolean {
  const next = tokens[comma + 1]?.tokenType === t.Newline ? tokens[comma + 2]?.tokenType : tokens[comma + 1]?.tokenType;
  return next !== undefined && CLOSERS.has(next);
}

/** Index of the stretch that contains an offset. */
export function stretchAt(stretches: readonly number[], offset: number): number {
  let low = 0;
  let high = stretches.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (stretches[middle]! <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}
