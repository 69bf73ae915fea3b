// A GGUF file on modc, by its own types of weights.
import { compileGeneration } from "../../src/compiler/compile-generation.js";
import { formatDiagnostics } from "../../src/language/diagnostics/format.js";
import { createGenerator } from "../../src/generation/generate/index.js";
import { openModel } from "../../src/models/open-node.js";
import { openDevice } from "../../src/runtime/index.js";
import { openWeights } from "../../src/runtime/node.js";
import type { WeightType } from "../../src/runtime/program/target.js";
import type { Opened } from "./protocol.js";

const WEIGHTS_AS: Readonly<Record<string, WeightType>> = { Q8_0: "q8", Q4_0: "q4", F16: "f16", BF16: "bf16" };

export async function openModc(path: string): Promise<Opened> {
  const device = await openDevice();
  const model = await openModel(path);
  const { file, text } = model.source;
  await model.close();
  const weights = WEIGHTS_AS[await typeOf(path)] ?? "f32";
  const { generation, diagnostics, sources } = compileGeneration(text, {
    file,
    target: device.target,
    precision: { weights },
  });
  if (!generation) throw new Error(formatDiagnostics(diagnostics, { sources }));
  const generator = await createGenerator(generation, device, path);
  const { name, driver, software } = device.info;
  return {
    device: `${driver || name}, weights in ${weights}`,
    software,
    async *run(prompt, count) {
      for await (const { token } of generator.generate([Uint32Array.from(prompt)], { maxTokens: count })) yield token;
    },
  };
}

/** The type of most matrices. */
async function typeOf(path: string): Promise<string> {
  const opened = await openWeights(path);
  const counts = new Map<string, number>();
  for (const { dtype, shape } of opened.tensors.values())
    if (shape.length === 2) counts.set(dtype, (counts.get(dtype) ?? 0) + 1);
  await opened.close();
  return [...counts].toSorted((a, b) => b[1] - a[1])[0]?.[0] ?? "F32";
}
