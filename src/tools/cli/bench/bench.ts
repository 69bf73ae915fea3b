// `modc bench`: how fast a model reads prompts and generates, in one table, also against another model.
import { closing } from "../../../models/open-node.js";
import type { OpenedModel } from "../../../models/open.js";
import { openDevice } from "../../../runtime/index.js";
import { wantedDevice } from "../source/device.js";
import { precisionOf } from "../source/frontend.js";
import { openNamed } from "../source/model-file.js";
import type { BlocksFlags } from "../source/in-blocks.js";
import { onInterrupt } from "../terminal/ending.js";
import { EXIT, UserError, type ExitCode } from "../terminal/exit.js";
import { out, outJson, Progress, say } from "../terminal/terminal.js";
import { plural } from "../terminal/units.js";
import type { Flags } from "../tree/declare.js";
import type { runningCommands } from "../tree/running.js";
import { expectNone } from "../tree/usage.js";
import { Measured, type Opening, type Sample, type Trial } from "./measured.js";
import { benchJson, benchTable, type Result } from "./report.js";

type BenchFlags = Flags<typeof runningCommands.bench> & Pick<BlocksFlags, "ownBlocks">;

/** Tokens of llama-bench, and its repetitions. */
const [PROMPT, GENERATED, REPEAT] = [512, 128, 5] as const;

export async function bench(opened: OpenedModel, flags: BenchFlags): Promise<ExitCode> {
  if (flags.against === undefined) expectNone(flags, ["againstWeights"], "without --against");
  const asked = [...(flags.promptTokens ?? []), ...(flags.maxTokens ?? [])];
  if (asked.length > 0 && asked.every((tokens) => tokens === 0))
    throw new UserError("-p and -n are 0, so there is nothing to measure", null, EXIT.usage);
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
    const own: Opening = {
      ...common,
      precision,
      live: flags.live ?? {},
      ...(flags.set && { set: flags.set }),
      ...(flags.model !== undefined && { model: flags.model }),
    };
    models.push(await Measured.open(opened, device, own, progress));
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
  const done = results.filter(({ samples }) => samples.some((own) => own.length > 0));
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
