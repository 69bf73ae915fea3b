// Tokens generated on a device, each held against one pass of the reference over the whole text.
import { expect } from "vitest";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import { createGenerator } from "../../../src/generation/generate/index.js";
import { lower } from "../../../src/compiler/lower/lower.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import type { Device } from "../../../src/runtime/index.js";
import { randomWeights } from "../../end-to-end/model.js";

/** What 32-bit sums through a few small layers leave of a logit. */
const LOGIT = 2e-3;

/** Compiles, generates, and fails where a token is not the best one or its log-probability is wrong. */
export async function expectGenerated(source: string, device: Device, prompts: readonly number[][]): Promise<void> {
  const { generation, model } = compileGeneration(source, { target: device.target, verify: true });
  if (!generation || !model) throw new Error("it has errors");
  const whole = lower(model);
  const weights = randomWeights(generation.prompt, 5);
  const generator = await createGenerator(generation, device, (w) => weights.get(w.path)!.data, { chunk: 2 });
  try {
    const texts = prompts.map((prompt) => [...prompt]);
    const said = prompts.map((): { readonly token: number; readonly logprob: number }[] => []);
    for await (const { sequence, token, logprob } of generator.generate(prompts, {
      maxTokens: 4,
      sampling: { logprobs: true },
    })) {
      texts[sequence]!.push(token);
      said[sequence]!.push({ token, logprob: logprob! });
    }
    texts.forEach((text, b) => {
      const { data, shape } = evaluate(whole, { inputs: new Map([["tokens", [text]]]), weights }).outputs.get(
        "output",
      )!;
      const width = shape[2]!;
      said[b]!.forEach(({ token, logprob }, i) => {
        const row = data.subarray((prompts[b]!.length - 1 + i) * width, (prompts[b]!.length + i) * width);
        const best = Math.max(...row);
        const total = row.reduce((sum, logit) => sum + Math.exp(logit - best), 0);
        expect(best - row[token]!, `sequence ${b}, token ${i}`).toBeLessThan(LOGIT);
        expect(Math.abs(logprob - (row[token]! - best - Math.log(total)))).toBeLessThan(LOGIT);
      });
      expect(said[b]).toHaveLength(4);
    });
  } finally {
    generator.dispose();
  }
}
