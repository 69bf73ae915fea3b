// Measures how fast a model writes text.
import { compileGeneration } from "../../src/compiler/compile-generation.js";
import { formatDiagnostics } from "../../src/language/diagnostics/format.js";
import { createGenerator } from "../../src/generation/generate/index.js";
import type { WeightsInput } from "../../src/generation/types.js";
import type { WeightType } from "../../src/runtime/program/target.js";
import type { Device } from "../../src/runtime/index.js";
import type { Line } from "./lines.js";

export interface Writing {
  readonly source: string;
  readonly file: string;
  readonly set: Readonly<Record<string, string | number | boolean>>;
  readonly weightsAs: WeightType;
  readonly weights: WeightsInput | undefined;
  readonly prompt: Uint32Array;
  readonly count: number;
}

/** The second text; the first compiles. */
export async function measureWriting(device: Device, given: Writing): Promise<Omit<Line, "name">> {
  const { source, file, set, weightsAs } = given;
  const { generation, diagnostics, sources } = compileGeneration(source, {
    file,
    set,
    target: device.target,
    precision: { weights: weightsAs },
  });
  if (!generation) throw new Error(formatDiagnostics(diagnostics, { sources }));
  const generator = await createGenerator(generation, device, given.weights, { seed: 1 });
  const [promptMs, tokenMs]: number[][] = [[], []];
  for (let round = 0; round < 3; round++) {
    for await (const _ of generator.generate([given.prompt], { maxTokens: given.count }));
    const { firstToken, generation: rest, generatedTokens } = generator.summary!;
    if (round === 0) continue;
    promptMs!.push(firstToken);
    tokenMs!.push(rest / (generatedTokens - 1));
  }
  generator.dispose();
  return { promptMs: Math.min(...promptMs!), tokenMs: Math.min(...tokenMs!) };
}
