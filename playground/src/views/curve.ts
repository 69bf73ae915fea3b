// A chart of values by step, with a smoothed curve.
import { h, s } from "../dom.js";

const WIDTH = 640;
const HEIGHT = 260;
const MARGIN = { left: 46, right: 12, top: 12, bottom: 28 };
/** The weight of a new value in the smoothed curve. */
const SHARE = 0.15;

export class Curve {
  readonly element: HTMLElement;
  readonly #svg = s("svg", { class: "curve", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
  readonly #name: string;
  readonly #unit: string;
  #values: number[] = [];

  constructor(name: string, unit: string) {
    this.#name = name;
    this.#unit = unit;
    this.element = h("div", { class: "curve-box", hidden: true }, this.#svg);
  }

  start(): void {
    this.#values = [];
    this.element.hidden = true;
  }

  add(value: number): void {
    this.#values.push(value);
    this.element.hidden = false;
    this.#draw();
  }

  #draw(): void {
    const values = this.#values;
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const [low, high] = [Math.max(0, least - 0.1 * (most - least || 1)), most + 0.1 * (most - least || 1)];
    const last = Math.max(1, values.length - 1);
    const x = (i: number): number => MARGIN.left + (i / last) * (WIDTH - MARGIN.left - MARGIN.right);
    const y = (v: number): number => MARGIN.top + ((high - v) / (high - low)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
    const path = (line: readonly number[]): string =>
      line.map((v, i) => `${i === 0 ? "M" : "L"}${x(i).toFixed(1)} ${y(v).toFixed(1)}`).join("");
    const ticks = ticksOf(low, high);
    this.#svg.replaceChildren(
      ...ticks.flatMap((v) => [
        s("line", { class: "grid-line", x1: MARGIN.left, x2: WIDTH - MARGIN.right, y1: y(v), y2: y(v) }),
        s("text", { x: MARGIN.left - 6, y: y(v) + 4, "text-anchor": "end" }, String(Number(v.toFixed(3)))),
      ]),
      s("text", { x: MARGIN.left, y: HEIGHT - 8 }, "step 1"),
      s("text", { x: WIDTH - MARGIN.right, y: HEIGHT - 8, "text-anchor": "end" }, `step ${values.length}`),
      s("text", { x: (WIDTH + MARGIN.left) / 2, y: HEIGHT - 8, "text-anchor": "middle" }, this.#unit),
      s("path", { class: "raw", d: path(values) }),
      s("path", { class: "smooth", d: path(smoothed(values)) }),
    );
    const [first, now] = [values[0]!, values.at(-1)!];
    this.#svg.setAttribute(
      "aria-label",
      `${this.#name} in ${this.#unit}: ${first.toFixed(2)} at step 1, ${now.toFixed(2)} at step ${values.length}`,
    );
  }
}

/** Exponential moving average with bias correction. */
function smoothed(values: readonly number[]): readonly number[] {
  let [sum, weight] = [0, 0];
  return values.map((v) => {
    sum = sum * (1 - SHARE) + v * SHARE;
    weight = weight * (1 - SHARE) + SHARE;
    return sum / weight;
  });
}

/** About five round numbers in a range. */
function ticksOf(low: number, high: number): readonly number[] {
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((candidate) => candidate >= rough)!;
  const from = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - from + 1 }, (_, i) => (from + i) * step);
}
