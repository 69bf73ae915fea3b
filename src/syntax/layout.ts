// Which newlines mean something: the tokens as the parser reads them, with a separator only between two items of a body.
import * as t from "../../grammar/tokens.js";
import type { Diagnostics } from "../diagnostics/diagnostic.js";
import type { SourceFile } from "../diagnostics/span.js";
import { MAX_NESTING } from "./limits.js";

export interface Laid {
  readonly tokens: readonly t.IToken[];
  /** Offsets at which a new statement, member, declaration or parameter may begin, ascending: one error is reported in each stretch. */
  readonly stretches: readonly number[];
}

interface Level {
  /** Newlines mean nothing between these brackets. */
  readonly list: boolean;
  /** Commas between these separate parameters or arguments of the statement itself. */
  readonly items: boolean;
  /** `if`s whose `else` has not come. */
  ifs: number;
}

const OPENERS: ReadonlySet<t.TokenType> = new Set([t.LParen, t.LBracket, t.LBrace]);
const CLOSERS: ReadonlySet<t.TokenType> = new Set([t.RParen, t.RBracket, t.RBrace]);
/** Words that begin a statement and cannot stand in an expression. */
const STARTERS: ReadonlySet<t.TokenType> = new Set([t.For, t.Loss, t.Observe, t.RBrace]);

/**
 * Newlines and `;` become one separator between items; those inside `( )` and `[ ]`, after an operator, a comma, `then`
 * or `else`, at the ends of a body, and trailing commas are dropped. Null where `if`s nest too deep.
 */
export function layOut(tokens: readonly t.IToken[], { file }: SourceFile, diagnostics: Diagnostics): Laid | null {
  const out: t.IToken[] = [];
  const stretches: number[] = [0];
  const levels: Level[] = [{ list: false, items: false, ifs: 0 }];
  let openIfs = 0;
  let separator: t.IToken | null = null;
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
      if (level.list || before === undefined || (before === t.LBrace && !level.list)) continue;
      if (type === t.Newline && t.continuing.has(before) && !startsItem(tokens, i)) continue;
      if (separator === null || type === t.Semicolon) separator = token;
      continue;
    }
    if (type === t.Comma && endsList(tokens, i) && before !== undefined && !OPENERS.has(before) && before !== t.Comma) continue;
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
        diagnostics.report("nesting-too-deep", { limit: MAX_NESTING }, { file, start: token.startOffset, end: token.startOffset + 2 });
        return null;
      }
    } else if (type === t.Else && level.ifs > 0 && tokens[i + 1]?.tokenType !== t.If) {
      level.ifs--;
      openIfs--;
    }
  }
  return { tokens: out, stretches };
}

/** Whether what follows a newline begins an item whatever stood before: then the line before it is incomplete, and says so. */
function startsItem(tokens: readonly t.IToken[], newline: number): boolean {
  const first = tokens[newline + 1]?.tokenType;
  const second = tokens[newline + 2]?.tokenType;
  if (first === undefined) return true;
  if (STARTERS.has(first)) return true;
  return (first === t.Identifier || first === t.Weight) && (second === t.Equal || second === t.Colon || second === t.Identifier);
}

function endsList(tokens: readonly t.IToken[], comma: number): boolean {
  const next = tokens[comma + 1]?.tokenType === t.Newline ? tokens[comma + 2]?.tokenType : tokens[comma + 1]?.tokenType;
  return next !== undefined && CLOSERS.has(next);
}

/** Which stretch an offset lies in. */
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
