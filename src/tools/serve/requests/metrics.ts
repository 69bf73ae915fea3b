// What a server counts: the engine tells it as it happens, and `/metrics` shows it.
import type { Engine, EngineObserver, Outcome, RequestUse } from "../../../generation/engine/index.js";

// Counters and histograms in Prometheus's text format 0.0.4.

export type Labels = Readonly<Record<string, string>>;

interface Metric {
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

class Counter implements Metric {
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
class Gauge implements Metric {
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

class Histogram implements Metric {
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
const exposition = (metrics: readonly Metric[]): string =>
  metrics
    .map((metric) =>
      [`# HELP ${metric.name} ${metric.help}`, `# TYPE ${metric.name} ${metric.type}`, ...metric.lines(), ""].join(
        "\n",
      ),
    )
    .join("");

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60] as const;
const BETWEEN = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5] as const;
const SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256] as const;
const KINDS = [{ kind: "prompt" }, { kind: "step" }] as const;
const OUTCOMES = [{ outcome: "finished" }, { outcome: "cancelled" }, { outcome: "failed" }] as const;

/** Give it to the engine as its observer, and to the server. */
export class Metrics implements EngineObserver {
  readonly #http = new Counter("modc_http_requests_total", "Answered requests, by path and status.");
  readonly #ended = new Counter("modc_texts_total", "Finished sequences, by outcome.", OUTCOMES);
  readonly #read = new Counter("modc_tokens_read_total", "Tokens read, by kind of run.", KINDS);
  readonly #given = new Counter("modc_tokens_generated_total", "Generated tokens.", [{}]);
  readonly #cached = new Counter("modc_prompt_tokens_cached_total", "Prompt tokens found in the cache.", [{}]);
  readonly #route = new Counter("modc_route_tokens_total", 'Tokens that took each route; "" counts all tokens.');
  readonly #flops = new Counter("modc_operations_total", "Floating-point operations, computed and of a dense model.", [
    { model: "own" },
    { model: "dense" },
  ]);
  readonly #again = new Counter("modc_tokens_reread_total", "Tokens read again after a preemption.", [{}]);
  readonly #drafted = new Counter("modc_tokens_guessed_total", "Draft tokens, guessed and accepted.", [
    { guess: "all" },
    { guess: "right" },
  ]);
  readonly #lost = new Counter("modc_device_losses_total", "Device losses.", [{}]);
  readonly #waited = new Histogram("modc_queue_seconds", "Time in the queue before the prompt was read.", SECONDS, [
    {},
  ]);
  readonly #first = new Histogram(
    "modc_time_to_first_token_seconds",
    "Time from a request to its first token.",
    SECONDS,
    [{}],
  );
  readonly #next = new Histogram("modc_time_between_tokens_seconds", "Time between tokens.", BETWEEN, [{}]);
  readonly #size = new Histogram("modc_run_sequences", "Sequences in a run on the device.", SIZES, KINDS);
  readonly #run = new Histogram("modc_run_seconds", "Duration of a run on the device.", BETWEEN, KINDS);
  #gauges: readonly Metric[] = [];
  #lastWait = 0;
  #routes: readonly string[] = [];

  /** Seconds that the last text waited before it was read. */
  get lastWait(): number {
    return this.#lastWait;
  }

  began(waited: number): void {
    this.#lastWait = waited / 1000;
    this.#waited.observe(waited / 1000);
  }

  ended(outcome: Outcome, use: RequestUse): void {
    this.#ended.add(1, { outcome });
    this.#cached.add(use.cachedTokens);
    this.#flops.add(use.flops.own, { model: "own" });
    this.#flops.add(use.flops.dense, { model: "dense" });
    use.routes.forEach((tokens, i) => this.#route.add(tokens, { route: this.#routes[i] ?? String(i) }));
  }

  ran({ kind, sequences, tokens, milliseconds }: Parameters<NonNullable<EngineObserver["ran"]>>[0]): void {
    this.#read.add(tokens, { kind });
    this.#size.observe(sequences, { kind });
    this.#run.observe(milliseconds / 1000, { kind });
  }

  firstToken(milliseconds: number): void {
    this.#given.add(1);
    this.#first.observe(milliseconds / 1000);
  }

  nextToken(milliseconds: number): void {
    this.#given.add(1);
    this.#next.observe(milliseconds / 1000);
  }

  preempted(tokens: number): void {
    this.#again.add(tokens);
  }

  drafted(guessed: number, right: number): void {
    this.#drafted.add(guessed, { guess: "all" });
    this.#drafted.add(right, { guess: "right" });
  }

  deviceLost(): void {
    this.#lost.add(1);
  }

  /** A request was answered. */
  answered({ route, status }: { readonly route: string; readonly status: number }): void {
    this.#http.add(1, { path: route, status: String(status) });
  }

  /** Shows what the engine is doing from now on. `requests`: how many are being answered. */
  attach(engine: Engine, requests: () => number): void {
    const cache = (): Engine["state"]["cache"] => engine.state.cache;
    this.#routes = engine.model.routes.map(({ path }) => path);
    this.#gauges = [
      new Gauge("modc_http_requests_active", "Requests in progress.", () => [[{}, requests()]]),
      new Gauge("modc_texts_active", "Sequences being read or generated.", () => [[{}, engine.state.active]]),
      new Gauge("modc_texts_queued", "Sequences in the queue.", () => [[{}, engine.state.queued]]),
      new Gauge("modc_cache_bytes", "Bytes of keys, values and states, by use.", () => [
        [{ state: "used" }, cache().used],
        [{ state: "kept" }, cache().kept],
        [{ state: "free" }, cache().free],
      ]),
      new Gauge("modc_cache_limit_bytes", "Limit of the bytes of keys, values and states.", () => [
        [{}, cache().limit],
      ]),
      new Gauge("modc_cache_texts", "Sequences of average length for which the cache has room.", () => [
        [{ model: "own" }, cache().streams.own],
        [{ model: "dense" }, cache().streams.dense],
      ]),
    ];
  }

  /** Prometheus's text format. */
  text(): string {
    return exposition([
      ...this.#gauges,
      this.#http,
      this.#ended,
      this.#read,
      this.#given,
      this.#cached,
      this.#route,
      this.#flops,
      this.#again,
      this.#drafted,
      this.#lost,
      this.#waited,
      this.#first,
      this.#next,
      this.#size,
      this.#run,
    ]);
  }
}
