// Which token a comment belongs to, so that printing every token prints every comment.
import type { CstNode } from "chevrotain";
import * as t from "../../../grammar/tokens.js";
import type { Comment } from "../lex.js";
import { blankLine, type Doc } from "./doc.js";

interface OwnLine {
  readonly text: string;
  /** Whether an empty line stands before it. */
  readonly blank: boolean;
}

interface Attached {
  /** On lines of their own above the token. */
  readonly leading: OwnLine[];
  /** Behind it on its line. */
  trailing: { readonly text: string; readonly gap: number } | null;
  /** Whether an empty line stands between the token and what comes before. */
  blank: boolean;
  /** Whether the token, or its first comment, begins a line. */
  breaks: boolean;
}

/** Tokens as documents, with their comments. */
export class Tokens {
  readonly #attached = new Map<number, Attached>();
  readonly #comments: readonly Comment[];

  constructor(text: string, tokens: readonly t.IToken[], comments: readonly Comment[]) {
    this.#comments = comments;
    let next = 0;
    let end = 0;
    let last: Attached | null = null;
    // What stands between two elements: nothing but blanks, newlines and what the layout dropped.
    const newlines = (start: number): number => text.slice(end, start).split("\n").length - 1;
    const real = tokens.filter(
      (token) => token.image !== "" && token.tokenType !== t.Newline && token.tokenType !== t.Semicolon,
    );
    for (let i = 0; i <= real.length; i++) {
      const start = real[i]?.startOffset ?? text.length;
      const own: Attached = { leading: [], trailing: null, blank: false, breaks: false };
      for (; next < comments.length && comments[next]!.start < start; next++) {
        const comment = comments[next]!;
        const lines = newlines(comment.start);
        if (lines === 0 && last && last.trailing === null) {
          last.trailing = { text: comment.text, gap: gapBefore(text, comment.start) };
        } else {
          own.leading.push({ text: comment.text, blank: lines > 1 && (end > 0 || own.leading.length > 0) });
          own.breaks = true;
        }
        end = comment.end;
      }
      const lines = newlines(start);
      own.blank = lines > 1 && end > 0;
      own.breaks ||= lines > 0;
      this.#attached.set(real[i]?.startOffset ?? -1, own);
      end = real[i] ? start + real[i]!.image.length : end;
      last = own;
    }
  }

  /** The token with its comments, those above it on lines of their own. */
  print(token: t.IToken): Doc {
    return [this.above(token), this.bare(token)];
  }

  /** The token and the comment behind it, without those above. */
  bare(token: t.IToken): Doc {
    const trailing = this.#of(token)?.trailing;
    return trailing ? [token.image, { kind: "comment", ...trailing }] : token.image;
  }

  /** The comments above a token; whether an empty line stands before the first is told by `separates`. */
  above(token: t.IToken): Doc {
    return this.hasAbove(token) && this.#of(token)!.blank ? [this.ending(token), blankLine] : this.ending(token);
  }

  /** The comments above a closing bracket, or the end of the file: no empty line stands behind them. */
  ending(token: t.IToken | null): Doc {
    return (this.#of(token)?.leading ?? []).map((c, i): Doc =>
      c.blank && i > 0 ? [blankLine, ownLine(c.text)] : ownLine(c.text),
    );
  }

  hasAbove(token: t.IToken | null): boolean {
    return (this.#of(token)?.leading.length ?? 0) > 0;
  }

  /** Whether an empty line stands before the token and the comments above it. */
  separates(token: t.IToken | null): boolean {
    const own = this.#of(token);
    return own !== undefined && (own.leading[0] ? own.leading[0].blank : own.blank);
  }

  /** Whether the token, or the first comment above it, begins a line of the source. */
  beginsLine(token: t.IToken): boolean {
    return this.#of(token)?.breaks ?? false;
  }

  /** Whether a comment stands between the beginning and the end of a node. */
  within({ location }: CstNode): boolean {
    return location !== undefined && this.between(location.startOffset, location.endOffset ?? location.startOffset);
  }

  /** Whether a comment stands between two offsets. */
  between(start: number, end: number): boolean {
    let low = 0;
    let high = this.#comments.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#comments[middle]!.start < start) low = middle + 1;
      else high = middle;
    }
    return low < this.#comments.length && this.#comments[low]!.start < end;
  }

  /** Null is the end of the file. */
  #of(token: t.IToken | null): Attached | undefined {
    return this.#attached.get(token === null ? -1 : token.startOffset);
  }
}

const ownLine = (text: string): Doc => ({ kind: "own-line", text });

function gapBefore(text: string, offset: number): number {
  let start = offset;
  while (start > 0 && (text[start - 1] === " " || text[start - 1] === "\t")) start--;
  return offset - start;
}

/** The token that a node begins with. */
export function firstToken(node: CstNode): t.IToken {
  let first: t.IToken | null = null;
  for (const elements of Object.values(node.children)) {
    const element = elements[0];
    if (!element) continue;
    const token = "children" in element ? firstToken(element) : element;
    if (!first || token.startOffset < first.startOffset) first = token;
  }
  // The formatter sees complete trees only: every rule of the grammar has a token.
  return first!;
}
