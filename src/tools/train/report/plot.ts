// Lines of charts as SVG: scales from values to places, paths, and round numbers for axes. Every line chart uses it.

export interface Point {
  readonly x: number;
  readonly y: number;
  /** The range of values that the point stands for. */
  readonly low?: number;
  readonly high?: number;
}

/** The box of the lines, and the values at its edges. */
export interface Frame {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
  readonly x: readonly [number, number];
  readonly y: readonly [number, number];
  /** Whether the vertical axis is logarithmic. */
  readonly log?: boolean;
}

/** A place in an SVG. */
export const at = (n: number): string => n.toFixed(1);

export class Plot {
  constructor(readonly frame: Frame) {}

  toX(x: number): number {
    const { left, right } = this.frame;
    const [first, last] = this.frame.x;
    return left + ((right - left) * (x - first)) / (last - first || 1);
  }

  toY(y: number): number {
    const { top, bottom, log = false } = this.frame;
    const [low, high] = this.frame.y;
    const f = log ? Math.log : (value: number): number => value;
    const shown = Math.max(y, log ? low / 10 : -Infinity);
    return bottom + ((top - bottom) * (f(shown) - f(low))) / (f(high) - f(low) || 1);
  }

  /** The path through the points. */
  line(points: readonly Point[]): string {
    return `M${points.map(({ x, y }) => this.#place(x, y)).join("L")}`;
  }

  /** The path around the ranges of the points. */
  band(points: readonly Point[]): string {
    const [low, high] = this.frame.y;
    const clamp = (y: number): number => Math.min(high + (high - low), Math.max(low - (high - low), y));
    const upper = points.map(({ x, y, high: most = y }) => this.#place(x, clamp(most)));
    const lower = points.map(({ x, y, low: least = y }) => this.#place(x, clamp(least)));
    return `M${[...upper, ...lower.reverse()].join("L")}Z`;
  }

  #place(x: number, y: number): string {
    return `${at(this.toX(x))},${at(this.toY(y))}`;
  }
}

/** About `about` round numbers in a range. */
export function ticks(low: number, high: number, about: number): readonly number[] {
  const raw = (high - low) / Math.max(1, about);
  if (!(raw > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999)!;
  const found: number[] = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++)
    found.push(Number((i * step).toPrecision(12)));
  return found;
}
