// Runs a model on a prompt: compiles it for the page's device, loads its weights, and reports each token.
import { chosenExperts } from "../../../src/generation/engine/experts.js";
import { countOf } from "../../../src/ground/base/collections.js";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import type { Diagnostic } from "../../../src/language/diagnostics/diagnostic.js";
import {
  ByteText,
  createGenerator,
  ExpertLog,
  type Generation,
  type Generator,
  type Summary,
} from "../../../src/generation/generate/index.js";
import type { ProgramWeight } from "../../../src/runtime/program/program.js";
import { matchWeights, readSafetensors, WeightsError, type Words } from "../../../src/runtime/index.js";
import { FILE } from "../compiler/memo.js";
import { describeDevice, pageDevice } from "./device.js";
import { ModelError } from "./errors.js";
import type { Layer, RunAsk, RunEvent } from "./protocol.js";
import { learnedBy } from "./train.js";

/** The limit on a model's weight values: more take too long, and too much memory, in a page. */
export const MOST_WEIGHTS = 100e6;

interface Ready {
  readonly key: string;
  readonly generator: Generator;
  readonly weights: string;
  readonly trained: boolean;
}

let ready: Ready | null = null;

export async function run(ask: RunAsk, tell: (event: RunEvent) => void, signal: AbortSignal): Promise<Summary> {
  const { generator, weights, trained } = await prepare(ask, tell, signal);
  const { generation } = generator;
  const mixtures = (generation.choices ?? []).map(({ path, entries }) => ({
    path: path.replace(/\.chosen$/, ""),
    experts: entries,
  }));
  const layers = layersOf(generation);
  tell({ kind: "ready", device: describeDevice(generator.device), weights, trained, layers, mixtures });
  const prompt = [...new TextEncoder().encode(ask.prompt)];
  if (prompt.length === 0) throw new ModelError("the prompt is empty", "give it at least one character");
  tell({ kind: "prompt", pieces: piecesOf(prompt), ...(await read(generator, prompt, signal)) });
  const text = new ByteText();
  const { temperature, topP, seed, maxTokens } = ask;
  const log = new ExpertLog(generation);
  const tokens = generator.generate([prompt], {
    maxTokens,
    sampling: temperature === 0 ? {} : { temperature, topP, seed },
    observe: log,
    signal,
  });
  for (;;) {
    const next = await tokens.next();
    if (next.done) return next.value;
    const { token, routes, finish } = next.value;
    const added = text.push([token]) + (finish === null ? "" : text.end());
    tell({ kind: "token", text: added, computed: routes, experts: routes && log.last(0, routes) });
  }
}

/** Compiles and loads the requested model, unless it is the model of the last run. */
async function prepare(
  { source, weights, file }: RunAsk,
  tell: (event: RunEvent) => void,
  signal: AbortSignal,
): Promise<Ready> {
  const key = JSON.stringify([source, weights, weights === "here" ? (learnedBy(source)?.steps ?? 0) : 0]);
  if (ready?.key === key && ready.generator.device.alive) return ready;
  discard();
  tell({ kind: "stage", text: "opening the device" });
  const device = await pageDevice();
  tell({ kind: "stage", text: "compiling" });
  const options = { file: FILE, set: source.set, target: device.target };
  const { generation, diagnostics } = compileGeneration(source.text, options);
  if (!generation) throw refused(diagnostics);
  expectRuns(generation);
  signal.throwIfAborted();
  const found =
    weights === "trained"
      ? await trainedWeights(generation, file, signal)
      : weights === "here"
        ? weightsLearned(source)
        : null;
  const onProgress = (event: { readonly kind: string; readonly done?: number; readonly total?: number }): void => {
    const first = device.alive ? "" : "the device was lost, continuing on another: ";
    if (event.kind !== "grow") tell({ kind: "stage", text: `${first}${event.kind} ${event.done} of ${event.total}` });
  };
  const generator = await createGenerator(generation, device, found?.values, { seed: 0, signal, onProgress });
  ready = { key, generator, weights: found?.name ?? "random weights, so the text is noise", trained: found !== null };
  return ready;
}

/** Frees the last model. */
export function discard(): void {
  ready?.generator.dispose();
  ready = null;
}

function refused(diagnostics: readonly Diagnostic[]): ModelError {
  const error = diagnostics.find((d) => d.severity === "error");
  return new ModelError(`the model cannot generate: ${error?.message ?? "it has errors"}`, error?.hint ?? null);
}

function expectRuns({ vocabulary, prompt }: Generation): void {
  if (vocabulary !== 256)
    throw new ModelError(
      `the model has ${vocabulary} tokens, but the playground reads bytes, which need 256`,
      "set vocab to 256 under Parameters, or choose the sizes that fit a page",
    );
  const weights = prompt.weights.reduce((sum, { shape }) => sum + countOf(shape), 0);
  if (weights > MOST_WEIGHTS)
    throw new ModelError(
      `the model has ${Math.round(weights / 1e6)} million numbers in its weights, too many for a page`,
      "choose the sizes that fit a page, under Parameters",
    );
}

/** The playground's trained weights, if they fit the model; else null. */
async function trainedWeights(
  { prompt }: Generation,
  file: string,
  signal: AbortSignal,
): Promise<{ readonly values: ArrayBuffer; readonly name: string } | null> {
  const response = await fetch(file, { signal });
  if (!response.ok) throw new Error(`${file} was answered with ${response.status}`);
  const bytes = await response.arrayBuffer();
  try {
    matchWeights(prompt, readSafetensors(bytes));
  } catch (error) {
    if (error instanceof WeightsError) return null;
    throw error;
  }
  return { values: bytes, name: "weights trained on Moby-Dick" };
}

/** The weights trained in this page. Throws if this program was not trained. */
function weightsLearned(source: RunAsk["source"]): {
  readonly values: (weight: ProgramWeight) => Words;
  readonly name: string;
} {
  const learned = learnedBy(source);
  if (!learned)
    throw new ModelError("this program was not trained here", "train it, under Train, or choose other weights");
  return { values: learned.values, name: `weights trained here for ${learned.steps} steps` };
}

/** A layer for each attention, named after its block, and for each route without attention. */
export function layersOf({ axes, layers }: Pick<Generation, "axes" | "layers">): readonly Layer[] {
  const found = layers.map(({ path, axis }) => ({ path, axis: axes.findIndex((a) => a.axis === axis) }));
  const bare = axes.flatMap(({ path, axis }, i) =>
    i > 0 && !layers.some((l) => l.axis === axis) ? [{ path, axis: i }] : [],
  );
  return [...found, ...bare].map(({ path, axis }) => ({
    path: path.replace(/\.attn$/, "").replace(/\.inner$/, ""),
    axis,
    routed: axis > 0,
  }));
}

/**
 * For each token of a prompt, its experts and, for each route, whether the token took it, null if no cache records
 * that. The prompt is read once here, with one generated token, and again for the generation.
 */
async function read(
  generator: Generator,
  prompt: readonly number[],
  signal: AbortSignal,
): Promise<Pick<Extract<RunEvent, { readonly kind: "prompt" }>, "computed" | "experts">> {
  const log = new ExpertLog(generator.generation);
  for await (const _ of generator.generate([prompt], { maxTokens: 1, observe: log, signal }));
  const places = (await generator.taken()).map((sequences) => sequences?.[0] ?? null);
  const taken = places.map((positions) => positions && new Set(positions));
  const rows = log.chosen.map((sequences) => sequences[0] ?? []);
  const mixtures = chosenExperts(generator.generation, prompt.length, [], rows, places);
  return {
    computed: prompt.map((_, t) => taken.map((positions, i) => (i === 0 ? true : (positions?.has(t) ?? null)))),
    experts: prompt.map((_, t) => mixtures.map(({ tokens }) => tokens[t] ?? null)),
  };
}

/** The characters that each byte completes. */
function piecesOf(bytes: readonly number[]): readonly string[] {
  const text = new ByteText();
  return bytes.map((byte, i) => text.push([byte]) + (i === bytes.length - 1 ? text.end() : ""));
}
