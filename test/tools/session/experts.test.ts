// A session that tells which experts tokens choose, held against one pass over the whole text.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { GeneratedText } from "../../../src/generation/generate/index.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import type { Device } from "../../../src/runtime/index.js";
import { openSession, type TextSession } from "../../../src/tools/session/index.js";
import { sparingDevice } from "../../device.js";
import { randomWeights } from "../../end-to-end/model.js";
import { optimized } from "../../optimized.js";

/** A mixture for all tokens, and one in a layer that only some take. */
const SOURCE = `import { Attention, Embedding, LayerOf, MoD, MoE, RMSNorm, SwiGLU } from "std"

model Told(vocab: int = 256, dim: int = 16) {
  embed: Embedding(vocab, dim)
  all:   LayerOf(Attention(dim, 2), MoE([for e in 0..4: SwiGLU(dim, 8)], dim, 2), dim)
  some:  MoD(LayerOf(Attention(dim, 2), MoE([for e in 0..3: SwiGLU(dim, 8)], dim, 1), dim), dim, 50%)
  norm:  RMSNorm(dim)
  forward(tokens: u32[B, T <= 40]) -> f32[B, T, vocab] {
    x = embed(tokens)
    norm(some(x + all(x))) @ transpose(embed.table)
  }
}
`;
const PROMPTS = ["Call me", "Is"];
const folder = mkdtempSync(join(tmpdir(), "modc-experts-"));
const { graph, model } = optimized(SOURCE, { phase: "generate" });
const weights = randomWeights(model, 3, 2);
let device: Device;
let session: TextSession;
beforeAll(async () => {
  device = await sparingDevice();
  writeFileSync(join(folder, "told.mod"), SOURCE);
  session = await openSession(join(folder, "told.mod"), { device, weights: (w) => weights.get(w.path)!.data });
});
afterAll(() => {
  session.dispose();
  device.destroy();
  rmSync(folder, { recursive: true });
});

async function said(options: { readonly experts?: boolean; readonly maxTokens: number }): Promise<GeneratedText[]> {
  const events: GeneratedText[] = [];
  for await (const event of session.generate({ prompts: PROMPTS }, options)) events.push(event);
  return events;
}

/** For each choice, the experts of its layer's tokens in one pass, and the places of the tokens. */
function expected(text: readonly number[], path: string) {
  const { outputs } = evaluate(graph, { inputs: new Map([["tokens", [text]]]), weights });
  const rows = (name: string): number[][] => {
    const { data, shape } = outputs.get(`${name}.index`)!;
    const width = shape[2] ?? 1;
    return Array.from({ length: shape[1]! }, (_, t) => Array.from(data.subarray(t * width, (t + 1) * width)));
  };
  const places = path.startsWith("some") ? rows("some.chosen").flat() : text.map((_, t) => t);
  return { places, experts: rows(path) };
}

describe("a session with experts", () => {
  it("has for each token, and in the summary, the experts that one pass chooses", async () => {
    const events = await said({ experts: true, maxTokens: 6 });
    const { choices } = session.generation;
    expect(choices!.map(({ path }) => path)).toEqual(["all.mlp.chosen", "some.inner.mlp.chosen"]);
    const loads = [Array(4).fill(0) as number[], Array(3).fill(0) as number[]];
    const all = session.experts();
    for (const [b, prompt] of PROMPTS.entries()) {
      const own = events.filter(({ sequence }) => sequence === b);
      const text = [...new TextEncoder().encode(prompt), ...own.map(({ token }) => token)].slice(0, -1);
      for (const [c, { path }] of choices!.entries()) {
        const { places, experts } = expected(text, path);
        expect(all[c]![b], path).toEqual(experts);
        experts.flat().forEach((e) => loads[c]![e]!++);
        own.forEach((event, n) => {
          if (event.routes === null) return expect(event.experts).toBeNull();
          const row = places.indexOf(prompt.length + n - 1);
          return expect(event.experts![c], `${path}, token ${n}`).toEqual(row < 0 ? null : experts[row]);
        });
      }
      expect(own.slice(1).every(({ routes }) => routes !== null)).toBe(true);
    }
    expect(session.summary!.experts!.map((use) => use.loads)).toEqual(loads);
    expect(loads[1]!.reduce((a, n) => a + n, 0)).toBeGreaterThan(0);
  });

  it("has none where nobody asks, nor those of the generation before", async () => {
    const events = await said({ maxTokens: 2 });
    expect(events.some((event) => "experts" in event)).toBe(false);
    expect(session.summary).not.toHaveProperty("experts");
    expect(session.experts()).toEqual([]);
  });

  it("has those of what was said where the loop is left early", async () => {
    for await (const event of session.generate(PROMPTS[0]!, { experts: true, maxTokens: 9 }))
      if (event.experts && session.summary!.generatedTokens === 3) break;
    const [own] = session.experts()[0]!;
    expect(own!.length).toBeGreaterThanOrEqual(PROMPTS[0]!.length + 2);
    expect(session.summary!.experts![0]!.tokens).toBe(own!.length);
  });
});
