// A text in an editor: positions as line and character in the negotiated encoding, and edits.
import type { Span } from "../diagnostics/span.js";

/** The unit of a position's `character`: bytes, UTF-16 code units or code points. */
export type Encoding = "utf-8" | "utf-16" | "utf-32";

/** Both zero-based. */
export interface Position {
  readonly line: number;
  readonly character: number;
}

export interface Range {
  readonly start: Position;
  readonly end: Position;
}

/** A replacement of a range, or of the whole text if there is no range. */
export interface Change {
  readonly range?: Range | undefined;
  readonly text: string;
}

export class Text {
  readonly #starts: readonly number[];

  constructor(
    readonly text: string,
    readonly encoding: Encoding,
  ) {
    this.#starts = lineStarts(text);
  }

  get lines(): number {
    return this.#starts.length;
  }

  /** The nearest offset, clamped to the end of the line and of the text. The offset is never inside a character. */
  offsetAt({ line, character }: Position): number {
    if (line < 0) return 0;
    const start = this.#starts[line];
    if (start === undefined) return this.text.length;
    const end = this.#endOf(line);
    if (this.encoding === "utf-16") {
      const at = Math.min(start + Math.max(0, character), end);
      return isInside(this.text, at) ? at - 1 : at;
    }
    let at = start;
    for (let left = character; at < end;) {
      const point = this.text.codePointAt(at)!;
      left -= this.encoding === "utf-32" ? 1 : bytesOf(point);
      if (left < 0) break;
      at += point > 0xffff ? 2 : 1;
    }
    return at;
  }

  positionAt(offset: number): Position {
    const at = Math.max(0, Math.min(offset, this.text.length));
    const line = lastAtMost(this.#starts, at);
    const start = this.#starts[line]!;
    const end = Math.min(at, this.#endOf(line));
    if (this.encoding === "utf-16") return { line, character: end - start };
    let character = 0;
    for (let i = start; i < end;) {
      const point = this.text.codePointAt(i)!;
      character += this.encoding === "utf-32" ? 1 : bytesOf(point);
      i += point > 0xffff ? 2 : 1;
    }
    return { line, character };
  }

  rangeOf({ start, end }: Pick<Span, "start" | "end">): Range {
    return { start: this.positionAt(start), end: this.positionAt(end) };
  }

  /** The offsets of a line, without the line ending. */
  line(line: number): { readonly start: number; readonly end: number } {
    return { start: this.#starts[line] ?? this.text.length, end: this.#endOf(line) };
  }

  edited(changes: readonly Change[]): Text {
    return changes.reduce<Text>((before, { range, text }) => {
      if (!range) return new Text(text, this.encoding);
      const from = before.offsetAt(range.start);
      const to = Math.max(from, before.offsetAt(range.end));
      return new Text(before.text.slice(0, from) + text + before.text.slice(to), this.encoding);
    }, this);
  }

  #endOf(line: number): number {
    const next = this.#starts[line + 1];
    if (next === undefined) return this.text.length;
    const crlf = this.text[next - 1] === "\n" && this.text[next - 2] === "\r";
    return next - (crlf ? 2 : 1);
  }
}

/** Lines end at `\n`, `\r\n` or `\r`, as the protocol specifies. */
function lineStarts(text: string): readonly number[] {
  const starts = [0];
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 10 || (c === 13 && text.charCodeAt(i + 1) !== 10)) starts.push(i + 1);
  }
  return starts;
}

/** The index of the last item that is at most `value`; the first item must be. */
export function lastAtMost(sorted: readonly number[], value: number): number {
  let low = 0;
  let high = sorted.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! <= value) low = middle;
    else high = middle;
  }
  return low;
}

const bytesOf = (point: number): number => (point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4);

/** Whether the offset is between the halves of a surrogate pair. */
const isInside = (text: string, at: number): boolean =>
  /[\ud800-\udbff]/.test(text[at - 1] ?? "") && /[\udc00-\udfff]/.test(text[at] ?? "");

/** The smallest differing range of two texts: [start, end) became [start, end + grown). */
export interface Difference {
  readonly start: number;
  readonly end: number;
  readonly grown: number;
}

export function differenceOf(before: string, after: string): Difference {
  const least = Math.min(before.length, after.length);
  let start = 0;
  while (start < least && before.charCodeAt(start) === after.charCodeAt(start)) start++;
  let same = 0;
  while (
    same < least - start &&
    before.charCodeAt(before.length - 1 - same) === after.charCodeAt(after.length - 1 - same)
  )
    same++;
  return { start, end: before.length - same, grown: after.length - before.length };
}

/** Maps an offset of the text before to the text after; null inside the changed range. */
export function movedBy({ start, end, grown }: Difference, offset: number): number | null {
  if (offset <= start) return offset;
  return offset >= end ? offset + grown : null;
}
