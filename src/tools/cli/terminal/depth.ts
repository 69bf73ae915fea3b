// Shows the depth of each token (how many layers computed it), as background colour or as a digit below the text.
import type { Generation } from "../../../runtime/program/generation.js";
import { layersOn } from "../../../generation/engine/summary.js";

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

/** Backgrounds of the 256-colour palette from few layers to many, and what is legible on each. */
const SHADES = [
  [255, 16],
  [189, 16],
  [153, 16],
  [111, 16],
  [69, 231],
  [27, 231],
] as const;

/** Writes texts of tokens with their depths. Without `color`, digits are as in `DepthLines`. */
export class DepthText {
  /** The number of layers that every token takes, and the number of all layers. */
  readonly least: number;
  readonly most: number;

  constructor(
    generation: Pick<Generation, "axes" | "layers">,
    readonly color: boolean,
  ) {
    const layers = layersOn(generation);
    this.least = layers[0] ?? 0;
    this.most = layers.reduce((a, b) => a + b, 0);
  }

  /** The text of a token with its depth as background colour; null: unknown. Line ends are not coloured. */
  show(text: string, depth: number | null): string {
    if (depth === null || text === "" || !this.color) return text;
    return text.replaceAll(/[^\n]+/g, (line) => this.#shaded(line, depth));
  }

  /** The meaning of the shades or digits. If the legend itself has no colours, it describes shades in words. */
  legend(colored: boolean): string {
    if (this.color && !colored) return `${this.least} (lightest) to ${this.most} (darkest)`;
    const depths = Array.from({ length: this.most - this.least + 1 }, (_, i) => this.least + i);
    return depths
      .map((depth) =>
        this.color ? this.#shaded(` ${depth} `, depth) : depth < 10 ? markOf(depth) : `${markOf(depth)}=${depth}`,
      )
      .join(this.color ? "" : " ");
  }

  #shaded(text: string, depth: number): string {
    const share = this.most === this.least ? 0 : (depth - this.least) / (this.most - this.least);
    const [back, front] = SHADES[Math.round(share * (SHADES.length - 1))]!;
    return `\u001b[48;5;${back};38;5;${front}m${text}\u001b[0m`;
  }
}
