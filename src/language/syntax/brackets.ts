// Matches brackets before parsing, so that a missing bracket causes one error rather than many.
import * as t from "../../../grammar/tokens.js";
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import { diagnose } from "../diagnostics/diagnostic.js";
import type { SourceFile } from "../diagnostics/span.js";
import { MAX_NESTING } from "./limits.js";

export interface Balanced {
  /** The tokens with matched brackets; inserted brackets have an empty image. Null if brackets nest too deep. */
  readonly tokens: readonly t.IToken[] | null;
  readonly diagnostics: readonly Diagnostic[];
}

const CLOSER: ReadonlyMap<t.TokenType, t.TokenType> = new Map([
  [t.LParen, t.RParen],
  [t.LBracket, t.RBracket],
  [t.LBrace, t.RBrace],
]);
const CLOSERS: ReadonlySet<t.TokenType> = new Set(CLOSER.values());
const DECLARATIONS: ReadonlySet<t.TokenType> = new Set([t.Import, t.Const, t.Block, t.Model]);

/**
 * Matches the brackets as written. If that fails, matches again and uses indentation to find the place of the missing
 * brace, which is rarely the last brace.
 */
export function balance(tokens: readonly t.IToken[], source: SourceFile): Balanced {
  const plain = new Balancer(tokens, source, false).run();
  if (plain.tokens === null || plain.diagnostics.length === 0) return plain;
  const indented = new Balancer(tokens, source, true).run();
  return indented.tokens !== null && indented.diagnostics.length <= plain.diagnostics.length ? indented : plain;
}

interface Open {
  readonly token: t.IToken;
  readonly close: t.TokenType;
  /** Indentation of the bracket's line. */
  readonly indentation: number;
  /** Braces around a list, as in an import, in which newlines are ignored. */
  readonly list: boolean;
  /** Index into the output at which the bracket is closed if it ends with its line. */
  candidate: number | null;
}

class Balancer {
  readonly #stack: Open[] = [];
  readonly #out: t.IToken[] = [];
  readonly #inserted: { readonly at: number; readonly token: t.IToken }[] = [];
  readonly #found: Diagnostic[] = [];
  #tooDeep = false;
  /** Indentation of the current line, and whether the current token begins it. */
  #indentation = 0;
  #first = false;
  readonly #tokens: readonly t.IToken[];
  readonly #source: SourceFile;
  readonly #byIndentation: boolean;

  constructor(tokens: readonly t.IToken[], source: SourceFile, byIndentation: boolean) {
    this.#tokens = tokens;
    this.#source = source;
    this.#byIndentation = byIndentation;
  }

  run(): Balanced {
    for (let i = 0; i < this.#tokens.length && !this.#tooDeep; i++) this.#step(i);
    if (this.#tooDeep) return { tokens: null, diagnostics: this.#found };
    while (this.#stack.length > 0) this.#abandon(this.#out.length);
    return { tokens: merged(this.#out, this.#inserted), diagnostics: this.#found };
  }

  get #top(): Open | undefined {
    return this.#stack.at(-1);
  }

  #step(i: number): void {
    const token = this.#tokens[i]!;
    const type = token.tokenType;
    if (type === t.Newline) {
      const top = this.#top;
      if (top && top.close !== t.RBrace && top.candidate === null && this.#lineCouldEnd(i))
        top.candidate = this.#out.length;
    } else {
      this.#first = i === 0 || this.#tokens[i - 1]!.tokenType === t.Newline;
      if (this.#first) this.#lineStarts(i);
      if (CLOSER.has(type)) this.#open(i);
      else if (CLOSERS.has(type)) return this.#close(token);
    }
    this.#out.push(token);
  }

  /**
   * A declaration closes all open brackets. If indentation is used, a line indented no deeper than an open brace's line
   * closes that brace.
   */
  #lineStarts(i: number): void {
    const { startOffset } = this.#tokens[i]!;
    this.#indentation =
      startOffset === 0 ? 0 : startOffset - (this.#source.text.lastIndexOf("\n", startOffset - 1) + 1);
    if (this.#stack.length === 0) return;
    const type = this.#tokens[i]!.tokenType;
    const after = this.#tokens[i + 1];
    const next = after?.tokenType;
    // Insert before the newline, except before `else`, whose brace belongs on the same line.
    const at = this.#out.length - (this.#out.at(-1)?.tokenType === t.Newline && type !== t.Else ? 1 : 0);
    if (DECLARATIONS.has(type) && after && (t.isName(after) || next === t.LBrace)) {
      // An indented declaration is inside the open braces, and the parser rejects it; it is not evidence that the
      // braces should be closed.
      while (this.#top && (this.#top.close !== t.RBrace || this.#indentation <= this.#top.indentation))
        this.#abandon(at);
    } else if (
      this.#byIndentation &&
      type === t.Else &&
      next === t.LBrace &&
      this.#top?.close === t.RBrace &&
      this.#before(i) !== t.RBrace
    ) {
      this.#abandon(at);
    } else if (this.#byIndentation && !CLOSERS.has(type)) {
      while (this.#top?.close === t.RBrace && !this.#top.list && this.#indentation <= this.#top.indentation)
        this.#abandon(at);
    }
  }

  /** The type of the token before the newline that precedes token i. */
  #before(i: number): t.TokenType | undefined {
    return this.#tokens[i - 2]?.tokenType;
  }

  #open(i: number): void {
    const token = this.#tokens[i]!;
    const list = token.tokenType === t.LBrace && this.#tokens[i - 1]?.tokenType === t.Import;
    if (token.tokenType === t.LBrace) while (this.#top && this.#top.close !== t.RBrace) this.#abandon(this.#out.length);
    this.#stack.push({
      token,
      list,
      close: CLOSER.get(token.tokenType)!,
      candidate: null,
      indentation: this.#indentation,
    });
    if (this.#stack.length > MAX_NESTING) {
      this.#tooDeep = true;
      this.#found.push(diagnose("nesting-too-deep", { limit: MAX_NESTING }, this.#span(token)));
    }
  }

  #close(token: t.IToken): void {
    const type = token.tokenType;
    const partner = type === t.RBrace ? this.#braceFor() : this.#partner(type);
    if (partner === -1) {
      const top = this.#top;
      if (!top || type === t.RBrace || top.close === t.RBrace) {
        this.#found.push(diagnose("unmatched-bracket", { found: token.image, expected: null }, this.#span(token)));
        return;
      }
      // `f(a]`: replace it by the expected bracket.
      this.#found.push(
        diagnose("unmatched-bracket", { found: token.image, expected: shown(top.close) }, this.#span(token)),
      );
      this.#stack.pop();
      this.#out.push(virtual(top.close, token.startOffset));
      return;
    }
    while (this.#stack.length - 1 > partner) this.#abandon(this.#out.length);
    this.#stack.pop();
    this.#out.push(token);
  }

  /** Index of the innermost open bracket of that kind within the innermost braces, or −1. */
  #partner(close: t.TokenType): number {
    for (let i = this.#stack.length - 1; i >= 0; i--) {
      const open = this.#stack[i]!;
      if (open.close === close) return i;
      if (open.close === t.RBrace) return -1;
    }
    return -1;
  }

  #braceFor(): number {
    const innermost = this.#stack.findLastIndex((open) => open.close === t.RBrace);
    if (!this.#byIndentation || innermost === -1 || !this.#first) return innermost;
    const open = this.#stack[innermost]!;
    if (this.#indentation > open.indentation) return -1;
    const aligned = this.#stack.findLastIndex((o) => o.close === t.RBrace && o.indentation === this.#indentation);
    return aligned === -1 ? innermost : aligned;
  }

  /** Closes the innermost bracket, which has no partner, at the end of its line or at `at`. */
  #abandon(at: number): void {
    const open = this.#stack.pop()!;
    const offset = open.candidate ?? at;
    this.#found.push(
      diagnose("unclosed-bracket", { open: open.token.image, close: shown(open.close) }, this.#span(open.token)),
    );
    const before = this.#out[offset - 1] ?? open.token;
    this.#inserted.push({ at: offset, token: virtual(open.close, before.startOffset + before.image.length) });
  }

  /** Whether this newline would end a statement if no bracket were open. */
  #lineCouldEnd(newline: number): boolean {
    const before = this.#tokens[newline - 1]?.tokenType;
    if (!before || t.continuing.has(before) || CLOSER.has(before)) return false;
    const after = this.#tokens[newline + 1]?.tokenType;
    return !(
      after &&
      (after === t.Then ||
        after === t.Else ||
        after === t.Comma ||
        after === t.RParen ||
        after === t.RBracket ||
        isBinary(after))
    );
  }

  #span(token: t.IToken): { file: string; start: number; end: number } {
    return {
      file: this.#source.file,
      start: token.startOffset,
      end: token.startOffset + Math.max(1, token.image.length),
    };
  }
}

const isBinary = (type: t.TokenType): boolean =>
  type !== t.Minus &&
  type !== t.Plus &&
  (type.CATEGORIES ?? []).some((c) => c === t.BinaryOperator || c === t.ArithmeticOperator);

const shown = (close: t.TokenType): string => (close === t.RParen ? ")" : close === t.RBracket ? "]" : "}");

/** An inserted bracket, which is not in the text. */
function virtual(type: t.TokenType, offset: number): t.IToken {
  // Cast: chevrotain adds `tokenTypeIdx` to each type when the lexer is created.
  const { tokenTypeIdx } = type as t.TokenType & { readonly tokenTypeIdx: number };
  return { image: "", startOffset: offset, endOffset: offset - 1, tokenType: type, tokenTypeIdx };
}

function merged(
  tokens: readonly t.IToken[],
  inserted: readonly { readonly at: number; readonly token: t.IToken }[],
): readonly t.IToken[] {
  if (inserted.length === 0) return tokens;
  const order = inserted.map((x, rank) => ({ ...x, rank })).sort((a, b) => a.at - b.at || a.rank - b.rank);
  const result: t.IToken[] = [];
  let next = 0;
  for (let i = 0; i <= tokens.length; i++) {
    for (; next < order.length && order[next]!.at === i; next++) result.push(order[next]!.token);
    if (i < tokens.length) result.push(tokens[i]!);
  }
  return result;
}
