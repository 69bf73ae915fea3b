// A comparison of runs, and its page: validation and training loss over operations, tokens and time.
import { lineChart, type ChartOptions, type Series } from "./report-chart.js";
import { briefly, escape, grouped, SCRIPT, STYLE } from "./report-html.js";
import type { Curve, LossUnit } from "./report.js";
import type { Rule } from "./types.js";

/** The horizontal axes over which losses are compared: sums over all steps so far. */
export const COMPARED_OVER = ["operations", "tokens", "seconds"] as const;
export type ComparedOver = (typeof COMPARED_OVER)[number];

/** What a run took up to a step. */
export type Spent = Readonly<Record<ComparedOver, number>>;

/** A validation of a compared run. */
export interface ComparedValidation {
  readonly step: number;
  /** Whether it was the best validation so far that counts. */
  readonly best: boolean;
  /** Mean loss of a token by each rule that was evaluated, in nats. */
  readonly loss: { readonly [R in Rule]?: number };
  /** By the rule that decides: the causal rule if it was evaluated. */
  /** Null if the loss is not of a text. */
  readonly bitsPerByte: number | null;
  /** The loss as pages show it, by the rule that decides. */
  readonly shown: number;
  readonly unit: LossUnit;
  /** Mean share of tokens that routed layers compute by the same rule; 1 without routed layers. */
  readonly computedShare: number;
  readonly at: Spent;
}

export interface ComparedRun {
  /** Whether the model chooses tokens. */
  readonly routed: boolean;
  /** The folder, as it was named. */
  readonly run: string;
  readonly model: string;
  /** Number of values of all weights. */
  readonly parameters: number;
  /** Number of steps done, and in total. */
  readonly step: number;
  readonly steps: number;
  /** All steps together: floating-point operations of training, tokens, and seconds of steps. */
  readonly spent: Spent;
  /** Bytes on the device; null: the checkpoint does not record them. */
  readonly memory: number | null;
  /** The best validation; the last if none counts; null: there is none. */
  readonly validation: ComparedValidation | null;
  readonly validations: readonly ComparedValidation[];
  /** Bits per byte of the steps, by what the run took. */
  readonly training: Readonly<Record<ComparedOver, Curve>>;
}

/** A parameter or setting whose values differ between runs. */
export interface Difference {
  /** The parameter's name, or the option's flag. */
  readonly name: string;
  /** The value in each run, in their order; null: the run has none. */
  readonly values: readonly (string | null)[];
}

export interface Comparison {
  readonly runs: readonly ComparedRun[];
  readonly differences: readonly Difference[];
}

/** The colours of runs, in their order. */
const COLORS = ["c2", "c3", "c4", "c5", "c6", "c1"] as const;

/** The most runs that a page shows, each with a colour of its own. */
export const MOST_ON_PAGE = COLORS.length;

const AXES: Readonly<Record<ComparedOver, NonNullable<ChartOptions["axis"]>>> = {
  operations: { name: "FLOPs", format: briefly },
  tokens: { name: "tokens", format: briefly },
  seconds: { name: "seconds", format: (x) => (x >= 1000 ? grouped(x) : String(Number(x.toPrecision(3)))) },
};
const TITLES: Readonly<Record<ComparedOver, string>> = {
  operations: "operations of training",
  tokens: "tokens",
  seconds: "time",
};

/** A table with a heading for each column. */
export interface PageTable {
  readonly headings: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** Whether a run chooses tokens, so that its losses depend on the rule. */
export const haveRules = (runs: readonly ComparedRun[]): boolean =>
  runs.some(({ routed, validations }) => routed || validations.some(({ loss }) => loss.causal !== undefined));

/** One self-contained HTML page: the tables, then a chart of each loss over each axis. */
export function comparisonPage({ runs }: Comparison, tables: readonly PageTable[]): string {
  const most = (over: ComparedOver): number => Math.max(...runs.map(({ spent }) => spent[over]));
  const series = (points: (run: ComparedRun) => Series["points"], dots: boolean): readonly Series[] =>
    runs.map((run, i) => ({ name: run.run, color: COLORS[i]!, dots, points: points(run) }));
  const unit = runs[0]?.validations[0]?.unit ?? "bits per byte of text";
  const charts = COMPARED_OVER.flatMap((over): readonly string[] => {
    const shape = { until: most(over), axis: AXES[over], format: (y: number) => y.toFixed(3) };
    const validation = lineChart({
      ...shape,
      id: `validation-${over}`,
      title: `Validation loss over ${TITLES[over]}`,
      note: haveRules(runs)
        ? `${unit}, by the rule that decides: the causal rule if the model has routed layers`
        : unit,
      series: series((run) => run.validations.map((v) => ({ x: v.at[over], y: v.shown })), true),
      width: 1040,
      height: 360,
      wide: true,
    });
    const training = lineChart({
      ...shape,
      id: `training-${over}`,
      title: `Training loss over ${TITLES[over]}`,
      note: haveRules(runs) ? `${unit}, by top-k` : unit,
      series: series((run) => run.training[over].points.map(({ x, y }) => ({ x, y })), false),
      width: 1040,
      height: 260,
      wide: true,
    });
    return [validation, training];
  });
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy"
content="default-src 'none';style-src 'unsafe-inline';script-src 'unsafe-inline'">
<title>Comparison of ${runs.length} runs</title><style>${STYLE}</style></head>
<body><main>
<h1>Comparison of ${runs.length} runs</h1>
${tables.map(htmlTable).join("\n")}
<h2>Losses</h2>
<div class="grid2">${charts.join("\n")}</div>
</main><script>${SCRIPT}</script></body></html>
`;
}

const htmlTable = ({ headings, rows }: PageTable): string =>
  `<table><tr>${headings.map((text) => `<th>${escape(text)}</th>`).join("")}</tr>${rows
    .map((row) => `<tr>${row.map((text) => `<td>${escape(text)}</td>`).join("")}</tr>`)
    .join("")}</table>`;
