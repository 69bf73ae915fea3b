// Runs a model: compiles it for the page's device, loads its weights, and continues a prompt token by token, or runs
// once.
import { chosenExperts } from "../../../src/generation/engine/experts.js";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import {
  ByteText,
  createGenerator,
  ExpertLog,
  type Generation,
  type Generator,
  type Summary,
} from "../../../src/generation/generate/index.js";
import { load, type Device } from "../../../src/runtime/index.js";
import { FILE } from "../compiler/memo.js";
import { describeDevice, pageDevice } from "./device.js";
import { ModelError } from "./errors.js";
import { filled } from "./inputs.js";
import { answer, compiledOnce, type Loaded } from "./once.js";
import type { GivenValues, Layer, RunAsk, RunEvent } from "./protocol.js";
import { learnedBy } from "./train.js";
import { expectSmall, refused, weightsFor, type Weights } from "./weights.js";

interface Ready {
  readonly key: string;
  readonly device: Device;
  readonly model: { readonly generator: Generator } | { readonly once: Loaded };
  readonly weights: string;
  readonly trained: boolean;
}

let ready: Ready | null = null;

export async function run(ask: RunAsk, tell: (event: RunEvent) => void, signal: AbortSignal): Promise<Summary | null> {
  if (ask.prompt === "") throw new ModelError("the prompt is empty", "give it at least one character");
  const { model, device, weights, trained } = await prepare(ask, tell, signal);
  const common = { kind: "ready", device: describeDevice(device), weights, trained } as const;
  if ("once" in model) {
    tell({ ...common, layers: [], mixtures: [] });
    tell({ kind: "results", ...(await answer(model.once, ask)) });
    return null;
  }
  const { generator } = model;
  const { generation } = generator;
  const mixtures = (generation.choices ?? []).map(({ path, entries }) => ({
    path: path.replace(/\.chosen$/, ""),
    experts: entries,
  }));
  tell({ ...common, layers: layersOf(generation), mixtures });
  const { temperature, topP, seed, maxTokens } = ask;
  const prompt = [...new TextEncoder().encode(ask.prompt ?? "")];
  const inputs = inputsOf(generation, ask, prompt.length + maxTokens);
  tell({ kind: "prompt", pieces: piecesOf(prompt), ...(await read(generator, prompt, inputs, signal)) });
  const text = new ByteText();
  const log = new ExpertLog(generation);
  const tokens = generator.generate([prompt], {
    maxTokens,
    sampling: temperature === 0 ? {} : { temperature, topP, seed },
    inputs,
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

/** The values of all inputs beside the prompt; those along the tokens have one for each token that may be read. */
function inputsOf(generation: Generation, ask: RunAsk, tokens: number): Record<string, GivenValues> {
  const { given, prompt, beside = [], batchAxis, tokenAxis } = generation;
  const all = [...(given?.inputs ?? []), ...prompt.inputs.filter(({ name }) => beside.includes(name))];
  return filled(all, ask.inputs, { [batchAxis]: 1, [tokenAxis]: tokens }, ask.seed);
}

/** Compiles and loads the requested model, unless it is the model of the last run. */
async function prepare(ask: RunAsk, tell: (event: RunEvent) => void, signal: AbortSignal): Promise<Ready> {
  const { source, weights } = ask;
  const steps = weights === "here" ? (learnedBy(source)?.steps ?? 0) : 0;
  const key = JSON.stringify([source, weights, steps, ask.prompt === null]);
  if (ready?.key === key && ready.device.alive) return ready;
  discard();
  tell({ kind: "stage", text: "opening the device" });
  const device = await pageDevice();
  tell({ kind: "stage", text: "compiling" });
  const onProgress = (event: { readonly kind: string; readonly done?: number; readonly total?: number }): void => {
    const first = device.alive ? "" : "the device was lost, continuing on another: ";
    if (event.kind !== "grow") tell({ kind: "stage", text: `${first}${event.kind} ${event.done} of ${event.total}` });
  };
  const options = { seed: 0, signal, onProgress };
  let found: Weights | null;
  let model: Ready["model"];
  if (ask.prompt === null) {
    const program = compiledOnce(ask, device);
    found = await weightsFor(program, ask, signal);
    model = { once: { program, session: await load(program, device, found?.values, options) } };
  } else {
    const compiling = { file: FILE, set: source.set, target: device.target };
    const { generation, diagnostics } = compileGeneration(source.text, compiling);
    if (!generation) throw refused("the model cannot generate", diagnostics);
    expectBytes(generation);
    expectSmall(generation.prompt);
    signal.throwIfAborted();
    found = await weightsFor(generation.prompt, ask, signal);
    model = { generator: await createGenerator(generation, device, found?.values, options) };
  }
  const noise = `random weights, so the ${ask.prompt === null ? "results are" : "text is"} noise`;
  ready = { key, device, model, weights: found?.name ?? noise, trained: found !== null };
  return ready;
}

/** Frees the last model. */
export function discard(): void {
  const model = ready?.model;
  if (model) ("once" in model ? model.once.session : model.generator).dispose();
  ready = null;
}

function expectBytes({ vocabulary }: Generation): void {
  if (vocabulary !== 256)
    throw new ModelError(
      `the model has ${vocabulary} tokens, but the playground reads bytes, which need 256`,
      "set vocab to 256 under Parameters, or choose the sizes that fit a page",
    );
}

/** A layer for each attention, named after its block or its route, and for each route without attention. */
export function layersOf({ axes, layers }: Pick<Generation, "axes" | "layers">): readonly Layer[] {
  const on = (axis: string): number => layers.filter((l) => l.axis === axis).length;
  const found = layers.map(({ path, axis: name }) => {
    const axis = axes.findIndex((a) => a.axis === name);
    return { path: axis > 0 && on(name) === 1 ? axes[axis]!.path : path, axis };
  });
  const bare = axes.flatMap(({ path, axis }, i) => (i > 0 && on(axis) === 0 ? [{ path, axis: i }] : []));
  const all = [...found, ...bare].map(({ path, axis }) => ({
    path: path.replace(/\.attn$/, "").replace(/\.inner$/, ""),
    axis,
    routed: axis > 0,
  }));
  return bare.length === 0 ? all : all.sort((a, b) => a.path.localeCompare(b.path, "en", { numeric: true }));
}

/**
 * For each token of a prompt, its experts and, for each route, whether the token took it, null if no cache records
 * that. The prompt is read once here, with one generated token, and again for the generation.
 */
async function read(
  generator: Generator,
  prompt: readonly number[],
  inputs: Readonly<Record<string, GivenValues>>,
  signal: AbortSignal,
): Promise<Pick<Extract<RunEvent, { readonly kind: "prompt" }>, "computed" | "experts">> {
  const log = new ExpertLog(generator.generation);
  for await (const _ of generator.generate([prompt], { maxTokens: 1, inputs, observe: log, signal }));
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
