// `modc bench`: how fast a model reads prompts and generates, in one table, also against another model.
import { closing } from "../../../models/open-node.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import { openDevice, type Device } from "../../../runtime/index.js";
import { wantedDevice } from "../source/device.js";
import { precisionOf } from "../source/frontend.js";
import { openNamed, expectWeights } from "../source/model-file.js";
import type { BlocksFlags } from "../source/in-blocks.js";
import { onInterrupt } from "../terminal/ending.js";
import { EXIT, UserError, type ExitCode, misuse } from "../terminal/exit.js";
import { out, outJson, Progress, say, showLoading } from "../terminal/terminal.js";
import { plural, operations, percent, table } from "../terminal/units.js";
import type { Flags } from "../tree/declare.js";
import type { runningCommands } from "../tree/running.js";
import { expectNone } from "../tree/usage.js";
import { formatBytes } from "../../../runtime/device/errors.js";
import { createGenerator, type Generator, type Summary } from "../../../generation/generate/index.js";
import { flopsBetween } from "../../../generation/engine/summary.js";
import { takesInputs } from "../../../runtime/program/generation.js";
import type { WeightType } from "../../../runtime/program/target.js";
import { explaining, optionsOf } from "../../session/open-node.js";
import { prepare, type PrepareOptions } from "../../session/prepared-node.js";
import { bytesTokenizer, type Tokenizer } from "../../../models/tokenizer/tokenizer.js";
import { escapedName } from "../../../ground/base/shown.js";
import { tuningsOn } from "../source/tunings.js";
import { showDiagnostics } from "../terminal/diagnostics.js";

type BenchFlags = Flags<typeof runningCommands.bench> & Pick<BlocksFlags, "ownBlocks">;

/** Tokens of llama-bench, and its repetitions. */
const [PROMPT, GENERATED, REPEAT] = [512, 128, 5] as const;

export async function bench(opened: OpenedModel, flags: BenchFlags): Promise<ExitCode> {
  if (flags.against === undefined) expectNone(flags, ["againstWeights"], "without --against");
  const asked = [...(flags.promptTokens ?? []), ...(flags.maxTokens ?? [])];
  if (asked.length > 0 && asked.every((tokens) => tokens === 0))
    throw misuse("-p and -n are 0, so there is nothing to measure");
  const { against, againstWeights } = flags;
  if (against === undefined) return compare(opened, null, flags);
  return closing(await openNamed(against, { weights: againstWeights }), (other) => compare(opened, other, flags));
}

async function compare(opened: OpenedModel, other: OpenedModel | null, flags: BenchFlags): Promise<ExitCode> {
  const repeat = flags.repeat ?? REPEAT;
  const progress = new Progress();
  const device = await openDevice(wantedDevice(flags));
  const models: Measured[] = [];
  const stop = new AbortController();
  let restore = (): void => {};
  try {
    const common = { seed: flags.seed ?? 0, tunings: flags.tunings };
    const precision = precisionOf(flags);
    const opening: Opening = {
      ...common,
      precision,
      live: flags.live ?? {},
      ...(flags.set && { set: flags.set }),
      ...(flags.model !== undefined && { model: flags.model }),
    };
    models.push(await Measured.open(opened, device, opening, progress));
    if (other !== null) {
      // Without the options, each model's weights are in memory as they are stored.
      const isAsked = (flags.weightsAs !== undefined && !flags.ownBlocks) || flags.activationsAs !== undefined;
      models.push(await Measured.open(other, device, { ...common, ...(isAsked && { precision }), live: {} }, progress));
    }
    const results = trialsOf(flags, models).map((trial) => ({ trial, samples: models.map((): Sample[] => []) }));
    restore = onInterrupt(() => stop.abort());
    await measure(models, results, { repeat, signal: stop.signal, progress });
    progress.end();
    report(models, results, flags, { repeat, interrupted: stop.signal.aborted });
    return stop.signal.aborted ? EXIT.interrupted : EXIT.fine;
  } finally {
    progress.clear();
    restore();
    for (const { generator } of models) generator.dispose();
    device.destroy();
  }
}

/** The trials of the flags. The defaults are llama-bench's, cut to the context of the models. */
function trialsOf({ promptTokens, maxTokens }: BenchFlags, models: readonly Measured[]): readonly Trial[] {
  const limit = Math.min(...models.map(({ generator }) => generator.generation.context ?? Infinity));
  const only = promptTokens === undefined && maxTokens === undefined;
  const prompts = promptTokens ?? (only ? [Math.min(PROMPT, limit)] : []);
  const generated = maxTokens ?? (only ? [Math.max(1, Math.min(GENERATED, limit - 1))] : []);
  const over = [...prompts, ...generated.map((n) => (n === 0 ? 0 : n + 1))].find((n) => n > limit);
  if (over !== undefined)
    throw new UserError(
      `the model reads at most ${limit} tokens, but a run would have ${over}`,
      "give smaller numbers with -p and -n; generation starts from one token",
    );
  // 0 leaves one kind out, as in llama-bench.
  return [
    ...prompts.map((tokens) => ({ kind: "prompt", tokens }) as const),
    ...generated.map((tokens) => ({ kind: "generate", tokens }) as const),
  ].filter(({ tokens }) => tokens > 0);
}

/** Adds samples until there are enough or an interrupt comes. The models alternate, and so does which is first. */
async function measure(
  models: readonly Measured[],
  results: readonly (Result & { readonly samples: readonly Sample[][] })[],
  { repeat, signal, progress }: { readonly repeat: number; readonly signal: AbortSignal; readonly progress: Progress },
): Promise<void> {
  try {
    for (const { trial, samples } of results)
      for (let round = 0; round <= repeat; round++) {
        const what = trial.kind === "prompt" ? "reading" : "generating";
        const stage = `${what} ${plural(trial.tokens, "token")}`;
        progress.report(stage, round === 0 ? "to warm up" : `${round}/${repeat}`);
        const order = [...models.keys()];
        if (round % 2 === 0) order.reverse();
        const found = new Map<number, Sample>();
        for (const m of order) found.set(m, await models[m]!.run(trial, signal));
        if (round > 0) for (const [m, sample] of found) samples[m]!.push(sample);
      }
  } catch (fault) {
    if (!signal.aborted) throw fault;
  }
}

function report(
  models: readonly Measured[],
  results: readonly Result[],
  flags: BenchFlags,
  run: { readonly repeat: number; readonly interrupted: boolean },
): void {
  if (flags.json) return outJson(benchJson(models, results, run));
  const done = results.filter(({ samples }) => samples.some((sample) => sample.length > 0));
  const title = models.map(({ name, weightsAs }) => `${name} (weights ${weightsAs})`).join(" against ");
  say(`${title} on ${models[0]!.generator.device.info.name}`);
  if (done.length > 0) out(benchTable(models, done));
  say(
    `pp: reading a prompt, tg: generating tokens after one; mean ± standard deviation of ` +
      `${plural(run.repeat, "run")} with random tokens, after one warm-up run` +
      (models.length > 1 ? "; ratio: the first model's speed by the second's, in runs that alternate" : ""),
  );
  if (run.interrupted) say("interrupted: the table has the finished runs");
}

/** The samples of a trial for each model. */
interface Result {
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

const benchJson = (
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

/** Reads this number of tokens, or generates them after a single token. */
interface Trial {
  readonly kind: "prompt" | "generate";
  readonly tokens: number;
}

/** One run of a trial. */
export interface Sample {
  readonly tokensPerSecond: number;
  /** Operations of a token, and those with nothing skipped; null for a model that counts none. */
  readonly flops: Summary["flops"];
  /** Bytes of keys and values at the end, and those with nothing skipped. */
  readonly cache: { readonly used: number; readonly dense: number };
}

interface Opening extends Omit<PrepareOptions, "tunings" | "device"> {
  readonly seed: number;
  readonly live: Readonly<Record<string, string>>;
  /** The file of `--tunings`. */
  readonly tunings: string | undefined;
}

/** A model that is measured. */
class Measured {
  /** As it was named on the command line. */
  readonly path: string;
  readonly name: string;
  /** The type of its weights in memory. */
  readonly weightsAs: WeightType;
  readonly generator: Generator;
  readonly #seed: number;

  private constructor(path: string, name: string, weightsAs: WeightType, generator: Generator, seed: number) {
    [this.path, this.name, this.weightsAs, this.generator, this.#seed] = [path, name, weightsAs, generator, seed];
  }

  /** Throws what opening a session throws. */
  static async open(model: OpenedModel, device: Device, options: Opening, progress: Progress): Promise<Measured> {
    const { seed, live, tunings, ...rest } = options;
    expectWeights(model);
    const completed = await optionsOf(model, rest);
    const { named: path } = model;
    if (model.weights === null) say(`note: ${escapedName(path)} has no weights: its routers are random`);
    const noText = (): Tokenizer => bytesTokenizer;
    const generator = await explaining(model, completed, async () => {
      const chosen = (on: Device) => tuningsOn(on, { tunings });
      const prepared = await prepare(model, { ...completed, device, tunings: chosen }, { caches: "rows" }, noText);
      showDiagnostics(prepared.diagnostics, prepared.sources);
      if (takesInputs(prepared.generation))
        throw new UserError("bench measures models of tokens alone: it has no further inputs to give");
      const created = await createGenerator(prepared.generation, device, prepared.weights, {
        seed,
        live,
        onProgress: (event) => {
          if (event.kind !== "grow") showLoading(event, progress, { given: model.weights !== null });
        },
      });
      return { made: created, name: prepared.name };
    });
    return new Measured(path, generator.name, options.precision?.weights ?? "f32", generator.made, seed);
  }

  /** Runs a trial once. Throws the reason of `signal`. */
  async run({ kind, tokens }: Trial, signal: AbortSignal): Promise<Sample> {
    const { generator } = this;
    const { vocabulary } = generator.generation;
    const length = kind === "prompt" ? tokens : 1;
    const prompt = Array.from({ length }, (_, i) => Math.imul(i + 1 + this.#seed, 0x9e3779b1) >>> 0).map(
      (drawn) => drawn % vocabulary,
    );
    const maxTokens = kind === "prompt" ? 1 : tokens + 1;
    // The first token is chosen after the prompt, and only the others by steps.
    for await (const _ of generator.generate([prompt], { maxTokens, sampling: { temperature: 0 }, signal }));
    const summary = generator.summary!; // the generation has ended
    const [read, ms] =
      kind === "prompt"
        ? [length, summary.firstToken - summary.compiling]
        : [summary.generatedTokens - 1, summary.generation];
    return {
      tokensPerSecond: (1000 * read) / ms,
      flops: kind === "prompt" ? this.#promptFlops(summary) : summary.flops,
      cache: summary.cache,
    };
  }

  #promptFlops({ routes }: Summary): Summary["flops"] {
    const { generation } = this.generator;
    const totals = routes.map(({ tokens }) => tokens);
    const before = totals.map(() => 0);
    return flopsBetween(generation, { program: generation.prompt, before, totals, sequences: 1, logits: 1 });
  }
}
