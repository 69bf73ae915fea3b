// Figures of a comparison: validation loss over training operations, a panel for each size, a line for each variant.
import { at, Plot } from "../../src/tools/train/report-chart.js";
import { spreadOf } from "../statistics.js";
import type { Group } from "./collect.js";

const WIDTH = 860;
const HEIGHT = 340;
const LEFT = 56;
const TOP = 30;
const BOTTOM = 44;
const GAP = 64;
/** Lines of the legend, and how far they lie apart. */
const LEGEND = 3;
const LINE = 20;

const STYLE = `text { font: 12px system-ui, sans-serif; fill: #24292f } .title { font-weight: 600 }
  .note { fill: #6e7781 }
.axis { stroke: #d0d7de } .line { fill: none; stroke-width: 2 } .topk { stroke-dasharray: 4 4 } .area { opacity: 0.18 }
.a { --c: #57606a } .b { --c: #1a7f64 } .c { --c: #8250df } .d { --c: #cf222e }
.e { --c: #0969da } .f { --c: #bc4c00 } .g { --c: #bf3989 } .line { stroke: var(--c) }
.area { fill: var(--c) }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .note { fill: #8b949e } .axis { stroke: #444c56 }
.a { --c: #9198a1 } .b { --c: #3fb68b } .c { --c: #a371f7 } .d { --c: #f85149 }
.e { --c: #58a6ff } .f { --c: #f0883e } .g { --c: #db61a2 } }`;

interface Point {
  readonly flops: number;
  readonly causal: { readonly mean: number; readonly low: number; readonly high: number };
  readonly topK: number;
}

/** Means over seeds, with the range of the causal rule; validations that all finished seeds have. */
function pointsOf({ costs, results }: Group): readonly Point[] {
  const [first] = results;
  if (!first) return [];
  const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
  return first.validations.map(({ step }, i) => {
    const losses = results.map((r) => r.validations[i]!.loss);
    const causal = losses.map((l) => l.causal);
    const { low, high } = spreadOf(causal);
    return {
      flops: step * costs.step,
      causal: { mean: mean(causal), low, high },
      topK: mean(losses.map((l) => l["top-k"])),
    };
  });
}

export function figure(groups: readonly Group[]): string {
  const sizes = [...new Set(groups.map((g) => g.costs.size.name))];
  const width = (WIDTH - LEFT - GAP * (sizes.length - 1) - 12) / sizes.length;
  const panels = sizes.map((size, i) =>
    panel(
      groups.filter((g) => g.costs.size.name === size),
      `${size} M parameters`,
      LEFT + i * (width + GAP),
      width,
    ),
  );
  const variants = groups.filter((g) => g.costs.size.name === sizes[0]).map((g) => g.costs.variant);
  const legend = variants.map(({ name, title }, i) => {
    const [x, y] = [LEFT + (i % 2) * ((WIDTH - LEFT + GAP - 12) / 2), HEIGHT + LINE * Math.floor(i / 2) + 8];
    return (
      `<g class="${name}"><path class="line" d="M${x} ${y - 4}h22"/><text x="${x + 28}" y="${y}">(${name}) ` +
      `${escape(title)}</text></g>`
    );
  });
  legend.push(
    `<text class="note" x="${LEFT}" y="${HEIGHT + LINE * (LEGEND - 1) + 8}">solid: causal rule, mean of the ` +
      "seeds, shaded from the lowest to the highest; dashed: top-k</text>",
  );
  const height = HEIGHT + LINE * LEGEND;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}"
  role="img" aria-label="Validation loss over training operations">
<style>${STYLE}</style>
${[...panels, ...legend].join("\n")}
</svg>
`;
}

function panel(groups: readonly Group[], title: string, x0: number, width: number): string {
  const lines = groups
    .map((g) => ({ name: g.costs.variant.name, points: pointsOf(g) }))
    .filter((l) => l.points.length > 0);
  const parts = [`<text class="title" x="${x0}" y="16">${escape(title)}: validation loss, nats a byte</text>`];
  if (lines.length === 0) return `${parts[0]!}<text class="note" x="${x0}" y="60">no run is finished</text>`;
  const all = lines.flatMap((l) => l.points);
  const most = Math.max(...all.map((p) => p.flops));
  const values = all.flatMap((p) => [p.causal.high, p.causal.low, p.topK]);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = Math.max(1e-3, (high - low) * 0.05);
  const bottom = HEIGHT - BOTTOM;
  const plot = new Plot({ left: x0, right: x0 + width, top: TOP, bottom, x: [0, most], y: [low - room, high + room] });
  parts.push(`<path class="axis" fill="none" d="M${x0} ${TOP}V${bottom}H${x0 + width}"/>`);
  for (const value of [low, (low + high) / 2, high])
    parts.push(
      `<text class="note" x="${x0 - 6}" y="${at(plot.toY(value) + 4)}" text-anchor="end">${value.toFixed(2)}</text>`,
    );
  for (const share of [0, 0.5, 1])
    parts.push(
      `<text class="note" x="${at(x0 + share * width)}" y="${bottom + 18}" ` +
        `text-anchor="${share === 0 ? "start" : share === 1 ? "end" : "middle"}">` +
        `${Number(((share * most) / 1e12).toPrecision(3))}</text>`,
    );
  parts.push(
    `<text class="note" x="${x0 + width / 2}" y="${bottom + 36}" text-anchor="middle">training operations, 10¹²</text>`,
  );
  for (const { name, points } of lines) {
    const causal = points.map(({ flops, causal: { mean, low, high } }) => ({ x: flops, y: mean, low, high }));
    const topK = points.map((p) => ({ x: p.flops, y: p.topK }));
    parts.push(
      `<g class="${name}"><path class="area" d="${plot.band(causal)}"/><path class="line" d="${plot.line(causal)}"/>` +
        `<path class="line topk" d="${plot.line(topK)}"/></g>`,
    );
  }
  return parts.join("\n");
}

const escape = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
