// Generates railroad diagrams of the grammar as one page of SVG, without scripts or network access.
import { grammarShape, type Shape } from "./shape.js";

/**
 * A drawing whose line enters at the left and leaves at the right at the same height; `above` and `below` are its
 * extents from that line.
 */
interface Track {
  readonly width: number;
  readonly above: number;
  readonly below: number;
  /** SVG with the entry at (x, y). */
  readonly draw: (x: number, y: number) => string;
}

const ROW = 12; // half the height of a box
const GAP = 10; // between rows
const TURN = 12; // width of a branch's bend
const CHARACTER = 7.6;

const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
const number = (n: number): string => String(Math.round(n * 10) / 10);
const path = (d: string): string => `<path d="${d}"/>`;
const straight = (x: number, y: number, width: number): string =>
  width > 0 ? path(`M${number(x)} ${number(y)}h${number(width)}`) : "";

function box(text: string, style: "text" | "word" | "rule"): Track {
  const width = text.length * CHARACTER + 20;
  const draw = (x: number, y: number): string => {
    const rounded = style === "rule" ? 0 : 11;
    const body =
      `<rect class="${style}" x="${number(x)}" y="${number(y - ROW)}" width="${number(width)}" ` +
      `height="${2 * ROW}" rx="${rounded}"/>` +
      `<text x="${number(x + width / 2)}" y="${number(y + 4)}">${escape(text)}</text>`;
    return style === "rule" ? `<a href="#${escape(text)}">${body}</a>` : body;
  };
  return { width, above: ROW, below: ROW, draw };
}

function inSequence(tracks: readonly Track[]): Track {
  const width = tracks.reduce((sum, t) => sum + t.width, 0) + GAP * Math.max(0, tracks.length - 1);
  const draw = (x: number, y: number): string => {
    let at = x;
    return tracks
      .map((t, i) => {
        const joint = i === 0 ? "" : straight(at, y, GAP);
        if (i > 0) at += GAP;
        const drawn = joint + t.draw(at, y);
        at += t.width;
        return drawn;
      })
      .join("");
  };
  return {
    width,
    above: Math.max(ROW, ...tracks.map((t) => t.above)),
    below: Math.max(ROW, ...tracks.map((t) => t.below)),
    draw,
  };
}

const nothing: Track = { width: 0, above: 0, below: 0, draw: () => "" };

/** Parallel branches: the first on the main line, the others below it. */
function branches(tracks: readonly Track[]): Track {
  const inner = Math.max(...tracks.map((t) => t.width));
  const heights: number[] = [];
  let depth = tracks[0]!.below;
  for (const t of tracks.slice(1)) {
    depth += GAP + Math.max(t.above, 4);
    heights.push(depth);
    depth += Math.max(t.below, 4);
  }
  const width = inner + 4 * TURN;
  const draw = (x: number, y: number): string => {
    const start = x + 2 * TURN;
    const row = (t: Track, height: number): string =>
      t.draw(start, y + height) + straight(start + t.width, y + height, inner - t.width);
    const bends = heights.map((h) => {
      const down = path(
        `M${number(x)} ${number(y)}q${TURN} 0 ${TURN} ${TURN}v${number(h - 2 * TURN)}q0 ${TURN} ${TURN} ${TURN}`,
      );
      const up = path(
        `M${number(start + inner)} ${number(y + h)}q${TURN} 0 ${TURN} -${TURN}v${number(2 * TURN - h)}q0 ` +
          `-${TURN} ${TURN} -${TURN}`,
      );
      return down + up;
    });
    const line = straight(x, y, 2 * TURN) + row(tracks[0]!, 0) + straight(start + inner, y, 2 * TURN);
    return (
      line +
      tracks
        .slice(1)
        .map((t, i) => row(t, heights[i]!))
        .join("") +
      bends.join("")
    );
  };
  return { width, above: Math.max(ROW, tracks[0]!.above), below: depth, draw };
}

/** A repetition: the line passes through the item and returns below it, or bypasses it. */
function loop(item: Track): Track {
  const once = branches([nothing, item]);
  const back = once.below + GAP;
  const draw = (x: number, y: number): string => {
    const start = x + TURN;
    const end = start + once.width;
    const round =
      `M${number(end)} ${number(y)}q${TURN} 0 ${TURN} ${TURN}v${number(back - 2 * TURN)}q0 ${TURN} -${TURN} ${TURN}` +
      `h${number(-once.width)}q-${TURN} 0 -${TURN} -${TURN}v${number(2 * TURN - back)}q0 -${TURN} ${TURN} -${TURN}`;
    return straight(x, y, TURN) + once.draw(start, y) + straight(end, y, TURN) + path(round);
  };
  return { width: once.width + 2 * TURN, above: once.above, below: back + 2, draw };
}

function trackOf(shape: Shape): Track {
  switch (shape.kind) {
    case "sequence":
      return shape.items.length === 0 ? nothing : inSequence(shape.items.map(trackOf));
    case "choice":
      return branches(shape.items.map(trackOf));
    case "optional":
      return branches([nothing, trackOf(shape.item)]);
    case "repeat":
      return loop(trackOf(shape.item));
    case "text":
      return box(shape.text, "text");
    case "word":
      return box(shape.name, "word");
    case "rule":
      return box(shape.name, "rule");
    default:
      return shape satisfies never;
  }
}

function diagram(name: string, shape: Shape): string {
  const track = trackOf(shape);
  const width = track.width + 60;
  const height = track.above + track.below + 16;
  const y = track.above + 8;
  const ends = `<circle cx="10" cy="${number(y)}" r="4"/><circle cx="${number(width - 10)}" cy="${number(y)}" r="4"/>`;
  const lines = straight(14, y, 16) + track.draw(30, y) + straight(30 + track.width, y, 16);
  return (
    `<h2 id="${name}">${name}</h2>\n` +
    `<svg width="${number(width)}" height="${number(height)}" viewBox="0 0 ${number(width)} ${number(height)}" ` +
    `role="img" aria-label="${name}">${ends}${lines}</svg>`
  );
}

const STYLE = `
  :root { color-scheme: light dark; --ink: #24323f; --text: #e3f0e0; --word: #efe6f5; --rule: #e2ebf5; --page: #fff; }
  @media (prefers-color-scheme: dark) { :root { --ink: #cfd8e0; --text: #24402a; --word: #3a2c47; --rule: #22364b;
    --page: #14191e; } }
  body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 70em;
    margin: 2em auto; padding: 0 1em; }
  h2 { font: 600 14px ui-monospace, monospace; margin: 1.6em 0 0.2em; }
  svg { display: block; max-width: 100%; height: auto; }
  svg path { fill: none; stroke: var(--ink); stroke-width: 1.4; }
  svg circle { fill: var(--ink); }
  svg rect { stroke: var(--ink); stroke-width: 1; }
  svg .text { fill: var(--text); } svg .word { fill: var(--word); } svg .rule { fill: var(--rule); }
  svg text { font: 12.5px ui-monospace, monospace; text-anchor: middle; fill: var(--ink); }
`;

/** Generates the text of `docs/railroad.html`. */
export function railroad(): string {
  const diagrams = [...grammarShape()].map(([name, shape]) => diagram(name, shape));
  return `<!doctype html>
<html lang="en">
<!-- Made by scripts/grammar.mjs from grammar/parser.ts; do not edit. -->
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>The grammar of modc</title>
<style>${STYLE}</style>
<h1>The grammar of modc</h1>
<p>Round boxes are words and signs, square ones other rules. <code>end</code> is a newline or <code>;</code>: it may be
left out before the first item, and a newline is none inside <code>( )</code> and <code>[ ]</code>, nor after an
operator, a comma, <code>then</code> or <code>else</code>. A comma may follow the last item of a list. The same grammar
stands on one page in <code>grammar/modc.ebnf</code>.</p>
${diagrams.join("\n")}
</html>
`;
}
