// Caches of models with several sequences in ONNX: an encoder-decoder reads its source in the first run alone, and then
// continues from the cached keys and values of the source.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { randomTokens, randomWeights, reference } from "../../end-to-end/model.js";
import { askOnnx, hasOnnx, onnxNote } from "../../onnxruntime.js";
import { optimized } from "../../optimized.js";
import { root as repository } from "../cli/spawn.js";
import { modelOf, written } from "./onnx-files.js";
import { expectClose } from "./onnx-same.js";

const SCRIPT = new URL("onnx_run.py", import.meta.url);
const folder = mkdtempSync(join(tmpdir(), "modc-onnx-given-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const TRANSLATE = readFileSync(join(repository, "examples", "inputs", "translate.mod"), "utf8");
/** Routed keys and a short convolution in the encoder, weighted keys in the decoder. */
const ROUTED = `
import { Attention, CrossAttention, Embedding, Linear, MoD, Layer, ShortConv } from "std"
model M(vocab: int = 24, dim: int = 16) {
  embed:   Embedding(vocab, dim)
  conv:    ShortConv(dim, 3)
  encoder: MoD(Layer(dim, 2, causal: false), dim, 50%)
  weigh:   Linear(dim, 1)
  q: Linear(dim, dim)
  k: Linear(dim, dim)
  layer:   Layer(dim, 2)
  local:   ShortConv(dim, 2)
  forward(source: u32[B, S <= 32], tokens: u32[B, T <= 32]) -> f32[B, T, vocab] {
    m = encoder(conv(embed(source)))
    x = embed(tokens)
    x = x + layer(x) + local(x)
    w = sigmoid(weigh(m))[..., 0]
    x = x + attention(q(x), k(m), m, weight: w)
    x @ transpose(embed.table)
  }
}`;

interface Answer {
  readonly runs: readonly Readonly<Record<string, { readonly shape: number[]; readonly data: number[] }>>[];
}

describe.skipIf(!hasOnnx)(`caches of several sequences in ONNX${onnxNote}`, { timeout: 240_000 }, () => {
  it.each([
    ["an encoder-decoder", TRANSLATE, { vocab: "24", dim: "16", heads: "2", depth: "2" }],
    ["an encoder with a route and a convolution, and weights of keys", ROUTED, {}],
  ] as const)("%s reads the source once", { tags: "long" }, async (name, text, set) => {
    const model = modelOf(text, { set, phase: "generate" });
    const weights = randomWeights(model, 7);
    const path = join(folder, `${name.replaceAll(" ", "-")}.onnx`);
    const { graph: exported } = written(path, model, weights, { caches: true, lengths: true });
    const inputs = exported.inputs.map((port) => port.name);
    expect(inputs).toEqual(expect.arrayContaining(["source", "tokens", "past.S.positions", "past.positions"]));
    const [batch, S, steps, V] = [2, 5, [3, 1, 1, 1], 24];
    const sources = [5, 3];
    const total = steps.reduce((a, b) => a + b);
    const source = Array.from(randomTokens([batch, S], V, 11).data);
    const tokens = Array.from(randomTokens([batch, total], V, 12).data);
    const { graph } = optimized(text, { set, phase: "generate" });
    let past: Record<string, { readonly shape: readonly number[]; readonly data: readonly number[] }> =
      Object.fromEntries(
        exported.inputs.flatMap((port) => {
          if (!port.name.startsWith("past.")) return [];
          const shape = port.shape.map((size, i) => (i === 0 ? batch : typeof size === "number" ? size : 0));
          return [[port.name, { shape, data: Array<number>(shape.reduce((a, b) => a * b, 1)).fill(0) }]];
        }),
      );
    let read = 0;
    for (const [step, n] of steps.entries()) {
      const first = step === 0;
      const own = tokens.flatMap((token, i) => (i % total >= read && i % total < read + n ? [token] : []));
      const [answer] = await askOnnx<Answer>(SCRIPT, [
        {
          path,
          runs: [
            {
              source: first ? { shape: [batch, S], data: source } : { shape: [batch, 0], data: [] },
              tokens: { shape: [batch, n], data: own },
              "lengths.S": { shape: [batch], data: first ? sources : [0, 0] },
              "lengths.T": { shape: [batch], data: [n, n] },
              ...past,
            },
          ],
        },
      ]);
      const results = answer!.runs[0]!;
      past = Object.fromEntries(
        Object.entries(results).flatMap(([key, value]) =>
          key.startsWith("present.") ? [[key.replace("present", "past"), value]] : [],
        ),
      );
      read += n;
      const whole = reference(graph, weights, {
        inputs: {
          source: { shape: [batch, S], data: Uint32Array.from(source) },
          tokens: {
            shape: [batch, read],
            data: Uint32Array.from(tokens.filter((_, i) => i % total < read)),
          },
        },
        byAxis: { S: sources, T: [read, read] },
      }).outputs.get("output")!;
      for (let b = 0; b < batch; b++) {
        const at = (b * read + read - 1) * V;
        expectClose(
          results["output"]!.data.slice(b * V, (b + 1) * V),
          whole.data.slice(at, at + V),
          `${name}, sequence ${b}, step ${step}`,
        );
      }
    }
    expect(past["past.length"]!.data).toEqual([total, total]);
  });
});

describe("caches of several sequences", () => {
  it("are refused where growing tokens read a given sequence otherwise than as keys", () => {
    const text = `model M() {
  forward(source: f32[B, S, 4], x: f32[B, T, 4]) -> f32[B, T, 4] { x + mean(source, axis: 1, keep: true) }
}`;
    expect(() =>
      written(join(folder, "refused.onnx"), modelOf(text, { phase: "generate" }), new Map(), { caches: true }),
    ).toThrow("read a given sequence as keys alone");
    const none = "model M() { forward(x: f32[B, 4]) -> y: f32[B, 4] { x } }";
    expect(() => written(join(folder, "none.onnx"), modelOf(none), new Map(), { caches: true })).toThrow(
      "caches need a result along a sequence of the inputs; M has none",
    );
  });
});
