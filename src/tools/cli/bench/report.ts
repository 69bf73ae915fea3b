// The measurements of `modc bench` as a table and as JSON.
import { formatBytes } from "../../../runtime/device/errors.js";
import { table } from "../terminal/table.js";
import { operations, percent } from "../terminal/units.js";
import type { Measured, Sample, Trial } from "./measured.js";

/** The samples of a trial for each model. */
export interface Result {
  readonly trial: Trial;
  readonly samples: readonly (readonly Sample[])[];
}

/** Mean and standard deviation (of a sample; 0 of a single value). */
interface Spread {
  readonly mean: number;
  readonly deviation: number;
}

function spreadOf(values: readonly number[]): Spread {
  const mean = values.reduce((n, x) => n + x, 0) / values.length;
  const squares = values.reduce((n, x) => n + (x - mean) ** 2, 0);
  return { mean, deviation: values.length < 2 ? 0 : Math.sqrt(squares / (values.length - 1)) };
}

const speeds = (samples: readonly Sample[]): readonly number[] => samples.map((s) => s.tokensPerSecond);

/** The ratios of the first model's speed to the second's, of runs one after the other; null without both. */
function ratioOf({ samples: [own, other] }: Result): Spread | null {
  const pairs = other ? own!.slice(0, other.length).map((s, i) => s.tokensPerSecond / other[i]!.tokensPerSecond) : [];
  return pairs.length === 0 ? null : spreadOf(pairs);
}

/** `pp512`, `tg128`: the names of llama-bench. */
const nameOf = ({ kind, tokens }: Trial): string => `${kind === "prompt" ? "pp" : "tg"}${tokens}`;

const shown = ({ mean, deviation }: Spread, digits: number): string =>
  `${mean.toFixed(digits)} ± ${deviation.toFixed(digits)}`;

export function benchTable(models: readonly Pick<Measured, "path">[], results: readonly Result[]): string {
  const against = models.length > 1;
  const rows = results.flatMap((result) =>
    result.samples.flatMap((samples, m) => {
      const last = samples.at(-1);
      const ratio = m === 0 && against ? ratioOf(result) : null;
      return last
        ? [{ ...last, path: models[m]!.path, trial: result.trial, speed: spreadOf(speeds(samples)), ratio }]
        : [];
    }),
  );
  return table(rows, [
    against && ["model", (r) => r.path],
    ["test", (r) => nameOf(r.trial)],
    ["tokens/s", (r) => shown(r.speed, 2)],
    ["a token", ({ flops }) => (flops === null ? "-" : operations(flops.own))],
    ["of dense", ({ flops }) => (flops === null ? "-" : percent(flops.own, flops.dense))],
    ["cache", ({ cache }) => formatBytes(cache.used)],
    ["of dense", ({ cache }) => percent(cache.used, cache.dense)],
    against && ["ratio", ({ ratio }) => (ratio === null ? "" : shown(ratio, 3))],
  ]);
}

export const benchJson = (
  models: readonly Measured[],
  results: readonly Result[],
  run: { readonly repeat: number; readonly interrupted: boolean },
): object => ({
  device: models[0]!.generator.device.info.name,
  ...run,
  models: models.map(({ path, name, weightsAs }) => ({ path, model: name, weightsAs })),
  tests: results.map((result) => ({
    test: nameOf(result.trial),
    ...result.trial,
    models: result.samples.flatMap((samples) => {
      const last = samples.at(-1);
      return last
        ? [
            {
              tokensPerSecond: { ...spreadOf(speeds(samples)), samples: speeds(samples) },
              flops: last.flops,
              cache: { used: last.cache.used, dense: last.cache.dense },
            },
          ]
        : [];
    }),
    ratio: ratioOf(result),
  })),
});
