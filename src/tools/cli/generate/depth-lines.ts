// Shows the depth of each token (how many layers computed it) without colours: below each line of text a digit under
// the start of every token.

/** Digits, then letters; larger depths are `+`. */
const MARKS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

export const markOf = (depth: number): string => MARKS[depth] ?? "+";

interface Cell {
  readonly text: string;
  readonly mark: string;
  readonly width: number;
}

/**
 * Breaks tokens into lines of at most `width` columns, and passes each on with its line of depths, which is empty where
 * no depth is known.
 */
export class DepthLines {
  #cells: Cell[] = [];
  #used = 0;

  constructor(
    private readonly width: number,
    private readonly line: (text: string, marks: string) => void,
  ) {}

  /** Adds the text of a token and its depth; null: unknown. */
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

  /** Ends the line, even if it is empty. */
  end(): void {
    this.#flush(this.#cells.length);
  }

  get empty(): boolean {
    return this.#cells.length === 0;
  }

  /** Wraps after the last space, so that words stay whole where possible. */
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
 * The width of a character in a terminal: two columns for East Asian wide characters and emoji, none for combining
 * characters.
 */
function columnsOf(sign: string): number {
  if (/^[\p{M}\p{Cf}]$/u.test(sign)) return 0;
  return /^[\p{Emoji_Presentation}\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\u3000-\u303e\uff01-\uff60\uffe0-\uffe6]$/u.test(
    sign,
  )
    ? 2
    : 1;
}
