// Generation in modc: its own generator.
import { compileGeneration } from "../../src/compiler/compile-generation.js";
import { formatDiagnostics } from "../../src/language/diagnostics/format.js";
import { createGenerator } from "../../src/generation/generate/index.js";
import type { Generation } from "../../src/runtime/program/generation.js";
import type { Target } from "../../src/runtime/index.js";
import { modcDevice } from "../peers/modc.js";
import type { Generated, MakeWriter, Writer } from "./generator.js";
import type { GenerateData, Skipped } from "./protocol.js";
import { type Model, skippedLayers } from "./skipped.js";

export function compileSteps(
  { id, source, set, weightsAs }: Pick<GenerateData, "id" | "source" | "set" | "weightsAs">,
  target: Target,
): Generation {
  const { generation, diagnostics, sources } = compileGeneration(source, {
    file: `${id}.mod`,
    set,
    target,
    precision: { weights: weightsAs },
  });
  if (!generation) throw new Error(formatDiagnostics(diagnostics, { sources }));
  return generation;
}

const models = new WeakMap<Writer, Model>();

export const writeModc: MakeWriter = async (data) => {
  const device = modcDevice();
  const generation = compileSteps(data, device.target);
  const weights = new Map(data.weights);
  const input = (w: { readonly path: string }): Float32Array | Uint32Array => weights.get(w.path)!.data;
  const generator = await createGenerator(generation, device, input);
  const model = { generation, generator, weights: input, prompt: data.prompt };
  const writer: Writer = {
    async generate(drawn): Promise<Generated> {
      const tokens: number[] = [];
      const sampling = drawn ? { temperature: 1, seed: 7 } : {};
      for await (const { token } of generator.generate([data.prompt], { maxTokens: data.count, sampling }))
        tokens.push(token);
      const { firstToken, generation: after, routes } = generator.summary!;
      const [all, ...routed] = routes.map((r) => r.tokens);
      return {
        milliseconds: after / (tokens.length - 1),
        first: firstToken,
        tokens: Uint32Array.from(tokens),
        shares: routed.map((n) => n / all!),
      };
    },
    async skipped(without): Promise<Skipped> {
      const other = models.get(without);
      if (!other) throw new Error("the model without the layers is none of modc's");
      return skippedLayers(device, model, other);
    },
    async dispose() {
      generator.dispose();
    },
  };
  models.set(writer, model);
  return writer;
};
