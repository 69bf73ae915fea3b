// How many layers computed each token, where there are no colours: text in lines, and below each line a digit under the
// beginning of every token.

/** `0` to `9`, then letters; what is deeper is `+`. */
const MARKS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

export const markOf = (depth: number): string => MARKS[depth] ?? "+";

interface Cell {
  readonly text: string;
  readonly mark: string;
  readonly width: number;
}

/**
 * Takes tokens, and hands on lines of at most `width` columns with what stands below each: empty where no depth is
 * known.
 */
export class DepthLines {
  #cells: Cell[] = [];
  #used = 0;

  constructor(
    private readonly width: number,
    private readonly line: (text: string, marks: string) => void,
  ) {}

  /** A text whose tokens so many layers computed; null: nobody knows. */
  add(text: string, depth: number | null): void {
    let mark = depth === null ? "" : markOf(depth);
    for (const sign of text.replaceAll("\t", " ")) {
      if (sign === "\n") {
        this.end();
        continue;
      }
      const width = columnsOf(sign);
      if (this.#used + width > this.width) this.#wrap();
      this.#cells.push({ text: sign, mark, width });
      this.#used += width;
      if (width > 0) mark = "";
    }
  }

  /** The line is whole, also an empty one. */
  end(): void {
    this.#flush(this.#cells.length);
  }

  get empty(): boolean {
    return this.#cells.length === 0;
  }

  /** Behind the last space, so that words stay whole where they can. */
  #wrap(): void {
    const space = this.#cells.findLastIndex((cell) => cell.text === " ");
    this.#flush(space < 0 ? this.#cells.length : space + 1);
  }

  #flush(count: number): void {
    const cells = this.#cells.splice(0, count);
    this.#used = this.#cells.reduce((sum, cell) => sum + cell.width, 0);
    this.line(
      cells.map((cell) => cell.text).join(""),
      cells
        .map((cell) => (cell.width === 0 ? "" : cell.mark.padEnd(cell.width)))
        .join("")
        .trimEnd(),
    );
  }
}

/**
 * Columns that a terminal gives a sign: two for the wide ones of East Asia and pictures, none for what is put on the
 * one before.
 */
function columnsOf(sign: string): number {
  if (/^[\p{M}\p{Cf}]$/u.test(sign)) return 0;
  return /^[\p{Emoji_Presentation}\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\u3000-\u303e\uff01-\uff60\uffe0-\uffe6]$/u.test(
    sign,
  )
    ? 2
    : 1;
}
