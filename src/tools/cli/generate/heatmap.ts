// A self-contained HTML page that shows which layers computed which tokens of generated texts.
import { escape, percent, STYLE } from "../../train/report-html.js";
import type { ChosenExperts } from "../../../generation/engine/experts.js";
import { mixtureLoad } from "../../train/loads.js";
import { cells, factsOf } from "../../train/report-routes.js";
import type { GeneratedToken } from "../../../generation/generate/index.js";
import type { Generation } from "../../../runtime/program/generation.js";

/** One sequence, with the text of each token. */
export interface HeatedText extends Heated {
  readonly shown: readonly string[];
  /** By choice; empty without mixtures of experts. */
  readonly experts: readonly ChosenExperts[];
}

export interface HeatmapData {
  readonly model: string;
  /** The name of the device. */
  readonly device: string;
  /** Figures of the generation, as name and value. */
  readonly facts: readonly (readonly [string, string])[];
  readonly texts: readonly HeatedText[];
}

/** Height of a layer's cell with few layers and with many, and of the gap between cells, in pixels. */
const [CELL, SMALL_CELL, GAP] = [6, 3, 1];
const MANY = 16;
const cellOf = (layers: number): number => (layers > MANY ? SMALL_CELL : CELL);

/** Renders the page: the text with the layers of each token below it, the first on top. */
export function renderHeatmap({ model, device, facts, texts }: HeatmapData): string {
  const patterns = new Patterns();
  const figures = texts.map((text, i) =>
    figure(text, texts.length > 1 ? `Sequence ${i}` : "Layers that computed each token", patterns),
  );
  const tiles = facts
    .map(([name, value]) => `<div class="tile"><span>${escape(name)}</span><b>${escape(value)}</b></div>`)
    .join("");
  return `<!doctype html>
<!-- Made by modc. -->
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none';style-src 'unsafe-inline'">
<title>${escape(model)}: which layers computed which tokens</title>
<style>${STYLE}${OWN}${STRIPS}${patterns.css()}</style></head>
<body><main>
<h1>${escape(model)}</h1><p class="sub">generated on ${escape(device)}</p>
<div class="tiles">${tiles}</div>
<h2>Tokens and layers</h2>
${figures.join("\n")}
</main></body></html>
`;
}

function figure(text: HeatedText, title: string, patterns: Patterns): string {
  const { shown, layers, prompt } = text;
  const tokens = shown.map((token, i) => {
    const marks = layers.map((l) => l.marks[i] ?? null);
    const cssClass = i < prompt ? " g" : "";
    const known = marks.some((m) => m !== null);
    const heat = known ? (marks.filter((m) => m === 1).length / layers.length).toFixed(2) : "0";
    const said = known
      ? titleOf(i, marks, layers)
      : `token ${i}: ${i + 1 === shown.length ? "chosen last, not read" : "not known"}`;
    return (
      `<span class="k ${patterns.name(marks)}${cssClass}" style="--h:${heat}" ` +
      `title="${escape(said)}">${visible(token)}</span>${token.includes("\n") ? "<br>" : ""}`
    );
  });
  const names = layers.map(({ path, marks }) => {
    const known = marks.filter((m) => m !== null);
    const share = known.length === 0 ? null : known.filter((m) => m === 1).length / known.length;
    const bar =
      share === null
        ? `<b>not known</b>`
        : `<i style="width:${(100 * share).toFixed(2)}%"></i><b>${percent(share)}</b>`;
    return `<div class="row"><code>${escape(path)}</code><div><div class="bar c2">${bar}</div></div></div>`;
  });
  const legend = [
    `<span class="key"><i class="cell" style="background:var(--took)"></i>computed it</span>`,
    `<span class="key"><i class="cell" style="background:var(--skip)"></i>skipped it</span>`,
    ...(layers.some((l) => l.marks.slice(0, -1).includes(null))
      ? [`<span class="key"><i class="cell unknown"></i>not known</span>`]
      : []),
    `<span class="key"><span class="g">grey</span>the prompt</span>`,
  ];
  return `<figure class="heat"><figcaption><h3>${escape(title)}</h3><p class="note">Below each token its
  ${layers.length} layers, the first on top, as listed under the text; the stronger its shade, the more of them computed
  it. What they computed of a token chose the next one.</p><div class="legend">${legend.join("")}</div></figcaption>
<div class="flow">${tokens.join("")}</div>
<div class="shares">${names.join("\n")}</div></figure>${expertStrips(text.experts, shown)}`;
}

function titleOf(i: number, marks: readonly Mark[], layers: Heated["layers"]): string {
  const of = (mark: Mark): readonly string[] => layers.flatMap((l, n) => (marks[n] === mark ? [l.path] : []));
  const [took, unknown] = [of(1), of(null)];
  return (
    `token ${i}: ${took.length} of ${layers.length} ` +
    `layers${took.length > 0 && took.length < layers.length ? `: ${took.join(", ")}` : ""}` +
    (unknown.length > 0 ? `; not known of ${unknown.join(", ")}` : "")
  );
}

/** Makes a token visible: unprintable characters become a dot, a line end an arrow, and spaces keep their width. */
const visible = (token: string): string =>
  token === ""
    ? "&#8288;"
    : escape(token.replaceAll("\n", "↵").replaceAll(/[\p{Cc}\ufffd]/gu, "·")).replaceAll(" ", "&nbsp;");

/** Distinct combinations of marks, each with its CSS class. */
class Patterns {
  readonly #names = new Map<string, string>();

  name(marks: readonly Mark[]): string {
    const key = marks.map((m) => (m === null ? "n" : String(m))).join("");
    const name = this.#names.get(key) ?? `p${this.#names.size}`;
    this.#names.set(key, name);
    return name;
  }

  css(): string {
    return [...this.#names]
      .map(
        ([key, name]) =>
          `.${name}{--cells:${gradient(key)};padding-bottom:${key.length * (cellOf(key.length) + GAP) + 2}px}`,
      )
      .join("\n");
  }
}

const UNKNOWN = "color-mix(in srgb,var(--soft) 45%,transparent)";
const COLORS: ReadonlyMap<string, string> = new Map([
  ["1", "var(--took)"],
  ["0", "var(--skip)"],
  ["n", UNKNOWN],
]);

/** The CSS gradient, from the bottom upwards: the last layer first. */
function gradient(key: string): string {
  const cell = cellOf(key.length);
  const read = /[01]/.test(key);
  const stops = key
    .split("")
    .toReversed()
    .flatMap((mark, i) => {
      const from = i * (cell + GAP);
      return [
        `${read ? COLORS.get(mark)! : "transparent"} ${from}px ${from + cell}px`,
        `transparent ${from + cell}px ${from + cell + GAP}px`,
      ];
    });
  return `linear-gradient(to top,${[...stops, "transparent 0"].join(",")})`;
}

const OWN = `
.heat .flow{font:15px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;margin:10px 0 18px}
.heat+.heat{margin-top:12px}
.k{display:inline-block;vertical-align:top;min-width:7px;margin:0 1px 8px 0;
  background:var(--cells),
  linear-gradient(color-mix(in srgb,var(--took) calc(var(--h)*34%),transparent) 0 22px,transparent 0);
  background-repeat:no-repeat}
.g{color:var(--soft)}
.key i.cell{width:14px;height:8px}
.key i.unknown{background:${UNKNOWN}}
`;

/** Width of a token, height of each of its experts, in pixels; and the mixtures whose strips are drawn. */
const [TOKEN, HIGH] = [8, 10];
const DRAWN = 12;

/** The figure of a text; empty where it has no mixture. */
export function expertStrips(choices: readonly ChosenExperts[], shown: readonly string[]): string {
  if (choices.length === 0) return "";
  const more = choices.length - DRAWN;
  const drawn = choices.map((mixture, i) => {
    const load = mixtureLoad(mixture.path, { chosen: loadsOf(mixture), wished: null });
    const known = mixture.tokens.some((experts) => experts !== null);
    return (
      `<div class="row"><code>${escape(mixture.path)}</code><div><div class="cells keyed">${keys(mixture)}</div>` +
      `<div class="cells">${cells(load)}</div><p class="note">` +
      `${escape(known ? factsOf(load).join("; ") : "not known")}</p>` +
      `${i < DRAWN ? strip(mixture, shown) : ""}</div></div>`
    );
  });
  return `<figure class="shares experts"><figcaption><h3>Experts of each token</h3><p class="note">For each mixture: a
  colour for each expert; its load, the darker the more, dashed where no token chose it; and from left to
  right the experts of each token${more > 0 ? ` (of the first ${DRAWN} mixtures)` : ""}, none where it skipped the
  layer.</p></figcaption>
${drawn.join("\n")}</figure>`;
}

/** How many tokens have each expert. */
function loadsOf({ entries, tokens }: ChosenExperts): readonly number[] {
  const loads = Array.from({ length: entries }, () => 0);
  for (const experts of tokens) for (const e of experts ?? []) loads[e]!++;
  return loads;
}

const colourOf = (expert: number, entries: number): string =>
  `hsl(${Math.round((360 * expert) / entries)} 62% ${expert % 2 === 0 ? 46 : 64}%)`;

const keys = ({ entries }: ChosenExperts): string =>
  Array.from(
    { length: entries },
    (_, e) => `<i style="background:${colourOf(e, entries)}" title="expert ${e}"></i>`,
  ).join("");

function strip({ path, entries, tokens }: ChosenExperts, shown: readonly string[]): string {
  const most = tokens.reduce((n, experts) => Math.max(n, experts?.length ?? 0), 1);
  const columns = tokens.flatMap((experts, t) => {
    if (experts === null || experts.length === 0) return [];
    const rects = experts.map(
      (e, j) =>
        `<rect x="${t * TOKEN}" y="${j * HIGH}" width="${TOKEN - 1}" height="${HIGH - 1}" ` +
        `fill="${colourOf(e, entries)}"/>`,
    );
    const title = `token ${t} ${JSON.stringify(shown[t] ?? "")}: ${experts.join(", ")}`;
    return [`<g><title>${escape(title)}</title>${rects.join("")}</g>`];
  });
  const [width, height] = [tokens.length * TOKEN, most * HIGH];
  const known = tokens.filter((experts) => experts !== null).length;
  return (
    `<div class="wide-strip"><svg viewBox="0 0 ${width} ${height}" ` +
    `style="width:${width}px;height:${height}px" role="img" ` +
    `aria-label="experts of ${known} of ${tokens.length} tokens (${percent(known / tokens.length)}) in ` +
    `${escape(path)}">${columns.join("")}</svg></div>`
  );
}

const STRIPS = `
.experts{margin-top:12px}
.cells.keyed i{height:6px;border:0}
.cells+.cells{margin-top:2px}
.wide-strip{overflow-x:auto;margin:6px 0 4px}
`;

// Determines which layers computed which tokens of a generation, from the events of its steps and the contents of its
// caches.

/**
 * 1: the layer computed the token; 0: it did not; null: unknown, as the layer has no cache or the token was not read.
 */
type Mark = 0 | 1 | null;

export interface HeatedLayer {
  readonly path: string;
  /** One mark for each token, first for the tokens of the prompt. */
  readonly marks: readonly Mark[];
}

interface Heated {
  /** Number of tokens in the prompt. */
  readonly prompt: number;
  /** Layers in order of computation, then routes without attention. */
  readonly layers: readonly HeatedLayer[];
}

/** `taken`: for each axis, the positions of the tokens that took it, or null; `events`: the events of the sequence. */
export function heated(
  { axes, layers }: Pick<Generation, "axes" | "layers">,
  prompt: number,
  events: readonly Pick<GeneratedToken, "routes">[],
  taken: readonly (ArrayLike<number> | null)[],
): Heated {
  // The last token was chosen but not read.
  const read = prompt + events.length - 1;
  const byAxis = axes.map((_, i): readonly Mark[] => {
    const marks = Array<Mark>(read + 1).fill(null);
    const positions = taken[i] ?? null;
    if (positions !== null) {
      marks.fill(0, 0, read);
      for (const at of Array.from(positions)) if (at < read) marks[at] = 1;
      return marks;
    }
    events.forEach(({ routes }, n) => {
      if (routes) marks[prompt + n - 1] = routes[i] ? 1 : 0;
    });
    return marks;
  });
  const marksOf = (axis: string): readonly Mark[] => byAxis[axes.findIndex((a) => a.axis === axis)]!;
  const bare = axes.filter(({ axis, path }) => path !== "" && layers.every((l) => l.axis !== axis));
  return { prompt, layers: [...layers, ...bare].map(({ path, axis }) => ({ path, marks: marksOf(axis) })) };
}
