// hardware.svg: for each case a bar of the estimate, and the roof within it, on a logarithmic scale.
import type { Total } from "./tables.js";
import { micros } from "./tables.js";

export interface Charted {
  readonly name: string;
  readonly total: Total;
}

const [WIDTH, LABEL, BAR, GAP] = [760, 170, 14, 6];
const STYLE = `text { font: 12px system-ui, sans-serif; fill: #24292f } .note { fill: #6e7781 }
.bar { fill: #a8b1bb } .roof { fill: #1a7f64 } .grid { stroke: #d0d7de }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .note { fill: #8b949e } .bar { fill: #59636e }
.roof { fill: #3fb68b } .grid { stroke: #30363d } }`;

export function chart(cases: readonly Charted[], card: string): string {
  const all = cases.flatMap(({ total }) => [total.us, total.roofUs]).filter((us) => us > 0);
  const low = Math.floor(Math.log10(Math.min(...all)));
  const high = Math.ceil(Math.log10(Math.max(...all)));
  const at = (us: number): number =>
    ((Math.log10(Math.max(us, 10 ** low)) - low) / (high - low)) * (WIDTH - LABEL - 110);
  const height = 44 + cases.length * (BAR + GAP);
  const grid = Array.from({ length: high - low + 1 }, (_, i) => {
    const x = (LABEL + at(10 ** (low + i))).toFixed(1);
    return (
      `<line class="grid" x1="${x}" x2="${x}" y1="24" y2="${height - 12}"/>` +
      `<text class="note" x="${x}" y="18" text-anchor="middle">${10 ** (low + i)} µs</text>`
    );
  });
  const bars = cases.map(({ name, total }, i) => {
    const y = 32 + i * (BAR + GAP);
    const [width, roof] = [Math.max(1, at(total.us)), Math.max(1, at(total.roofUs))];
    return (
      `<text x="${LABEL - 8}" y="${y + 11}" text-anchor="end">${name}</text>` +
      `<rect class="bar" x="${LABEL}" y="${y}" width="${width.toFixed(1)}" height="${BAR}" rx="2"/>` +
      `<rect class="roof" x="${LABEL}" y="${y + 4}" width="${roof.toFixed(1)}" height="${BAR - 8}" rx="1"/>` +
      `<text class="note" x="${(LABEL + width + 6).toFixed(1)}" y="${y + 11}">` +
      `${total.least ? "≥ " : ""}${micros(total.us)} µs, roof ${micros(total.roofUs)}</text>`
    );
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}"
  role="img" aria-label="Estimated microseconds of each case on ${card}, and the card's roof; not measured">
<style>${STYLE}</style>
${[...grid, ...bars].join("\n")}
</svg>
`;
}
