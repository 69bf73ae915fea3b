// A self-contained HTML page that shows which layers computed which tokens of generated texts.
import { escape, percent } from "../../train/report/html.js";
import { STYLE } from "../../train/report/style.js";
import type { ChosenExperts } from "../../../generation/generate/chosen-experts.js";
import { expertStrips, STRIPS } from "./expert-strips.js";
import type { Heated, Mark } from "./heated.js";

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
    const place = i < prompt ? " g" : "";
    const known = marks.some((m) => m !== null);
    const heat = known ? (marks.filter((m) => m === 1).length / layers.length).toFixed(2) : "0";
    const said = known
      ? titleOf(i, marks, layers)
      : `token ${i}: ${i + 1 === shown.length ? "chosen last, not read" : "not known"}`;
    return (
      `<span class="k ${patterns.name(marks)}${place}" style="--h:${heat}" ` +
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
