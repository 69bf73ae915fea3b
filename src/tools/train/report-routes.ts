// The routes and experts of a model in the report: the share of tokens that each layer computes, the computed tokens of
// a passage, and the load of each expert.
import type { Passage } from "./events.js";
import type { Rule } from "./types.js";
import { escape, percent } from "./report-html.js";
import { LoadWarnings, type LoadWindow, type MixtureLoad } from "./loads.js";

const NAMES: { readonly [R in Rule]: string } = { "top-k": "top-k", causal: "causal rule" };

/** A bar chart of the share of tokens each routed layer computes, under each rule. */
export function shareBars(shares: ReadonlyMap<Rule, Readonly<Record<string, number>>>): string {
  const paths = [...new Set([...shares.values()].flatMap((byPath) => Object.keys(byPath)))];
  if (paths.length === 0) return "";
  const rows = paths.map((path) => {
    const bars = [...shares].flatMap(([rule, byPath]) => {
      const share = byPath[path];
      if (share === undefined) return [];
      return [
        `<div class="bar ${rule === "causal" ? "c3" : "c2"}"><i ` +
          `style="width:${(100 * Math.min(1, share)).toFixed(2)}%"></i><b>${percent(share)}</b></div>`,
      ];
    });
    return `<div class="row"><code>${escape(path)}</code><div>${bars.join("")}</div></div>`;
  });
  const legend = [...shares.keys()]
    .map((rule) => `<span class="key ${rule === "causal" ? "c3" : "c2"}"><i></i>${NAMES[rule]}</span>`)
    .join("");
  return (
    `<figure class="shares"><figcaption><h3>Share of tokens that each routed layer computes</h3><p ` +
    `class="note">over the validation windows, at the last validation</p><div ` +
    `class="legend">${legend}</div></figcaption>${rows.join("\n")}</figure>`
  );
}

/**
 * The passage as text, with a token shaded darker the more layers compute it, and below it a row for each layer under
 * each rule. `shown`: the tokens' texts.
 */
export function heatMap({ routes }: Passage, shown: readonly string[]): string {
  if (routes.length === 0 || shown.length === 0) return "";
  const rules = [...new Set(routes.map((r) => r.rule))];
  const main = rules.includes("causal") ? "causal" : rules[0]!;
  const layers = routes.filter((r) => r.rule === main);
  const heat = shown.map((_, i) => layers.reduce((n, r) => n + (r.mask[i] ?? 0), 0));
  const text = shown
    .map(
      (token, i) =>
        `<span style="--h:${(heat[i]! / layers.length).toFixed(2)}" ` +
        `title="${title(i, layers)}">${visible(token)}</span>`,
    )
    .join("");
  const legend = Array.from(
    { length: layers.length + 1 },
    (_, n) => `<span class="key"><i class="heat" style="--h:${(n / layers.length).toFixed(2)}"></i>${n}</span>`,
  ).join("");
  const strips = rules.map((rule) => stripes(rule, routes, shown.length)).join("\n");
  return `<figure class="passage"><figcaption><h3>Which tokens are worth computing</h3><p class="note">The beginning of
  the validation text, by the ${NAMES[main]}: how many of ${layers.length} routed
  ${layers.length === 1 ? "layer" : "layers"} compute a token.${agreement(routes)}</p><div
  class="legend">${legend}</div></figcaption>
<div class="text">${text}</div>
${strips}</figure>`;
}

const title = (i: number, layers: Passage["routes"]): string => {
  const computing = layers.filter((r) => r.mask[i]).map((r) => r.path);
  return escape(`token ${i}: ${computing.length === 0 ? "skipped by all" : computing.join(", ")}`);
};

/** Makes a token visible: a line end is shown and kept; other unprintable characters become a dot. */
function visible(token: string): string {
  return escape(token.replaceAll(/[\p{Cc}\ufffd]/gu, (c) => (c === "\n" ? "\n" : "·"))).replaceAll(
    "\n",
    "<em>↵</em>\n",
  );
}

/** A row of cells for each layer, with tokens from left to right. */
function stripes(rule: Rule, routes: Passage["routes"], tokens: number): string {
  const ofRule = routes.filter((r) => r.rule === rule);
  const [cell, high, gap] = [4, 18, 4];
  const height = ofRule.length * (high + gap);
  const rects = ofRule.flatMap((route, row) => [
    `<rect class="skip" x="0" y="${row * (high + gap)}" width="${tokens * cell}" height="${high}"/>`,
    ...runs(route.mask).map(
      ([from, to]) =>
        `<rect class="took" x="${from * cell}" y="${row * (high + gap)}" width="${(to - from) * cell}" ` +
        `height="${high}"/>`,
    ),
  ]);
  const names = ofRule
    .map(
      (route) =>
        `<div><code>${escape(route.path)}</code><b>${percent(route.mask.reduce((a, b) => a + b, 0) / tokens)}` +
        "</b></div>",
    )
    .join("");
  return (
    `<div class="stripes"><h4>${NAMES[rule]}</h4><div class="names" ` +
    `style="grid-auto-rows:${high + gap}px">${names}</div><svg viewBox="0 0 ${tokens * cell} ${height}" ` +
    `preserveAspectRatio="none" style="height:${height}px" role="img" aria-label="chosen tokens by layer, ` +
    `${NAMES[rule]}">${rects.join("")}</svg></div>`
  );
}

/** Runs of consecutive chosen tokens, as start and end. */
function runs(mask: readonly number[]): readonly (readonly [number, number])[] {
  const found: [number, number][] = [];
  for (let i = 0; i < mask.length; i++) {
    if (!mask[i]) continue;
    const last = found.at(-1);
    if (last && last[1] === i) last[1] = i + 1;
    else found.push([i, i + 1]);
  }
  return found;
}

/** The share of tokens on which both rules agree. */
function agreement(routes: Passage["routes"]): string {
  let [same, all] = [0, 0];
  for (const a of routes.filter((r) => r.rule === "causal")) {
    const b = routes.find((r) => r.rule === "top-k" && r.path === a.path);
    if (!b) continue;
    all += a.mask.length;
    same += a.mask.reduce((n, x, i) => n + (x === b.mask[i] ? 1 : 0), 0);
  }
  return all === 0 ? "" : ` Top-k agrees on ${percent(same / all)} of them.`;
}

// The load of experts in the report: a row of cells for each mixture, one cell per expert, darker for a larger share of
// choices.

/** A window of loads, and the step at its end. */
export type ReportedLoads = LoadWindow & { readonly step: number };

export function expertLoads(loads: ReportedLoads): string {
  const { over, mixtures } = loads;
  const said = new LoadWarnings().of(loads);
  const rows = mixtures.map(
    (route) =>
      `<div class="row"><code>${escape(route.path)}</code><div><div class="cells">${cells(route)}</div>` +
      `<p class="note">${escape(factsOf(route).join("; "))}</p></div></div>`,
  );
  const legend = [0, 1, 2]
    .map((n) => `<span class="key"><i class="heat" style="--h:${n / 2}"></i>${n === 2 ? "2 or more" : n}</span>`)
    .join("");
  return `${said === null ? "" : `<p class="warning">${escape(said)}</p>`}
<figure class="shares experts"><figcaption><h3>Load of each expert</h3><p class="note">its choices over the last ${over}
${over === 1 ? "step" : "steps"}, divided by the mean of its mixture</p><div
class="legend">${legend}</div></figcaption>${rows.join("\n")}</figure>`;
}

/** A cell for each expert. */
export const cells = ({ shares, idle }: MixtureLoad): string =>
  shares
    .map(
      (share, e) =>
        `<i class="${idle.includes(e) ? "idle" : "load"}" ` +
        `style="--h:${Math.min(1, (share * shares.length) / 2).toFixed(2)}" ` +
        `title="expert ${e}: ${percent(share)} of the choices"></i>`,
    )
    .join("");

/** Facts of a mixture: its largest load, idle experts, dropped choices. */
export function factsOf({ shares, largest, idle, dropped }: MixtureLoad): readonly string[] {
  const most = shares.indexOf(Math.max(...shares));
  return [
    `expert ${most} has ${largest.toFixed(2)} times the mean`,
    ...(idle.length === 0 ? [] : [`${idle.length} of ${shares.length} got nothing`]),
    ...(dropped === null ? [] : [`${percent(dropped)} of the choices dropped`]),
  ];
}
