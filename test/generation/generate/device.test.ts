// Tokens that a device generates, held against the reference: one pass over the whole text under the causal rule, in 64
// bits.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compileGeneration, type CompileGenerationOptions } from "../../../src/compiler/compile-generation.js";
import {
  createGenerator,
  type GeneratedToken,
  type Generator,
  parseGeneration,
  printGeneration,
} from "../../../src/generation/generate/index.js";
import { lower } from "../../../src/compiler/lower/lower.js";
import type { Graph } from "../../../src/compiler/ir/graph.js";
import type { Program } from "../../../src/runtime/program/program.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { type Device, matchWeights, readSafetensors, readWeight } from "../../../src/runtime/index.js";
import { ANY_DEVICE } from "../../any-device.js";
import { sparingDevice } from "../../device.js";
import { random } from "../../random.js";
import { randomWeights, type Weights } from "../engine/engines.js";
import { MODELS } from "./models.js";

let device: Device;
beforeAll(async () => {
  device = await sparingDevice();
});
afterAll(() => device.destroy());

interface Made {
  readonly generator: Generator;
  readonly whole: Graph;
  readonly weights: Weights;
}

async function made(
  source: string,
  weightsOf: (program: Program) => Promise<Weights> | Weights,
  options: CompileGenerationOptions & { chunk?: number } = {},
): Promise<Made> {
  const { generation, model } = compileGeneration(source, { target: device.target, ...options });
  const weights = await weightsOf(generation!.prompt);
  // What is shipped is text.
  const shipped = parseGeneration(printGeneration(generation!));
  const generator = await createGenerator(shipped, device, (w) => weights.get(w.path)!.data, {
    seed: 5,
    ...(options.chunk && { chunk: options.chunk }),
  });
  return { generator, whole: lower(model!), weights };
}

async function collected(
  generator: Generator,
  prompts: readonly number[][],
  maxTokens: number,
): Promise<GeneratedToken[][]> {
  const tokens: GeneratedToken[][] = prompts.map(() => []);
  for await (const token of generator.generate(prompts, { maxTokens, sampling: { logprobs: true } }))
    tokens[token.sequence]!.push(token);
  return tokens;
}

/** The axis of all tokens. */
const ROOT = "T";

/** What 32-bit sums through a few small layers leave of a logit, and of a route's score. */
const LOGIT = 2e-3;
const SCORE = 1e-4;

/**
 * Each token is the best there, or as good; its log-probability is right; each route took as many tokens. Returns how
 * many sequences a near-tie of a route left out.
 */
async function expectReference(
  { generator, whole, weights }: Made,
  prompts: readonly number[][],
  tokens: readonly GeneratedToken[][],
): Promise<number> {
  let left = 0;
  const taken = await generator.taken();
  const used = whole.axes.filter((a) => a.role === "sequence" && a.count.kind === "above").map((a) => a.name);
  const totals = new Map(used.map((axis) => [axis, 0]));
  prompts.forEach((prompt, b) => {
    const added = tokens[b]!.map((t) => t.token);
    expect(tokens[b]!.map((t) => t.index)).toEqual(added.map((_, i) => i));
    const text = [...prompt, ...added.slice(0, -1)];
    const { outputs, routes } = evaluate(whole, { inputs: new Map([["tokens", [text]]]), weights, seed: 5 });
    if ([...routes.values()].some((r) => r.margins[0]! < SCORE)) {
      left++;
      return;
    }
    const { data, shape } = outputs.get("output")!;
    const width = shape[2]!;
    added.forEach((token, i) => {
      const row = data.subarray((prompt.length - 1 + i) * width, (prompt.length + i) * width);
      const best = row.reduce((a, v) => Math.max(a, v), -Infinity);
      expect(best - row[token]!, `sequence ${b}, token ${i}`).toBeLessThan(LOGIT);
      const sum = row.reduce((s, v) => s + Math.exp(v - best), 0);
      expect(
        Math.abs(tokens[b]![i]!.logprob! - (row[token]! - best - Math.log(sum))),
        `sequence ${b}, token ${i}`,
      ).toBeLessThan(LOGIT);
    });
    for (const [axis, route] of routes) {
      totals.set(axis, totals.get(axis)! + route.used.index.data.length);
      const at = generator.generation.axes.findIndex((a) => a.axis === axis);
      const positions =
        whole.axes.some(
          (a) => a.name === axis && a.role === "sequence" && a.count.kind === "above" && a.count.parent === ROOT,
        ) && taken[at];
      if (positions) expect([...positions[b]!]).toEqual([...route.used.index.data]);
      // What each step says of the token it read.
      const steps = tokens[b]!.flatMap((t, i) => (t.routes?.[at] && positions ? [prompt.length + i - 1] : []));
      const read = tokens[b]![0]!.routes === null ? prompt.length : prompt.length - 1;
      if (positions) expect(steps).toEqual([...positions[b]!].filter((p) => p >= read));
    }
    expect(taken[0]![b]).toHaveLength(text.length);
  });
  const { routes } = generator.summary!;
  expect(routes[0]!.tokens).toBe(prompts.reduce((n, p, b) => n + p.length + tokens[b]!.length - 1, 0));
  // Axes of routes come in the order of the layers, as they do in the graph.
  if (left === 0) expect(routes.slice(1).map((r) => r.tokens)).toEqual([...totals.values()]);
  return left;
}

const PROMPTS = [[3, 1, 4, 1, 5, 9, 2], [6, 5], [3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4, 6], [2], [7, 1, 8, 2, 8]];

describe("on a device", () => {
  for (const [name, source] of Object.entries(MODELS))
    it(`prompt and steps are the whole sequence: ${name}`, { tags: "long" }, async () => {
      const model = await made(source, (program) => randomWeights(program, 11), { chunk: 5 });
      let left = 0;
      for (const batch of [1, 2, 5]) {
        const prompts = PROMPTS.slice(0, batch);
        left += await expectReference(model, prompts, await collected(model.generator, prompts, 7));
      }
      expect(left).toBeLessThan(2);
      model.generator.dispose();
    });

  for (const name of ["mixture of depths", "every layer routed"])
    it(`prompts of every length to the context, at once: ${name}`, { tags: "long" }, async () => {
      const model = await made(MODELS[name]!, (program) => randomWeights(program, 12), { chunk: 7 });
      const rng = random(2);
      const prompts = Array.from({ length: 24 }, (_, n) => Array.from({ length: n + 1 }, () => rng.below(13)));
      const tokens = await collected(model.generator, prompts, 3);
      // A prompt as long as the context gets the token that comes next, and no more.
      expect(tokens.map((t) => t.length)).toEqual(prompts.map((p) => Math.min(3, 25 - p.length)));
      expect(await expectReference(model, prompts, tokens)).toBeLessThan(4);
      model.generator.dispose();
    });

  for (const name of ["dense", "mixture of depths", "nested routes", "one block called twice"])
    it(`kernels that may bind no more than any device allows give the same: ${name}`, { tags: "long" }, async () => {
      const model = await made(MODELS[name]!, (program) => randomWeights(program, 11), {
        chunk: 5,
        target: ANY_DEVICE,
      });
      expect(await expectReference(model, PROMPTS, await collected(model.generator, PROMPTS, 7))).toBeLessThan(2);
      model.generator.dispose();
    });

  it("the trained moby is the whole sequence too, in batches of one, two and five", { tags: "long" }, async () => {
    const file = (name: string): Uint8Array => readFileSync(join(import.meta.dirname, "../../../examples", name));
    const stored = readSafetensors(file("moby.safetensors"));
    const model = await made(
      new TextDecoder().decode(file("moby.mod")),
      async (program) => {
        const matched = matchWeights(program, stored);
        const entries = await Promise.all(
          program.weights.map(
            async (w) =>
              [
                w.path,
                { shape: w.shape, data: (await readWeight(w, matched.get(w)!, stored)) as Float32Array },
              ] as const,
          ), // all are f32
        );
        return new Map(entries);
      },
      { chunk: 50 },
    );
    const text = [...file("moby-dick.txt")];
    // Each prompt begins at another place of the text.
    const prompts = [1, 100, 17, 40, 64].map((n, i) => text.slice(31 * i, 31 * i + n));
    let left = 0;
    for (const batch of [[0], [1, 2], [0, 1, 2, 3, 4]]) {
      const chosen = batch.map((i) => prompts[i]!);
      left += await expectReference(model, chosen, await collected(model.generator, chosen, 6));
    }
    expect(left).toBeLessThan(3);
    model.generator.dispose();
  });
});
