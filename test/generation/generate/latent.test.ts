// Keys and values kept as the narrower row from which they are made: what the caches hold, and that texts are the same.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import { check } from "../../../src/language/check/check.js";
import { formatDiagnostics } from "../../../src/language/diagnostics/format.js";
import { isOp, nodesOf, type Graph } from "../../../src/compiler/ir/graph.js";
import { withLatentRows } from "../../../src/compiler/lower/latent.js";
import { generationGraphs, LOGITS, TOKEN } from "../../../src/compiler/lower/generation.js";
import { lower } from "../../../src/compiler/lower/lower.js";
import { optimize } from "../../../src/compiler/passes/index.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { createEngine } from "../../../src/generation/engine/index.js";
import type { EngineToken } from "../../../src/generation/engine/types.js";
import { createGenerator } from "../../../src/generation/generate/index.js";
import type { Device } from "../../../src/runtime/index.js";
import { expectClose } from "../../close.js";
import { sparingDevice } from "../../device.js";
import { random } from "../../random.js";
import { answerOf, randomWeights } from "../engine/engines.js";
import { Continued, rowOf, type Weights } from "./continued.js";
import { LM, MODELS } from "./models.js";

/** As the folders of DeepSeek-V2 become: one map of keys and values, and rotated columns that heads share. */
const DEEPSEEK = `
block Low(dim: int) {
  q: Linear(dim, 4 * 12, bias: false)
  kv_a: Linear(dim, 10, bias: false)
  kv_norm: RMSNorm(6)
  kv_b: Linear(6, 4 * 13, bias: false)
  o: Linear(20, dim, bias: false)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    q = rearrange(q(x), "b t (h d) -> b h t d", h: 4)
    (low, shared) = split(kv_a(x), [6, 4], axis: -1)
    kv = rearrange(kv_b(kv_norm(low)), "b t (h d) -> b h t d", h: 4)
    q_turned = rope(q[..., 8:], 10000.0)
    k_turned = rope(shared, 10000.0)[:, None] + zeros(like: q_turned)
    k = concat([kv[..., 0:8], k_turned], axis: -1)
    y = attention(concat([q[..., 0:8], q_turned], axis: -1), k, kv[..., 8:], causal: true)
    o(rearrange(y, "b h t d -> b t (h d)"))
  }
}`;

/** Two heads of keys for four heads of queries. Keys and values have separate rows and separate weights. */
const APART = `
block Low(dim: int) {
  q: Linear(dim, 4 * 8)
  kn: Linear(dim, 3)
  vn: Linear(dim, 4)
  k: Linear(3, 16, bias: false)
  v: Linear(4, 12, bias: false)
  o: Linear(24, dim)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    queries = rearrange(q(x), "b t (h d) -> b h t d", h: 4)
    keys = rearrange(k(kn(x)), "b t (h d) -> b h t d", h: 2)
    values = rearrange(v(vn(x)), "b t (h d) -> b h t d", h: 2)
    o(rearrange(attention(queries, keys, values, causal: true), "b h t d -> b t (h d)"))
  }
}`;

const CASES = {
  "one map": { source: LM(DEEPSEEK, "one: Low(dim)", "x = x + one(x)"), kept: [10] },
  "maps apart": { source: LM(APART, "one: Low(dim)", "x = x + one(x)"), kept: [3, 4] },
  "a route": {
    source: LM(DEEPSEEK, "one: MoD(Low(dim), dim, 50%)\n  two: Residual(Low(dim))", "x = two(one(x))"),
    kept: [10, 10],
  },
};

/** Keys with a bias, and keys as wide as the row from which they are made. */
const PLAIN = {
  bias: LM(APART.replace("16, bias: false", "16"), "one: Low(dim)", "x = x + one(x)"),
  wide: MODELS["mixture of depths"]!,
};

function lowered(source: string): Graph {
  const checked = check({ file: "model.mod", text: source }, { phase: "generate", set: {}, read: () => null });
  if (!checked.model) throw new Error(formatDiagnostics(checked.diagnostics, { sources: checked.sources }));
  return lower(checked.model);
}

function weightsOf(graph: Graph): Weights {
  const rng = random(7);
  const weights = new Map<string, { shape: readonly number[]; data: Float64Array }>();
  for (const node of nodesOf(graph)) {
    if (!isOp(node, "weight") || weights.has(node.attrs.path)) continue;
    const { path, shape } = node.attrs;
    const scale = shape.length < 2 ? 1 : 1.5 / Math.sqrt(shape.at(-1)!);
    const value = path.endsWith("guess.down.bias") ? () => 0 : () => rng.normal() * scale;
    weights.set(path, { shape, data: Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, value) });
  }
  return weights;
}

const PROMPTS = [
  [3, 1, 4, 1, 5, 9, 2],
  [6, 5],
  [3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4, 6],
];

describe("latent rows", () => {
  let device: Device;
  beforeAll(async () => {
    device = await sparingDevice();
  });
  afterAll(() => device.destroy());

  for (const [name, { source, kept }] of Object.entries(CASES)) {
    it.each(["rows", "pages"] as const)(`are what caches in %s hold: ${name}`, (caches) => {
      const { prompt } = generationGraphs(lowered(source), { latent: "on", caches });
      const cached = prompt.states.filter((s) => /^cache\..*(keys|values)$/.test(s.name));
      expect(cached.map(({ type }) => type.shape.slice(1))).toEqual(kept.map((width) => [1, width]));
    });

    it(`continue as the whole sequence in the reference: ${name}`, () => {
      const whole = lowered(source);
      const weights = weightsOf(whole);
      const made = generationGraphs(whole, { latent: "on" });
      const graphs = {
        ...made,
        prompt: optimize(made.prompt, { verify: true }),
        step: optimize(made.step, { verify: true }),
      };
      const run = new Continued(graphs, weights, PROMPTS.length, 24);
      const texts = PROMPTS.map((p) => [...p]);
      const logits: number[][] = [];
      let chosen: number[] = [];
      for (let at = 0; at < 12; at += 5) {
        const chunks = PROMPTS.map((p) => p.slice(at, at + 5));
        const out = run.read(chunks);
        chunks.forEach((c, b) => c.length > 0 && (logits[b] = rowOf(out.get(LOGITS)!, b)));
        chosen = [...out.get(TOKEN)!.data];
      }
      for (let i = 0; i < 5; i++) {
        texts.forEach((t, b) => t.push(chosen[b]!));
        const out = run.step(texts.map(() => 1));
        chosen = [...out.get(TOKEN)!.data];
        texts.forEach((_, b) => (logits[b] = rowOf(out.get(LOGITS)!, b)));
      }
      const most = Math.max(...texts.map((t) => t.length));
      const tokens = texts.map((t) => Array.from({ length: most }, (_, i) => t[i] ?? 0));
      const lengths = texts.map((t) => t.length);
      const { outputs } = evaluate(whole, { inputs: new Map([["tokens", tokens]]), weights, lengths, seed: 5 });
      texts.forEach((text, b) => {
        const wanted = rowOf(outputs.get("output")!, b * most + text.length - 1);
        expectClose(logits[b]!, wanted, (v) => 1e-9 * (1 + Math.abs(v)), `sequence ${b}`);
      });
    });

    it(`give the text of plain caches on the device: ${name}`, { tags: "long" }, async () => {
      const texts = [];
      for (const latent of ["off", "on"] as const) {
        const { generation } = compileGeneration(source, { target: device.target, latent });
        const weights = randomWeights(generation!.prompt, 3);
        const generator = await createGenerator(generation!, device, (w) => weights.get(w.path)!.data, { seed: 5 });
        const found: { token: number; logprob: number }[] = [];
        for await (const { token, logprob } of generator.generate(PROMPTS, {
          maxTokens: 8,
          sampling: { logprobs: true },
        }))
          found.push({ token, logprob: logprob! });
        texts.push(found);
      }
      const [plain, rows] = texts;
      expect(rows!.map(({ token }) => token)).toEqual(plain!.map(({ token }) => token));
      const numbers = (all: typeof plain): number[] => all!.map(({ logprob }) => logprob);
      expectClose(numbers(rows), numbers(plain), () => 1e-4, "log-probabilities");
    });
  }

  it("give the text of plain caches in pages", { tags: "long" }, async () => {
    const { source } = CASES["one map"];
    const read = async (latent: "on" | "off"): Promise<readonly EngineToken[]> => {
      const { generation } = compileGeneration(source, { target: device.target, caches: "pages", latent });
      const weights = randomWeights(generation!.prompt, 3);
      const engine = await createEngine(generation!, device, (w) => weights.get(w.path)!.data, {
        maxBatch: 3,
        cacheMemory: 1 << 20,
      });
      const request = (prompt: readonly number[]) => ({ prompt, maxTokens: 8, logprobs: 0 }) as const;
      const answers = await Promise.all(PROMPTS.map((prompt) => answerOf(engine.submit(request(prompt)))));
      const tokens = answers.flatMap((answer) => answer.tokens);
      await engine.close();
      return tokens;
    };
    const [plain, rows] = [await read("off"), await read("on")];
    expect(rows.map(({ token }) => token)).toEqual(plain.map(({ token }) => token));
    const numbers = (tokens: readonly EngineToken[]): number[] => tokens.map(({ score }) => score!.logprob);
    expectClose(numbers(rows), numbers(plain), () => 1e-4, "log-probabilities");
  });

  it.each(Object.entries(PLAIN))("are not of keys with a reason against: %s", (_name, source) => {
    const graph = lowered(source);
    expect(withLatentRows(graph)).toBe(graph);
  });

  it("are on or off", () => {
    const wrong = { latent: "maybe" as "on" };
    expect(() => generationGraphs(lowered(MODELS["mixture of depths"]!), wrong)).toThrow(
      'latent is "maybe": it is "on" or "off"',
    );
  });
});
