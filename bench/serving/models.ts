// The decoder that is served, dense and routed: four layers of 512, with seeded weights.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { compileGeneration } from "../../src/compiler/compile-generation.js";
import { compile } from "../../src/compiler/compile.js";
import { formatDiagnostics } from "../../src/language/diagnostics/format.js";
import { emit } from "../../src/compiler/codegen/emit.js";
import { createGenerator } from "../../src/generation/generate/index.js";
import { load, openDevice, writeSafetensors, type Device } from "../../src/runtime/index.js";
import { schedule } from "../../src/compiler/schedule/schedule.js";
import { random } from "../random.js";
import { at, textOf } from "../cases.js";
import { drawn, predicting, type Outputs, type Tokens } from "../generating/cases.js";

export type Kind = "dense" | "routed";

/** Parameters of `decoder.mod`. */
export const PARAMETERS = { dim: 512, heads: 8, depth: 4, context: 1024 } as const;

/** Text is ASCII, so that each token is a character, which the wire sends at once. */
const ASCII = 128;

/**
 * The number of texts by which the routed model's predictors are set, and the tokens of a prompt and of its
 * continuation. With few texts, the load's tokens take routed layers half as often again: texts differ from each other,
 * and repeat themselves.
 */
const TEXTS = 32;
/** A model's own texts are not like random ones, and change with what it computes. */
const ROUNDS = 3;
export const PROMPT = 32;
export const TOKENS = 128;

type Weights = ReturnType<typeof drawn>;

/** Writes the weights of a kind to a folder; returns what `modc serve` is called with. */
export async function served(kind: Kind, folder: string): Promise<readonly string[]> {
  const set = { ...PARAMETERS, routed: kind === "routed" };
  const texts = Object.fromEntries(Object.entries(set).map(([name, value]) => [name, String(value)]));
  const source = textOf("bench/models/decoder.mod");
  const { graph, program, diagnostics, sources } = compile(source, {
    file: "decoder.mod",
    phase: "generate",
    set: texts,
  });
  if (!graph || !program) throw new Error(formatDiagnostics(diagnostics, { sources }));
  const ascii = drawn(program.weights).map(([path, { shape, data }]) => {
    const values = data.slice();
    // The first column of the tied table weighs for ASCII, and against the rest.
    if (path === "embed.table")
      for (let token = 0; token < shape[0]!; token++) values[token * shape[1]!] = token < ASCII ? 4 : -4;
    return [path, { shape, data: values }] as const;
  });
  const file = join(folder, `${kind}.safetensors`);
  write(file, kind === "routed" ? await predicting(graph, ascii) : ascii);
  if (kind === "routed") {
    const device = await openDevice();
    try {
      for (let round = 0; round < ROUNDS; round++)
        write(file, await predicting(graph, ascii, await said(device, source, texts, file), onDevice(device)));
    } finally {
      device.destroy();
    }
  }
  const parameters = Object.entries(texts).flatMap(([name, value]) => ["--set", `${name}=${value}`]);
  return [at("bench/models/decoder.mod").pathname, "--weights", file, ...parameters];
}

function write(file: string, weights: Weights): void {
  const tensors = weights.map(([key, { shape, data }]) => ({
    key,
    dtype: "F32",
    shape,
    data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  }));
  writeFileSync(file, writeSafetensors(tensors));
}

/** Tokens of random prompts and of the texts that the model generates after them. */
async function said(
  device: Device,
  source: string,
  set: Readonly<Record<string, string>>,
  weights: string,
): Promise<Tokens> {
  const { generation } = compileGeneration(source, { file: "decoder.mod", set, target: device.target });
  const generator = await createGenerator(generation!, device, weights);
  // No load uses this seed, and so every load has different prompts.
  const rng = random(1000);
  const texts = Array.from({ length: TEXTS }, () => Array.from({ length: PROMPT }, () => rng.below(ASCII)));
  const prompts = texts.map((prompt) => Uint32Array.from(prompt));
  const options = { maxTokens: TOKENS, sampling: { temperature: 1, seed: 1 } };
  for await (const { sequence, token } of generator.generate(prompts, options)) texts[sequence]!.push(token);
  generator.dispose();
  return { shape: [TEXTS, PROMPT + TOKENS], data: Uint32Array.from(texts.flat()) };
}

const onDevice =
  (device: Device): Outputs =>
  async (graph, weights, tokens) => {
    const values = new Map(weights.map(([path, { data }]) => [path, data]));
    const [B, T] = tokens.shape;
    const program = emit(schedule(graph, device.target));
    const session = await load(program, device, ({ path }) => values.get(path)!, { max: { B, T } });
    const { name } = graph.outputs[0]!;
    const { [name]: output } = await session.run({ tokens }, { outputs: [name] });
    session.dispose();
    return output!.data;
  };
