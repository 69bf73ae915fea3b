// A chart of values by step, with a smoothed curve.
import { Plot, ticks } from "../../../src/tools/train/report-chart.js";
import { h, s } from "../dom.js";

const WIDTH = 640;
const HEIGHT = 260;
const BOX = { left: 46, right: WIDTH - 12, top: 12, bottom: HEIGHT - 28 };
/** The weight of a new value in the smoothed curve. */
const SHARE = 0.15;

export class Curve {
  readonly element: HTMLElement;
  readonly #svg = s("svg", { class: "curve", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
  readonly #name: string;
  #unit = "";
  #values: number[] = [];

  constructor(name: string) {
    this.#name = name;
    this.element = h("div", { class: "curve-box", hidden: true }, this.#svg);
  }

  /** Clears the chart. */
  start(): void {
    this.#values = [];
    this.element.hidden = true;
  }

  add(value: number, unit: string): void {
    this.#unit = unit;
    this.#values.push(value);
    this.element.hidden = false;
    this.#draw();
  }

  #draw(): void {
    const values = this.#values;
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const [low, high] = [Math.max(0, least - 0.1 * (most - least || 1)), most + 0.1 * (most - least || 1)];
    const plot = new Plot({ ...BOX, x: [0, values.length - 1], y: [low, high] });
    const path = (line: readonly number[]): string => plot.line(line.map((y, x) => ({ x, y })));
    this.#svg.replaceChildren(
      ...ticks(low, high, 5).flatMap((v) => [
        s("line", { class: "grid-line", x1: BOX.left, x2: BOX.right, y1: plot.toY(v), y2: plot.toY(v) }),
        s("text", { x: BOX.left - 6, y: plot.toY(v) + 4, "text-anchor": "end" }, String(Number(v.toFixed(3)))),
      ]),
      s("text", { x: BOX.left, y: HEIGHT - 8 }, "step 1"),
      s("text", { x: BOX.right, y: HEIGHT - 8, "text-anchor": "end" }, `step ${values.length}`),
      s("text", { x: (WIDTH + BOX.left) / 2, y: HEIGHT - 8, "text-anchor": "middle" }, this.#unit),
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
