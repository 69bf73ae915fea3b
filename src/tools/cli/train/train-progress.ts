// Shows the progress of training: an updated line in a terminal, else a line every few seconds.
import type { TrainEvent, Validated } from "../../train/events.js";
import { io } from "../terminal/io.js";
import { meanShare, skips } from "../../train/skipping.js";
import type { Evaluation } from "../../train/types.js";
import { drawsOver, say } from "../terminal/terminal.js";
import { percent, withPrefix } from "../terminal/units.js";

/** Milliseconds between two lines outside a terminal, and between two updates in one. */
const APART = { plain: 10_000, terminal: 100 } as const;
/** Number of steps over which speed is averaged. */
const RECENT = 20;

/** What sequences consist of. */
type Unit = "tokens" | "records";
type Step = Extract<TrainEvent, { kind: "step" }>;

export class TrainProgress {
  readonly #terminal = drawsOver(io().stderr);
  readonly #recent: { readonly tokens: number; readonly seconds: number; readonly flops: number }[] = [];
  readonly #unit: Unit;
  #steps = 0;
  #last = -Infinity;
  #shown = false;

  constructor(unit: Unit) {
    this.#unit = unit;
  }

  show(event: TrainEvent): void {
    switch (event.kind) {
      case "begin":
        this.#steps = event.steps;
        for (const line of beginLines(event)) this.#line(line);
        break;
      case "step":
        this.#step(event);
        break;
      case "validation":
        this.#line(`step ${event.step}: validation ${validationText(event)}`);
        break;
      case "checkpoint":
        this.#line(`step ${event.step}: saved ${event.path}${event.best ? ", the best so far" : ""}`);
        break;
      case "sample":
        this.#line(`step ${event.step}: sample ${JSON.stringify(event.prompt + event.text)}`);
        break;
      case "experts": // the report and the log have them
        break;
      case "warning":
        this.#line(`warning: step ${event.step}: ${event.message}`);
        break;
      case "end":
        this.clear();
        break;
      default:
        event satisfies never;
    }
  }

  clear(): void {
    if (this.#shown) io().stderr.write("\r\u001b[K");
    this.#shown = false;
  }

  #line(text: string): void {
    this.clear();
    say(text);
  }

  #step(event: Step): void {
    const { tokens, seconds, first, flops } = event.metrics;
    // The first step includes compilation by the driver, so it is no measure of speed.
    if (!first) this.#recent.push({ tokens, seconds, flops });
    if (this.#recent.length > RECENT) this.#recent.shift();
    const now = performance.now();
    // A skipped step keeps its line.
    const last = event.step === this.#steps || event.metrics.scaling?.skipped === true;
    if (!last && now - this.#last < (this.#terminal ? APART.terminal : APART.plain)) return;
    this.#last = now;
    const text = stepText(event, this.#steps, this.#recent, this.#unit);
    if (!this.#terminal) say(text);
    else {
      this.clear();
      io().stderr.write(text.slice(0, Math.max(20, (io().stderr.columns || 120) - 1)));
      this.#shown = true;
      if (last) {
        io().stderr.write("\n");
        this.#shown = false;
      }
    }
  }
}

function beginLines({
  step,
  steps,
  data,
  bytesPerToken,
  cache,
  from,
}: Extract<TrainEvent, { kind: "begin" }>): readonly string[] {
  const { unit, training, validation } = data;
  const each =
    unit === "record" || bytesPerToken === null || bytesPerToken === 1
      ? ""
      : `, ${bytesPerToken.toFixed(2)} bytes each`;
  return [
    `${unit === "token" ? "text" : "data"}: ${withPrefix(training)} ${unit}s to train on, ` +
      `${withPrefix(validation)} held out${each}; kept in ${cache}`,
    ...(from === null ? [] : [`continuing from ${from}: ${step} of ${steps} steps are done`]),
  ];
}

/**
 * Without speed where `recent` has no step. A skipped step has the scale of the next. `step 120/1000 epoch 2.3 loss
 * 2.3145 3.291 bits/byte lr 9.8e-4 |g| 0.52 12.34 k tokens/s 4.1 GFLOP/s computed 12.5% predictor 94.1% 3 min left`
 */
export function stepText(
  event: Step,
  steps: number,
  recent: readonly { readonly tokens: number; readonly seconds: number; readonly flops: number }[],
  unit: Unit = "tokens",
): string {
  const { metrics, step, epoch, bitsPerByte, learningRate, live } = event;
  const sum = (of: "tokens" | "seconds" | "flops"): number => recent.reduce((n, r) => n + r[of], 0);
  const seconds = Math.max(1e-9, sum("seconds"));
  const timed = recent.length > 0;
  const agreement = Object.values(metrics.agreement);
  const parts = [
    `step ${step}/${steps}`,
    `epoch ${epoch.toFixed(epoch < 1 ? 2 : 1)}`,
    `loss ${metrics.loss.toFixed(4)}`,
    ...(bitsPerByte === null ? [] : [`${bitsPerByte.toFixed(3)} bits/byte`]),
    `lr ${brief(learningRate)}`,
    `|g| ${brief(metrics.gradientNorm)}`,
    ...(metrics.scaling?.skipped ? [`skipped; next loss scale ${metrics.scaling.scale}`] : []),
    ...(timed
      ? [`${withPrefix(sum("tokens") / seconds)} ${unit}/s`, `${brief(sum("flops") / seconds / 1e9)} GFLOP/s`]
      : []),
    ...(metrics.computedShare < 1 ? [`computed ${percent(metrics.computedShare, 1)}`] : []),
    ...(agreement.length > 0
      ? [
          `predictor ${percent(
            agreement.reduce((a, b) => a + b, 0),
            agreement.length,
          )}`,
        ]
      : []),
    ...Object.entries(live).map(([name, value]) => `${name} ${brief(value)}`),
    ...(timed && step < steps ? [`${timeText(((steps - step) * seconds) / recent.length)} left`] : []),
  ];
  return parts.join("  ");
}

/** Three significant digits: `0.00098`, `12.3`. */
const brief = (value: number): string => String(Number(value.toPrecision(3)));

/** A validation; if it is new, also how it compares with earlier ones. */
type Told = Validated & { readonly counts?: boolean; readonly best?: boolean };

/**
 * `loss 1.4715 by top-k (2.123 bits/byte, 12.5% computed), 1.5256 by the causal rule, which decides (2.201 bits/byte,
 * 13.1% computed), the best so far`
 */
export function validationText({ byRule, live, counts = true, loss, bitsPerByte, best }: Told): string {
  const told = ({ loss: nats, shares }: Pick<Evaluation, "loss" | "shares">, rule: string): string => {
    const share = meanShare(shares);
    const more = [
      ...(bitsPerByte === null ? [] : [`${(loss === 0 ? 0 : (nats * bitsPerByte) / loss).toFixed(3)} bits/byte`]),
      ...(share === null ? [] : [`${percent(share, 1)} computed`]),
    ];
    return `${nats.toFixed(4)}${rule}${more.length === 0 ? "" : ` (${more.join(", ")})`}`;
  };
  const { "top-k": topK, causal } = byRule;
  const both =
    causal && topK
      ? `${told(topK, " by top-k")}, ${told(causal, " by the causal rule, which decides")}`
      : told((causal ?? topK)!, "");
  const changing = Object.entries(live).map(([name, value]) => `${name} ${brief(value)}`);
  const idle =
    best !== undefined && !skips({ byRule }) ? "; not compared: predictors keep tokens that they should skip" : "";
  const compared = counts ? idle : `; not compared while it changes: ${changing.join(", ")}`;
  return `loss ${both}${best ? ", the best so far" : compared}`;
}

/** `2 h 05 min`, `3 min 20 s`, `12 s` */
export function timeText(seconds: number): string {
  const s = Math.round(seconds);
  if (s >= 3600) return `${Math.floor(s / 3600)} h ${String(Math.floor((s % 3600) / 60)).padStart(2, "0")} min`;
  return s >= 60 ? `${Math.floor(s / 60)} min ${String(s % 60).padStart(2, "0")} s` : `${s} s`;
}
