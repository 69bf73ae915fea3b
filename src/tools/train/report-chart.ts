// Line charts as SVG: axes with round numbers, a band if a point stands for many steps, values on hover.
import { escape, plain, scriptJson } from "./report-html.js";

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

export interface Series {
  readonly name: string;
  /** The CSS class of the series' colour: c1 … c6. */
  readonly color: string;
  readonly points: readonly Point[];
  /** Whether to draw each point as a dot: for a few single measurements. */
  readonly dots?: boolean;
}

export interface ChartOptions {
  readonly id: string;
  readonly title: string;
  readonly note?: string;
  readonly series: readonly Series[];
  readonly width: number;
  readonly height: number;
  /** The last value of the horizontal axis. */
  readonly until: number;
  /** The horizontal axis: its name, and the format of its values. Default: steps. */
  readonly axis?: { readonly name: string; readonly format: (x: number) => string };
  /** Formats of values, and of the axis's ticks. */
  readonly format?: (y: number) => string;
  readonly tick?: (y: number) => string;
  /** Whether the vertical axis begins at 0. */
  readonly fromZero?: boolean;
  /** The least upper end of the vertical axis. */
  readonly atLeast?: number;
  readonly log?: boolean;
  /** Whether to clip outliers at the top of the vertical axis. */
  readonly clip?: boolean;
  /** Whether the chart has the full width of the page. */
  readonly wide?: boolean;
}

const MARGIN = { left: 56, right: 14, top: 10, bottom: 28 };

/** A figure with a legend that shows each series' last value; empty if there is nothing to draw. */
export function lineChart(options: ChartOptions): string {
  const { id, title, note, width, height, until, format = plain, tick = roundText } = options;
  const series = options.series
    .map((s) => ({ ...s, points: s.points.filter((p) => Number.isFinite(p.y)) }))
    .filter((s) => s.points.length > 0);
  if (series.length === 0) return "";
  const [low, high] = domain(options, series);
  const [left, right, top, bottom] = [MARGIN.left, width - MARGIN.right, MARGIN.top, height - MARGIN.bottom];
  const log = options.log ?? false;
  const plot = new Plot({ left, right, top, bottom, x: [0, until || 1], y: [low, high], log });
  const yTicks = log ? logTicks(low, high) : ticks(low, high, Math.max(2, Math.round(height / 60)));
  const xTicks = ticks(0, until, width > 600 ? 8 : 5).filter(
    (x) => x <= until && (options.axis || Number.isInteger(x)),
  );
  const { name: axis, format: tickOf } = options.axis ?? { name: "step", format: tickText };
  const grid = yTicks.map(
    (y) => `<line class="grid" x1="${left}" x2="${right}" y1="${at(plot.toY(y))}" y2="${at(plot.toY(y))}"/>`,
  );
  const labels = [
    ...yTicks.map(
      (y) =>
        `<text class="tick" x="${left - 8}" y="${at(plot.toY(y) + 4)}" text-anchor="end">${escape(tick(y))}</text>`,
    ),
    ...xTicks.map(
      (x) =>
        `<text class="tick" x="${at(plot.toX(x))}" y="${height - 8}" ` +
        `text-anchor="${plot.toX(x) > right - 18 ? "end" : "middle"}">${escape(tickOf(x))}</text>`,
    ),
    `<text class="tick" x="${left - 8}" y="${height - 8}" text-anchor="end">${escape(axis)}</text>`,
  ];
  const box =
    `<clipPath id="${id}-clip"><rect x="${left}" y="${top - 4}" width="${right - left + 4}" ` +
    `height="${bottom - top + 4}"/></clipPath>`;
  const drawn = series.flatMap((s) => [
    ...(s.points.some((p) => p.low !== undefined)
      ? [`<path class="band ${s.color}" d="${plot.band(s.points)}"/>`]
      : []),
    `<path class="line ${s.color}" d="${plot.line(s.points)}"/>`,
    ...(s.dots && s.points.length <= 60
      ? s.points.map(
          (p) => `<circle class="dot ${s.color}" cx="${at(plot.toX(p.x))}" cy="${at(plot.toY(p.y))}" r="3"/>`,
        )
      : []),
  ]);
  const legend = series
    .map(
      (s) =>
        `<span class="key ${s.color}"><i></i>${escape(s.name)} <b>${escape(format(s.points.at(-1)!.y))}</b></span>`,
    )
    .join("");
  const hover = {
    until,
    left,
    right,
    axis,
    series: series.map((s) => ({
      name: s.name,
      color: s.color,
      points: s.points.map((p) => [p.x, format(p.y), ...(options.axis ? [tickOf(p.x)] : [])]),
    })),
  };
  const said = note === undefined ? "" : `<p class="note">${escape(note)}</p>`;
  return `<figure class="chart${options.wide ? " wide" : ""}" id="${id}">
<figcaption><h3>${escape(title)}</h3>${said}<div class="legend">${legend}</div></figcaption>
<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escape(title)}">
${box}${grid.join("")}${labels.join("")}<g clip-path="url(#${id}-clip)">${drawn.join("")}</g>
<line class="cross" y1="${top}" y2="${bottom}" x1="0" x2="0"/></svg>
<div class="tip" hidden></div><script type="application/json">${scriptJson(hover)}</script></figure>`;
}

/**
 * The range of the vertical axis. With `clip`, without the outliers of the first steps, which would flatten the rest.
 */
function domain(
  { until, fromZero, atLeast, log, clip }: ChartOptions,
  series: readonly Series[],
): readonly [number, number] {
  const all = series.flatMap((s) => s.points);
  const later = all.filter((p) => p.x > until * 0.03);
  const shown = (later.length > 0 ? later : all)
    .flatMap((p) => [p.low ?? p.y, p.high ?? p.y])
    .filter((y) => Number.isFinite(y) && (!log || y > 0));
  if (shown.length === 0) return log ? [0.1, 1] : [0, 1];
  const least = shown.reduce((a, b) => Math.min(a, b));
  const highest = shown.reduce((a, b) => Math.max(a, b));
  const most = Math.max(clip ? Math.min(highest, CLIP * quantile(shown, 0.9)) : highest, atLeast ?? -Infinity);
  if (log) return [least / 1.2, most * 1.2];
  const pad = (most - least || Math.abs(most) || 1) * 0.06;
  return [fromZero ? Math.min(0, least) : least - pad, most + (atLeast !== undefined && most <= atLeast ? 0 : pad)];
}

/** Factor above the 90 % quantile at which the axis is clipped. */
const CLIP = 1.5;

/** The quantile of the values. */
const quantile = (values: readonly number[], share: number): number => {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(share * (sorted.length - 1))]!;
};

function logTicks(low: number, high: number): readonly number[] {
  const found: number[] = [];
  const few = high / low > 100;
  for (let e = Math.floor(Math.log10(low)); 10 ** e <= high; e++)
    for (const m of few ? [1] : [1, 2, 5])
      if (m * 10 ** e >= low && m * 10 ** e <= high) found.push(Number((m * 10 ** e).toPrecision(1)));
  return found;
}

/** A round number in its shortest form: `0`, `2.5`, `5e-4`. */
const roundText = (y: number): string => {
  if (y === 0) return "0";
  const text = String(Number(y.toPrecision(4)));
  return Math.abs(y) >= 0.01 && text.length <= 7 ? text : y.toExponential().replace("e+", "e");
};

const tickText = (x: number): string => (x >= 10_000 ? `${(x / 1000).toLocaleString("en")}k` : x.toLocaleString("en"));
