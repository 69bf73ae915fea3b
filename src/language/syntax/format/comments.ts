// Attaches each comment to a token, so that printing every token prints every comment.
import type { CstNode } from "chevrotain";
import * as t from "../../../../grammar/tokens.js";
import type { Comment } from "../lex.js";
import { blankLine, type Doc } from "./doc.js";

interface OwnLine {
  readonly text: string;
  /** Whether a blank line precedes the comment. */
  readonly blank: boolean;
}

interface Attached {
  /** Comments on lines of their own above the token. */
  readonly leading: OwnLine[];
  /** Trailing comment on the token's line. */
  trailing: { readonly text: string; readonly gap: number } | null;
  /** Whether a blank line precedes the token. */
  blank: boolean;
  /** Whether the token, or its first comment, is the first on its line. */
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
    // Counts the line breaks between two elements; only blanks, newlines and tokens dropped by the layout are between
    // them.
    const newlines = (start: number): number => text.slice(end, start).split("\n").length - 1;
    const real = tokens.filter(
      (token) => token.image !== "" && token.tokenType !== t.Newline && token.tokenType !== t.Semicolon,
    );
    for (let i = 0; i <= real.length; i++) {
      const start = real[i]?.startOffset ?? text.length;
      const attached: Attached = { leading: [], trailing: null, blank: false, breaks: false };
      for (; next < comments.length && comments[next]!.start < start; next++) {
        const comment = comments[next]!;
        const lines = newlines(comment.start);
        if (lines === 0 && last && last.trailing === null) {
          last.trailing = { text: comment.text, gap: gapBefore(text, comment.start) };
        } else {
          attached.leading.push({ text: comment.text, blank: lines > 1 && (end > 0 || attached.leading.length > 0) });
          attached.breaks = true;
        }
        end = comment.end;
      }
      const lines = newlines(start);
      attached.blank = lines > 1 && end > 0;
      attached.breaks ||= lines > 0;
      this.#attached.set(real[i]?.startOffset ?? -1, attached);
      end = real[i] ? start + real[i]!.image.length : end;
      last = attached;
    }
  }

  /** The token with its comments; leading comments on separate lines. */
  print(token: t.IToken): Doc {
    return [this.above(token), this.bare(token)];
  }

  /** The token and its trailing comment, without its leading comments. */
  bare(token: t.IToken): Doc {
    const trailing = this.#of(token)?.trailing;
    return trailing ? [token.image, { kind: "comment", ...trailing }] : token.image;
  }

  /** The leading comments of a token, after a blank line if the source has one. */
  above(token: t.IToken): Doc {
    return this.hasAbove(token) && this.#of(token)!.blank ? [this.ending(token), blankLine] : this.ending(token);
  }

  /** The leading comments of a closing bracket or of the end of the file, without a blank line after them. */
  ending(token: t.IToken | null): Doc {
    return (this.#of(token)?.leading ?? []).map((c, i): Doc =>
      c.blank && i > 0 ? [blankLine, ownLine(c.text)] : ownLine(c.text),
    );
  }

  hasAbove(token: t.IToken | null): boolean {
    return (this.#of(token)?.leading.length ?? 0) > 0;
  }

  /** Whether a blank line precedes the token and its leading comments. */
  separates(token: t.IToken | null): boolean {
    const attached = this.#of(token);
    return attached !== undefined && (attached.leading[0] ? attached.leading[0].blank : attached.blank);
  }

  /** Whether the token, or its first leading comment, is the first on its source line. */
  beginsLine(token: t.IToken): boolean {
    return this.#of(token)?.breaks ?? false;
  }

  /** Whether the node contains a comment. */
  within({ location }: CstNode): boolean {
    return location !== undefined && this.between(location.startOffset, location.endOffset ?? location.startOffset);
  }

  /** Whether there is a comment between two offsets. */
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

  /** The comments of a token; null: the end of the file. */
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

export function firstToken(node: CstNode): t.IToken {
  let first: t.IToken | null = null;
  for (const elements of Object.values(node.children)) {
    const element = elements[0];
    if (!element) continue;
    const token = "children" in element ? firstToken(element) : element;
    if (!first || token.startOffset < first.startOffset) first = token;
  }
  // The formatter receives complete trees only, and every grammar rule has a token.
  return first!;
}
