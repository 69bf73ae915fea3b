// Generation by the kernels of GPUs for few rows: a text alone, whose products make the sums of their norms, has the
// tokens and log-probabilities that it has beside another, whose sums have a kernel of their own.
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { compileGeneration } from "../../src/compiler/compile-generation.js";
import { createGenerator } from "../../src/generation/generate/index.js";
import type { Target } from "../../src/runtime/program/target.js";
import { initialValues } from "../../src/runtime/index.js";
import { testDevice } from "../device.js";
import { soaking } from "../soak.js";

// Mesa compiles these kernels in seconds each, for they are written for GPUs.
it("a text has the same bits alone and beside another", { tags: "long", timeout: 600_000 }, async () => {
  const device = await testDevice();
  const target: Target = { ...device.target, device: "discrete", subgroups: null };
  // A routed layer too where tests may take long.
  const set = { dim: 32, heads: 2, depth: soaking ? 2 : 1, context: 32, vocab: 40, routed: soaking, capacity: 0.5 };
  const source = readFileSync("bench/models/decoder.mod", "utf8");
  const { generation, diagnostics } = compileGeneration(source, { file: "decoder.mod", target, set });
  if (!generation) throw new Error(diagnostics.map((d) => d.message).join());
  const summed = generation.step.kernels.flatMap(({ wgsl }) => /const SUMMED = (\d+)u/.exec(wgsl)?.[1] ?? []);
  expect(summed.some((lanes) => Number(lanes) > 0)).toBe(true);
  const generator = await createGenerator(generation, device, (w) => initialValues(w, 5));
  const prompts = [
    [3, 1, 4, 1, 5],
    [9, 2, 6],
  ];
  const run = async (some: readonly (readonly number[])[]): Promise<readonly string[][]> => {
    const texts: string[][] = some.map(() => []);
    const sampling = { temperature: 0.8, topP: 0.9, seed: 7, logprobs: true };
    for await (const { sequence, token, logprob } of generator.generate(some, { maxTokens: 8, sampling }))
      texts[sequence]!.push(`${token} ${logprob}`);
    return texts;
  };
  const [together, alone] = [await run(prompts), await run([prompts[0]!])];
  expect(alone[0]).toHaveLength(8);
  expect(alone[0]).toEqual(together[0]);
});
