// Shows the depth of each token (how many layers computed it), as background colour or as a digit below the text.
import type { Generation } from "../../../runtime/program/generation.js";
import { layersOn } from "../../../generation/engine/use.js";
import { markOf } from "./depth-lines.js";

/** Backgrounds of the 256-colour palette from few layers to many, and what is legible on each. */
const SHADES = [
  [255, 16],
  [189, 16],
  [153, 16],
  [111, 16],
  [69, 231],
  [27, 231],
] as const;

/** Writes texts of tokens with their depths. Without `color` the digits are those of `DepthLines`. */
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

  /** What the shades or digits mean; where the legend itself may have no colours, shades are told in words. */
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
