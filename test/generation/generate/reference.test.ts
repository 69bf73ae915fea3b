// A prompt read in chunks and tokens added one by one compute what one pass over the whole sequence does, in the
// reference, for models of every kind of routing.
import { describe, expect, it } from "vitest";
import { check } from "../../../src/language/check/check.js";
import { formatDiagnostics } from "../../../src/language/diagnostics/format.js";
import { isOp, nodesOf, type Graph } from "../../../src/compiler/ir/graph.js";
import { parseGraph } from "../../../src/compiler/ir/parse.js";
import { printGraph } from "../../../src/compiler/ir/print.js";
import { assertSound } from "../../../src/compiler/ir/verify.js";
import { GenerationError } from "../../../src/compiler/lower/generation-error.js";
import { COUNTS, generationGraphs, LOGITS, TOKEN } from "../../../src/compiler/lower/generation.js";
import { lower } from "../../../src/compiler/lower/lower.js";
import type { Tensor } from "../../../src/compiler/ops/define.js";
import { ops } from "../../../src/compiler/ops/index.js";
import { optimize } from "../../../src/compiler/passes/index.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { random } from "../../random.js";
import { Continued, rowOf, type Weights } from "./continued.js";
import { MODELS, RECURRENT_MODELS } from "./models.js";
import { expectClose } from "../../close.js";

function lowered(source: string): Graph {
  const checked = check({ file: "model.mod", text: source }, { phase: "generate", set: {}, read: () => null });
  if (!checked.model) throw new Error(formatDiagnostics(checked.diagnostics, { sources: checked.sources }));
  return lower(checked.model);
}

/** Normal; vectors around 1. */
function weightsOf(graph: Graph, seed: number): Weights {
  const rng = random(seed);
  const weights = new Map<string, { shape: readonly number[]; data: Float64Array }>();
  for (const node of nodesOf(graph)) {
    if (!isOp(node, "weight") || weights.has(node.attrs.path)) continue;
    const { path, shape } = node.attrs;
    const scale = 1.5 / Math.sqrt(shape.at(-1) ?? 1);
    const value = path.endsWith("guess.down.bias")
      ? () => 0
      : shape.length < 2
        ? () => 1 + 0.2 * rng.normal()
        : () => rng.normal() * scale;
    weights.set(path, { shape, data: Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, value) });
  }
  return weights;
}

/** Within what reordering sums of 64-bit floats leaves. */
function expectSame(found: readonly number[], wanted: readonly number[], what: string): void {
  expectClose(found, wanted, (v) => 1e-10 * (1 + Math.abs(v)), what);
}

const PROMPTS = [[3, 1, 4, 1, 5, 9, 2], [6, 5], [3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4, 6], [2], [7, 1, 8, 2, 8]];
const ADDED = 5;

describe("prompt and steps in the reference", () => {
  for (const [name, source] of Object.entries({ ...MODELS, ...RECURRENT_MODELS }))
    it(`continue as the whole sequence: ${name}`, { tags: "long" }, () => {
      const whole = lowered(source);
      const weights = weightsOf(whole, 11);
      const made = generationGraphs(whole);
      const graphs = {
        ...made,
        prompt: optimize(made.prompt, { verify: true }),
        step: optimize(made.step, { verify: true }),
      };
      for (const [batch, size] of [
        [1, 12],
        [2, 1],
        [5, 4],
      ] as const) {
        const prompts = PROMPTS.slice(0, batch);
        const run = new Continued(graphs, weights, batch, 24);
        const texts = prompts.map((p) => [...p]);
        const logits: number[][] = [];
        const longest = Math.max(...prompts.map((p) => p.length));
        let counts: ReadonlyMap<string, Tensor> = new Map();
        let chosen: number[] = [];
        for (let at = 0; at < longest; at += size) {
          const chunks = prompts.map((p) => p.slice(at, at + size));
          const out = run.read(chunks);
          chunks.forEach((c, b) => {
            if (c.length > 0) logits[b] = rowOf(out.get(LOGITS)!, b);
          });
          chosen = [...out.get(TOKEN)!.data];
          counts = out;
        }
        for (let i = 0; i < ADDED; i++) {
          // A sequence that has ended, the second here, is left as it is.
          const lengths = prompts.map((_, b) => (b === 1 && i >= 2 ? 0 : 1));
          lengths.forEach((n, b) => n > 0 && texts[b]!.push(chosen[b]!));
          const before = chosen;
          const out = run.step(lengths);
          chosen = [...out.get(TOKEN)!.data];
          lengths.forEach((n, b) => {
            if (n > 0) logits[b] = rowOf(out.get(LOGITS)!, b);
            else expect(chosen[b], "the token of a sequence that has ended").toBe(before[b]);
          });
          counts = out;
        }
        const most = Math.max(...texts.map((t) => t.length));
        const tokens = texts.map((t) => Array.from({ length: most }, (_, i) => t[i] ?? 0));
        const wanted = evaluate(whole, {
          inputs: new Map([["tokens", tokens]]),
          weights,
          lengths: texts.map((t) => t.length),
          seed: 5,
        });
        const output = wanted.outputs.get("output")!;
        texts.forEach((text, b) => {
          const what = `${batch} by ${size}, sequence ${b}`;
          expectSame(logits[b]!, rowOf(output, b * most + text.length - 1), what);
          // Each token is the one that the whole sequence would have chosen there.
          for (let i = prompts[b]!.length; i < text.length; i++) {
            const row = rowOf(output, b * most + i - 1);
            expect(text[i], what).toBe(row.indexOf(Math.max(...row)));
          }
        });
        const rows = [...counts.get(COUNTS)!.data];
        graphs.axes.forEach(({ axis }, i) => {
          const found = rows.slice(i * texts.length, (i + 1) * texts.length);
          const starts = wanted.routes.get(axis)?.used.starts.data;
          expect(found, `${batch} by ${size}, ${axis}`).toEqual(
            texts.map((t, b) => (starts ? starts[b + 1]! - starts[b]! : t.length)),
          );
        });
      }
    });

  it("give all logits when they are asked for", () => {
    const whole = lowered(MODELS["mixture of depths"]!);
    const weights = weightsOf(whole, 3);
    const graphs = generationGraphs(whole, { logits: "all" });
    const out = new Continued(graphs, weights, 2, 24).read(PROMPTS.slice(0, 2));
    const tokens = [PROMPTS[0]!, [...PROMPTS[1]!, 0, 0, 0, 0, 0]];
    const wanted = evaluate(whole, {
      inputs: new Map([["tokens", tokens]]),
      weights,
      lengths: [7, 2],
      seed: 5,
    }).outputs.get("output")!;
    expectSame([...out.get(LOGITS)!.data], [...wanted.data], "logits");
  });
});

describe("graphs of generation", () => {
  it("are sound, and print as text that reads back", () => {
    for (const source of Object.values({ ...MODELS, ...RECURRENT_MODELS })) {
      const [rows, pages] = (["rows", "pages"] as const).map((caches) => generationGraphs(lowered(source), { caches }));
      for (const graph of [rows!.prompt, rows!.step, pages!.prompt, pages!.step]) {
        assertSound(graph, ops, "generation");
        const text = printGraph(graph);
        expect(printGraph(parseGraph(text, ops))).toBe(text);
      }
    }
  });

  it("compute the logits of last rows only, down to the last attention", () => {
    const { prompt } = generationGraphs(lowered(MODELS["dense"]!));
    const text = printGraph(optimize(prompt));
    // The hidden layer of the last feed-forward network, and the queries of the last attention.
    expect(text).toMatch(/matmul.*: f32\[rows\(generate\.sequence\), 48\]/);
    expect(text).toMatch(/attention.*: f32\[4, rows\(generate\.sequence\), 4\]/);
  });

  it("are refused where a model is none of one token after another", () => {
    const refused = (source: string, message: RegExp): void => {
      const graph = lowered(source);
      expect(() => generationGraphs(graph)).toThrow(GenerationError);
      expect(() => generationGraphs(graph)).toThrow(message);
    };
    refused("model M() { forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x } }", /u32\[B, T\], its tokens/);
    const two = lowered("model M() { forward(a: u32[B, T], b: u32[B, T]) -> f32[B, T, 1] { f32(a + b)[..., None] } }");
    expect(generationGraphs(two)).toMatchObject({ input: "a", beside: ["b"], given: null });
    expect(() => generationGraphs(two, { caches: "pages" })).toThrow(
      /only input is their tokens, but this one has b too/,
    );
  });
});
