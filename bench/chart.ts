// results.svg: bars with each block's milliseconds; scales differ by block.
import { WEBGPU_PEERS, type Measured } from "./measure.js";
import type { PeerName } from "./protocol.js";
import { spreadOf } from "./statistics.js";
import { TITLES } from "./tables.js";

const BARS: readonly PeerName[] = ["modc", ...WEBGPU_PEERS];
const WIDTH = 760;
const LABEL = 170;
const BAR = 14;
const GAP = 4;
const TITLE = 26;

const STYLE = `text { font: 12px system-ui, sans-serif; fill: #24292f } .title { font-weight: 600 }
  .note { fill: #6e7781 }
.bar { fill: #a8b1bb } .modc { fill: #1a7f64 } .range { stroke: #57606a }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .note { fill: #8b949e } .bar { fill: #59636e }
.modc { fill: #3fb68b } .range { stroke: #9198a1 } }`;

/** Blocks as groups of bars, shortest is fastest; thin lines from the smallest to the largest of what was measured. */
export function chart(measured: readonly Measured[]): string {
  const parts: string[] = [];
  let y = 8;
  for (const m of measured) {
    if (m.case.kind === "routing") continue;
    const bars = BARS.flatMap((name) => {
      const times = m.times.get(name);
      return times ? [{ name, ...spreadOf(times) }] : [];
    });
    const longest = Math.max(...bars.map((b) => b.high));
    const scale = (WIDTH - LABEL - 90) / longest;
    y += TITLE;
    parts.push(`<text class="title" x="0" y="${y - 8}">${escape(m.case.title)}</text>`);
    for (const { name, median, low, high } of bars) {
      const middle = y + BAR / 2;
      parts.push(
        `<text x="${LABEL - 8}" y="${middle + 4}" text-anchor="end">${escape(TITLES[name])}</text>`,
        `<rect class="bar${name === "modc" ? " modc" : ""}" x="${LABEL}" y="${y}" ` +
          `width="${(median * scale).toFixed(1)}" height="${BAR}" rx="2"/>`,
        `<line class="range" x1="${(LABEL + low * scale).toFixed(1)}" x2="${(LABEL + high * scale).toFixed(1)}" ` +
          `y1="${middle}" y2="${middle}"/>`,
        `<text class="note" x="${(LABEL + high * scale + 6).toFixed(1)}" ` +
          `y="${middle + 4}">${median >= 100 ? median.toFixed(0) : median.toPrecision(3)} ms</text>`,
      );
      y += BAR + GAP;
    }
  }
  const body = parts.join("\n");
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y + 8}" width="${WIDTH}" height="${y + 8}"
  role="img" aria-label="Milliseconds of modc and its peers">
<style>${STYLE}</style>
${body}
</svg>
`;
}

const escape = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
