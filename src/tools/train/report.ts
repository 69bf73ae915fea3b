// The report of a run as one self-contained HTML page: it needs no network and no other file.
import type { Passage } from "./events.js";
import { unskipping, unskippingText, type SkippingSettings } from "./skipping.js";
import type { Rule } from "./types.js";
import { lineChart, type ChartOptions, type Series } from "./report-chart.js";
import { briefly, duration, escape, grouped, percent, short, SCRIPT, STYLE } from "./report-html.js";
import { expertLoads, type ReportedLoads, heatMap, shareBars } from "./report-routes.js";

/** A value over steps. Each point has the mean, minimum and maximum of a group of steps. */
export interface Curve {
  readonly points: readonly { readonly x: number; readonly y: number; readonly low: number; readonly high: number }[];
}

/** A loss as pages show it: in bits per byte of text, or in nats if it is not of a text. */
export type LossUnit = "bits per byte of text" | "nats";

/** A validation as the page shows it. */
export interface ReportedValidation {
  readonly step: number;
  /** Whether the validation could be the best: live parameters had their final values. */
  readonly counts: boolean;
  /** In the unit of the report, by rule. */
  readonly loss: ReadonlyMap<Rule, number>;
  readonly shares: ReadonlyMap<Rule, Readonly<Record<string, number>>>;
}

/** A continuation of a prompt with the weights of a step. */
export interface ReportedSample {
  readonly step: number;
  readonly prompt: string;
  readonly text: string;
}

export interface ReportData {
  readonly model: string;
  readonly parameters: Readonly<Record<string, string>>;
  readonly settings: Readonly<Record<string, string | number | boolean>> & SkippingSettings;
  /** Number of steps done, and in total. */
  readonly step: number;
  readonly steps: number;
  readonly tokens: number;
  readonly seconds: number;
  /** Averages over the last steps. */
  readonly tokensPerSecond: number;
  readonly computedShare: number;
  readonly unit: LossUnit;
  readonly loss: Curve;
  readonly learningRate: Curve;
  readonly gradientNorm: Curve;
  readonly speed: Curve;
  readonly live: ReadonlyMap<string, Curve>;
  /** Agreement of each predictor with its router. */
  readonly agreement: ReadonlyMap<string, Curve>;
  /** For each mixture, the largest load of an expert over the mean load. */
  readonly imbalance: ReadonlyMap<string, Curve>;
  /** The latest loads of experts; null: there are none. */
  readonly loads: ReportedLoads | null;
  readonly validations: readonly ReportedValidation[];
  readonly samples: readonly ReportedSample[];
  readonly passage: Passage | null;
  /** Texts of the passage's tokens. */
  readonly shown: readonly string[];
  /** Whether the run has ended by itself: at the last step, or early. */
  readonly finished: boolean;
}

const RULES = [
  ["top-k", "validation, top-k", "c2"],
  ["causal", "validation, causal rule", "c3"],
] as const;

export function renderReport(data: ReportData): string {
  const last = data.validations.at(-1);
  const banded = data.loss.points.some((p) => p.low !== p.high);
  const sections = [
    lineChart({
      id: "loss",
      title: "Loss",
      note: `${data.unit}${banded ? "; the band spans the steps drawn at one position" : ""}`,
      series: lossSeries(data),
      width: 1040,
      height: 360,
      until: data.steps,
      format: (y) => y.toFixed(3),
    }),
    `<div class="grid2">${smallCharts(data).join("\n")}</div>`,
    ...(last && [...last.shares.values()].some((s) => Object.keys(s).length > 0)
      ? [
          "<h2>Routing</h2>",
          warning(last, data.settings),
          shareBars(last.shares),
          `<div style="height:12px"></div>`,
          data.passage ? heatMap(data.passage, data.shown) : "",
        ]
      : []),
    ...(data.loads ? ["<h2>Experts</h2>", expertLoads(data.loads)] : []),
    ...(data.samples.length > 0 ? ["<h2>Samples</h2>", sampleTable(data.samples)] : []),
    "<h2>How it was trained</h2>",
    "<details open><summary>Model and settings</summary><div " +
      `class="tables">${table(data.parameters)}${table(data.settings)}</div></details>`,
  ];
  const ended = data.step < data.steps ? "stopped early" : "finished";
  const state = data.finished ? ended : data.step < data.steps ? "in progress" : "all steps done";
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy"
content="default-src 'none';style-src 'unsafe-inline';script-src 'unsafe-inline'">
<title>${escape(data.model)}: training report</title><style>${STYLE}</style></head>
<body><main>
<h1>${escape(data.model)}</h1><p class="sub">step ${grouped(data.step)} of ${grouped(data.steps)}, ${state}</p>
<div class="tiles">${tiles(data).join("")}</div>
<h2>Training</h2>
${sections.filter((s) => s !== "").join("\n")}
</main><script>${SCRIPT}</script></body></html>
`;
}

const sampleTable = (samples: readonly ReportedSample[]): string =>
  `<figure class="passage"><table>${samples
    .map(
      ({ step, prompt, text }) =>
        `<tr><td>step ${grouped(step)}</td>` +
        `<td><div class="text"><em>${escape(prompt)}</em>${escape(text)}</div></td></tr>`,
    )
    .join("")}</table></figure>`;

/** The warning about predictors that have not learned to skip, from the last validation. */
function warning({ shares, counts }: ReportedValidation, settings: SkippingSettings): string {
  const text = counts ? unskippingText(unskipping(Object.fromEntries(shares)), settings) : null;
  return text === null ? "" : `<p class="warning">${escape(text)}</p>`;
}

function tiles(data: ReportData): readonly string[] {
  const tile = (name: string, value: string, note = ""): string =>
    `<div class="tile"><span>${escape(name)}</span><b>${escape(value)}</b>` +
    `${note === "" ? "" : `<small>${escape(note)}</small>`}</div>`;
  const last = data.validations.at(-1);
  const routed = data.computedShare < 1;
  const found = RULES.flatMap(([rule, name]) => {
    const now = last?.loss.get(rule);
    if (now === undefined) return [];
    const counted = data.validations.flatMap((v) =>
      v.counts && v.loss.has(rule) ? [{ step: v.step, y: v.loss.get(rule)! }] : [],
    );
    const best = counted.length === 0 ? null : counted.reduce((a, b) => (b.y < a.y ? b : a));
    const note =
      best === null ? "live parameters still change" : `best ${best.y.toFixed(3)} at step ${grouped(best.step)}`;
    return [tile(routed ? name : "validation", now.toFixed(3), `${data.unit}; ${note}`)];
  });
  return [
    ...found,
    tile("trained on", short(data.tokens), `tokens in ${duration(data.seconds)}`),
    tile("speed", `${short(data.tokensPerSecond)}/s`, "tokens, over the last steps"),
    ...(routed ? [tile("computed", percent(data.computedShare), "of the tokens in routed layers")] : []),
  ];
}

function lossSeries(data: ReportData): readonly Series[] {
  const routed = data.validations.some((v) => v.loss.has("causal"));
  return [
    { name: "training", color: "c1", points: data.loss.points },
    ...RULES.map(([rule, name, color]) => ({
      name: routed ? name : "validation",
      color,
      dots: true,
      points: data.validations.flatMap((v) => (v.loss.has(rule) ? [{ x: v.step, y: v.loss.get(rule)! }] : [])),
    })),
  ];
}

const COLORS = ["c2", "c3", "c4", "c5", "c6", "c1"] as const;

function smallCharts(data: ReportData): readonly string[] {
  const small = { width: 510, height: 220, until: data.steps };
  const mean = ({ points }: Curve): Series["points"] => points.map(({ x, y }) => ({ x, y }));
  const lines = (curves: ReadonlyMap<string, Curve>): readonly Series[] =>
    [...curves].slice(0, COLORS.length).map(([name, curve], i) => ({ name, color: COLORS[i]!, points: mean(curve) }));
  const beyond = (curves: ReadonlyMap<string, Curve>): { readonly note?: string } =>
    curves.size > COLORS.length ? { note: `the first ${COLORS.length} of ${curves.size}` } : {};
  const charts: readonly Omit<ChartOptions, "width" | "height" | "until">[] = [
    {
      id: "agreement",
      title: "Predictor against router",
      series: lines(data.agreement),
      format: percent,
      tick: wholePercent,
      atLeast: 1,
      ...beyond(data.agreement),
    },
    {
      id: "shares",
      title: "Tokens computed by each routed layer",
      series: shareSeries(data.validations),
      format: percent,
      tick: wholePercent,
      fromZero: true,
    },
    {
      id: "imbalance",
      title: "Largest load of an expert, relative to the mean",
      series: lines(data.imbalance),
      fromZero: true,
      ...beyond(data.imbalance),
    },
    { id: "live", title: "Live parameters", series: lines(data.live), fromZero: true, ...beyond(data.live) },
    {
      id: "norm",
      title: "Norm of the gradients, before clipping",
      series: [{ name: "norm", color: "c4", points: data.gradientNorm.points }],
      log: true,
    },
    {
      id: "rate",
      title: "Learning rate",
      series: [{ name: "rate", color: "c5", points: mean(data.learningRate) }],
      fromZero: true,
    },
    {
      id: "speed",
      title: "Tokens a second",
      series: [{ name: "tokens/s", color: "c6", points: data.speed.points }],
      fromZero: true,
      clip: true,
      format: short,
      tick: briefly,
    },
  ];
  const shown = charts.filter(({ series }) => series.some((s) => s.points.length > 0));
  // The last of an odd number of charts has double width.
  return shown.map((chart, i) =>
    lineChart(
      i === shown.length - 1 && i % 2 === 0 ? { ...small, ...chart, width: 1040, wide: true } : { ...small, ...chart },
    ),
  );
}

const wholePercent = (share: number): string => `${Number((100 * share).toPrecision(3))}%`;

/** Shares of tokens over the validations, by the deciding rule. */
function shareSeries(validations: readonly ReportedValidation[]): readonly Series[] {
  const shares = validations.map((v) => ({ x: v.step, of: v.shares.get("causal") ?? v.shares.get("top-k") ?? {} }));
  const paths = Object.keys(shares.at(-1)?.of ?? {}).slice(0, COLORS.length);
  return paths.map((path, i) => ({
    name: path,
    color: COLORS[i]!,
    dots: true,
    points: shares.flatMap(({ x, of }) => (of[path] === undefined ? [] : [{ x, y: of[path] }])),
  }));
}

const table = (values: Readonly<Record<string, string | number | boolean>>): string =>
  `<table>${Object.entries(values)
    .map(
      ([name, value]) =>
        `<tr><td>${escape(name)}</td><td><code>` +
        `${escape(typeof value === "number" ? String(Number(value.toPrecision(12))) : String(value))}</code></td></tr>`,
    )
    .join("")}</table>`;
