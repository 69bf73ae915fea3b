// Counters and histograms in Prometheus's text format 0.0.4.

export type Labels = Readonly<Record<string, string>>;

export interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  lines(): readonly string[];
}

const line = (name: string, labels: Labels, value: number): string => {
  const inner = Object.entries(labels).map(([key, text]) => `${key}="${escaped(text)}"`);
  return `${name}${inner.length === 0 ? "" : `{${inner.join(",")}}`} ${numberText(value)}`;
};

const escaped = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");

const numberText = (value: number): string =>
  Number.isFinite(value) ? String(value) : Number.isNaN(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf";

export class Counter implements Metric {
  readonly type = "counter";
  readonly name: string;
  readonly help: string;
  readonly #values = new Map<string, { readonly labels: Labels; value: number }>();

  /** `known`: series that stand there from the beginning, at 0. */
  constructor(name: string, help: string, known: readonly Labels[] = []) {
    this.name = name;
    this.help = help;
    for (const labels of known) this.add(0, labels);
  }

  add(value: number, labels: Labels = {}): void {
    const key = JSON.stringify(labels);
    const series = this.#values.get(key);
    if (series) series.value += value;
    else this.#values.set(key, { labels, value });
  }

  lines(): readonly string[] {
    return [...this.#values.values()].map(({ labels, value }) => line(this.name, labels, value));
  }
}

/** A value that is read when it is asked for. */
export class Gauge implements Metric {
  readonly type = "gauge";

  constructor(
    readonly name: string,
    readonly help: string,
    readonly read: () => readonly (readonly [Labels, number])[],
  ) {}

  lines(): readonly string[] {
    return this.read().map(([labels, value]) => line(this.name, labels, value));
  }
}

export class Histogram implements Metric {
  readonly type = "histogram";
  readonly #series = new Map<string, { readonly labels: Labels; readonly counts: number[]; sum: number }>();

  /** `bounds`: upper limits of buckets, ascending; one more has all. */
  constructor(
    readonly name: string,
    readonly help: string,
    readonly bounds: readonly number[],
    known: readonly Labels[] = [],
  ) {
    for (const labels of known) this.#of(labels);
  }

  #of(labels: Labels): { readonly counts: number[]; sum: number } {
    const key = JSON.stringify(labels);
    let series = this.#series.get(key);
    if (!series)
      this.#series.set(key, (series = { labels, counts: Array<number>(this.bounds.length + 1).fill(0), sum: 0 }));
    return series;
  }

  observe(value: number, labels: Labels = {}): void {
    const series = this.#of(labels);
    const found = this.bounds.findIndex((bound) => value <= bound);
    series.counts[found < 0 ? this.bounds.length : found]!++;
    series.sum += value;
  }

  lines(): readonly string[] {
    return [...this.#series.values()].flatMap(({ labels, counts, sum }) => {
      let below = 0;
      const buckets = counts.map((n, i) => {
        below += n;
        return line(`${this.name}_bucket`, { ...labels, le: numberText(this.bounds[i] ?? Infinity) }, below);
      });
      return [...buckets, line(`${this.name}_sum`, labels, sum), line(`${this.name}_count`, labels, below)];
    });
  }
}

/** The page of all metrics. */
export const exposition = (metrics: readonly Metric[]): string =>
  metrics
    .map((metric) =>
      [`# HELP ${metric.name} ${metric.help}`, `# TYPE ${metric.name} ${metric.type}`, ...metric.lines(), ""].join(
        "\n",
      ),
    )
    .join("");
