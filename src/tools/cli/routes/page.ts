// The page of `modc routes`: plots of a model's choices over a text. It asks nothing of anybody and runs no script.
import { escape, grouped, percent, STYLE } from "../../train/report-html.js";
import { nameOf } from "../train/evaluation.js";
import { extremes, KINDS, OFTEN, type RouteFound, type TokenFound, type RoutesReport } from "./statistics.js";

/** Tokens in each list. */
const LISTED = 40;

const OWN = `
.map{display:grid;gap:2px 12px;grid-template-columns:max-content 1fr max-content;align-items:center;font-size:13px}
.map .strip{display:flex;height:18px}
.map .strip i{flex:1;background:color-mix(in srgb,var(--took) calc(var(--h)*100%),var(--skip))}
.map b{font-weight:500;font-variant-numeric:tabular-nums}
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
th,td{padding:3px 12px 3px 0;text-align:right;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{text-align:left}
.words code{display:inline-block;margin:2px;padding:1px 6px;border-radius:4px;border:1px solid var(--line);
  background:color-mix(in srgb,var(--took) calc(var(--h)*55%),transparent);white-space:pre}
`;

export function routesPage(report: RoutesReport): string {
  const { model, rule, tokens, loss, routes, kinds, depths, agreement, against, often, textOf, entropies } = report;
  const seen = entropies.reduce((sum, at) => sum + at.tokens, 0);
  const present = KINDS.filter((kind) => kinds[kind] > 0);
  const agrees = new Map(agreement.map(({ path, agrees: share }) => [path, share]));
  const mean = routes.reduce((sum, { share }) => sum + share, 0) / routes.length;
  const { most, least } = extremes(often, LISTED);
  const tiles = [
    ["tokens", grouped(tokens)],
    ["loss", loss.toFixed(4)],
    ["routes", String(routes.length)],
    ["computed, on average", percent(mean)],
  ];
  const shown = tiles.map(([name, value]) => `<div class="tile"><span>${name}</span><b>${value}</b></div>`).join("");
  const figures = [
    figure(
      "Shares along a sequence",
      "from the first position to the last; darker: more tokens computed",
      positionCells(routes),
    ),
    figure(
      "Tokens by how many routes compute them",
      `of ${routes.length}`,
      bars(depths.map((share, depth) => [String(depth), share])),
    ),
    ...(entropies.length > 0
      ? [
          figure(
            "Uncertainty by how many routes compute a token",
            `mean entropy of the predicted next token, in bits; over ${grouped(seen)} tokens`,
            amounts(entropies.flatMap(({ depth, bits }) => (bits === null ? [] : [[String(depth), bits] as const]))),
          ),
        ]
      : []),
    figure(
      "By kind of token",
      "share of each kind's tokens that each route computes",
      grid(
        ["", ...present],
        [
          ["share of the text", ...present.map((kind) => percent(kinds[kind]))],
          ...routes.map(({ path, byKind }) => [path, ...present.map((kind) => percent(byKind[kind]!))]),
        ],
      ),
    ),
    figure(
      "Information in the choice",
      "bits of the choice for each token; the part that the token alone decides, without its context",
      grid(
        ["", "computes", "bits", "by the token", ...(agrees.size > 0 ? ["rules agree"] : [])],
        routes.map(({ path, share, entropy, byToken }) => [
          path,
          percent(share),
          entropy.toFixed(3),
          entropy === 0 ? "–" : percent(byToken / entropy),
          ...(agrees.size > 0 ? [agrees.has(path) ? percent(agrees.get(path)!) : "–"] : []),
        ]),
      ),
    ),
    ...(against
      ? [
          figure(
            `Against ${against.weights}`,
            `loss ${against.loss.toFixed(4)}; tokens that only one of the two computes`,
            grid(
              ["", "computes", "there", "chosen otherwise"],
              against.routes.map(({ path, before, after, changed }) => [
                path,
                percent(before),
                percent(after),
                percent(changed),
              ]),
            ),
          ),
        ]
      : []),
    figure("Computed most", `of tokens seen ${OFTEN} times or more`, words(most, textOf)),
    figure("Computed least", "of the same", words(least, textOf)),
  ];
  return `<!doctype html>
<!-- Made by modc. -->
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none';style-src 'unsafe-inline'">
<title>${escape(model)}: which tokens its routes compute</title>
<style>${STYLE}${OWN}</style></head>
<body><main>
<h1>${escape(model)}</h1><p class="sub">which tokens its routes compute, by ${escape(nameOf(rule))}</p>
<div class="tiles">${shown}</div>
<h2>Routes</h2>
${figures.join("\n")}
</main></body></html>
`;
}

const figure = (title: string, note: string, body: string): string =>
  `<figure style="margin-top:12px"><figcaption><h3>${escape(title)}</h3><p class="note">${escape(note)}</p>` +
  `</figcaption>${body}</figure>`;

const positionCells = (routes: readonly RouteFound[]): string =>
  `<div class="map">${routes
    .map(
      ({ path, share, byPlace }) =>
        `<code>${escape(path)}</code><span class="strip" role="img" aria-label="shares from first to last: ` +
        `${byPlace.map((s) => percent(s)).join(", ")}">${byPlace
          .map((s) => `<i style="--h:${s.toFixed(3)}" title="${percent(s)}"></i>`)
          .join("")}</span><b>${percent(share)}</b>`,
    )
    .join("")}</div>`;

type Rows = readonly (readonly [name: string, value: number])[];

const bars = (rows: Rows): string => drawn(rows, (share) => share, percent);

/** Bars against the longest. */
const amounts = (rows: Rows): string => {
  const most = Math.max(...rows.map(([, value]) => value));
  return drawn(
    rows,
    (value) => (most === 0 ? 0 : value / most),
    (value) => value.toFixed(2),
  );
};

const drawn = (rows: Rows, lengthOf: (value: number) => number, shown: (value: number) => string): string =>
  `<div class="map">${rows
    .map(
      ([name, value]) =>
        `<span>${name}</span><span class="bar c2" style="padding:0">` +
        `<i style="width:${(100 * lengthOf(value)).toFixed(1)}%"></i></span><b>${shown(value)}</b>`,
    )
    .join("")}</div>`;

const grid = (heading: readonly string[], rows: readonly (readonly string[])[]): string =>
  `<table><tr>${heading.map((cell) => `<th>${escape(cell)}</th>`).join("")}</tr>${rows
    .map((row) => `<tr>${row.map((cell) => `<td>${escape(cell)}</td>`).join("")}</tr>`)
    .join("")}</table>`;

const words = (found: readonly TokenFound[], textOf: (token: number) => string): string =>
  `<p class="words">${found
    .map(
      ({ token, seen, share }) =>
        `<code style="--h:${share.toFixed(3)}" title="${percent(share)} of ${grouped(seen)}">` +
        `${escape(JSON.stringify(textOf(token)).slice(1, -1))}</code>`,
    )
    .join("")}</p>`;
