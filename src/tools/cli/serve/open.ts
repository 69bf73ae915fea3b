// The model of `modc serve` and `modc chat`, opened as an engine.
import { availableParallelism } from "node:os";
import type { EngineObserver } from "../../../generation/engine/index.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import { takesInputs } from "../../../runtime/program/generation.js";
import { createEngineOf, type OpenedEngine } from "../../session/engine-node.js";
import { wantedDevice } from "../source/device.js";
import { tuningsOn } from "../source/tunings.js";
import { compileOptions, precisionOf } from "../source/frontend.js";
import { expectWeights } from "../source/model-file.js";
import { showDiagnostics } from "../terminal/diagnostics.js";
import { UserError } from "../terminal/exit.js";
import { LAST_LOOP, showLoading, Progress, say } from "../terminal/terminal.js";
import type { Flags } from "../tree/declare.js";
import type { runningCommands } from "../tree/running.js";
import { expectNone } from "../tree/usage.js";

/**
 * Threads of Mesa's software device for each processor. What writes answers interrupts one of them for every token, and
 * a kernel waits for the last. Measured on two processors: 1.12 to 1.2 times the tokens of 16 streams, 1.1 to 1.3 of
 * one.
 */
const THREADS = 2;

/** The flags that determine the model and the engine. */
export type ServedFlags = Pick<
  Flags<typeof runningCommands.serve>,
  Exclude<keyof Flags<typeof runningCommands.serve>, "host" | "port" | "key" | "log">
>;

/** Opens the model of a command line as an engine. `progress` tells of loading, and later of kernels that compile. */
export async function openServed(
  model: OpenedModel,
  flags: ServedFlags,
  observer: EngineObserver,
  progress = new Progress(),
): Promise<OpenedEngine> {
  const { set, model: name } = compileOptions(model, flags);
  for (const option of (await model.texts()).defaults.ignored)
    say(`note: generation_config.json has ${option}, which modc ignores`);
  if (flags.loopCaches === "last")
    expectNone(flags, ["cacheMemory", "draft"], "with --loop-caches last, which has caches for one request at a time");
  const seed = flags.seed ?? 0;
  expectWeights(model);
  if (model.weights === null) say(`note: no --weights: the model starts from seed ${seed} and is untrained`);
  try {
    const opened = await createEngineOf(model, {
      set,
      seed,
      ...(name !== undefined && { model: name }),
      precision: precisionOf(flags),
      device: { ...wantedDevice(flags), threads: THREADS * availableParallelism() },
      tunings: (device) => tuningsOn(device, flags),
      observer,
      ...(flags.draft !== undefined && { draft: flags.draft }),
      ...(flags.loopCaches !== undefined && { loopCaches: flags.loopCaches }),
      ...(flags.latent !== undefined && { latent: flags.latent }),
      ...(flags.maxBatch !== undefined && { maxBatch: flags.maxBatch }),
      ...(flags.cacheMemory !== undefined && { cacheMemory: flags.cacheMemory }),
      ...(flags.queue !== undefined && { queue: flags.queue }),
      onProgress: (event) => {
        if (event.kind !== "grow") showLoading(event, progress, { given: model.weights !== null });
      },
    });
    showDiagnostics(opened.diagnostics, opened.sources);
    if (flags.loopCaches === "last") say(LAST_LOOP);
    const [modelContext, engineContext] = [opened.generation?.context ?? null, opened.engine.model.context];
    if (
      flags.cacheMemory !== undefined &&
      engineContext !== null &&
      (modelContext === null || engineContext < modelContext)
    )
      say(
        `note: --cache-memory limits requests to ${engineContext} tokens` +
          (modelContext === null ? "" : `; the model reads ${modelContext}`),
      );
    return opened;
  } finally {
    progress.clear();
  }
}

/** Throws UserError for a model that takes further inputs, which `giver` has no place for. */
export function expectTokensAlone(
  giver: string,
  { name, generation }: Pick<OpenedEngine, "name" | "generation">,
): void {
  if (generation && takesInputs(generation))
    throw new UserError(
      `${giver} gives the model its tokens alone, but ${name} takes further inputs`,
      "give them to `modc generate` by --input, or to `modc serve`",
    );
}
