// Finds the documentation of a declaration: the `///` lines directly above it.
import { isAllow } from "./allow.js";
import type { Comment } from "./lex.js";

/** Finds the documentation above an offset: its text without the slashes, or null. */
export type DocFinder = (offset: number) => string | null;

/** A line of `//` between two lines of `///` does not separate them; an empty line does. */
export function docFinder(text: string, comments: readonly Comment[]): DocFinder {
  return (offset) => {
    const lines: string[] = [];
    let next = offset;
    for (let i = lastBefore(comments, offset); i >= 0; i--) {
      const comment = comments[i]!;
      const between = text.slice(comment.end, next);
      if (between.trim() !== "" || newlines(between) !== 1 || !aloneOnLine(text, comment.start)) break;
      if (isDoc(comment) && !isAllow(comment))
        lines.push(comment.text.slice(comment.text.startsWith("/// ") ? 4 : 3).trimEnd());
      next = comment.start;
    }
    return lines.length === 0 ? null : lines.reverse().join("\n").trim();
  };
}

/** A documentation comment: exactly three slashes. Four or more are a separator line. */
export const isDoc = (comment: Comment): boolean => comment.text.startsWith("///") && !comment.text.startsWith("////");

function lastBefore(comments: readonly Comment[], offset: number): number {
  let low = 0;
  let high = comments.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (comments[middle]!.end <= offset) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function newlines(text: string): number {
  let count = 0;
  for (let i = text.indexOf("\n"); i !== -1; i = text.indexOf("\n", i + 1)) count++;
  return count;
}

function aloneOnLine(text: string, start: number): boolean {
  for (let i = start - 1; i >= 0 && text[i] !== "\n"; i--)
    if (text[i] !== " " && text[i] !== "\t" && text[i] !== "\ufeff") return false;
  return true;
}
