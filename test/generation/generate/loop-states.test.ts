// States of recurrences in blocks that are called several times, with caches of the last loop alone: the law of rows.
import { describe, expect, it } from "vitest";
import { check } from "../../../src/language/check/check.js";
import { GenerationError } from "../../../src/compiler/lower/generation-error.js";
import { generationGraphs, LOGITS, TOKEN } from "../../../src/compiler/lower/generation.js";
import { isOp, nodesOf } from "../../../src/compiler/ir/graph.js";
import type { Graph } from "../../../src/compiler/ir/graph.js";
import { lower } from "../../../src/compiler/lower/lower.js";
import { optimize } from "../../../src/compiler/passes/index.js";
import { expectClose } from "../../close.js";
import { random } from "../../random.js";
import { Continued, type Weights } from "./continued.js";
import { LM, RECURRENT } from "./models.js";

function lowered(source: string): Graph {
  const { model } = check({ file: "model.mod", text: source }, { phase: "generate", set: {}, read: () => null });
  return lower(model!);
}

function weightsOf(graph: Graph): Weights {
  const rng = random(4);
  return new Map(
    nodesOf(graph)
      .filter((node) => isOp(node, "weight"))
      .map(({ attrs: { path, shape } }) => {
        const scale = 1.5 / Math.sqrt(shape.at(-1)!);
        const value = shape.length < 2 ? () => 1 + 0.2 * rng.normal() : () => scale * rng.normal();
        const data = Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, value);
        return [path, { shape, data }];
      }),
  );
}

const MEMBERS = "first: Rates(dim)\n  block1: Delta(dim, 2)\n  attn: Residual(Attention(dim, 2))";
const LOOPS: Readonly<Record<string, string>> = {
  "recurrences alone": LM(RECURRENT, MEMBERS, "x = first(x)\n    for r in 0..3 { x = norm(x + block1(x)) }"),
  "beside attention": LM(
    RECURRENT,
    `${MEMBERS}\n  rates: Rates(dim)`,
    "x = first(x)\n    for r in 0..3 { x = norm(rates(attn(x + block1(x)))) }",
  ),
};
const PROMPTS = [[3, 1, 4, 1, 5, 9, 2], [6, 5], [3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4, 6], [2]];

describe("states of the last loop alone", () => {
  it.each(Object.entries(LOOPS))("give a step what the last call's states give in each: %s", (_name, source) => {
    const graph = lowered(source);
    const weights = weightsOf(graph);
    const [each, last] = (["each", "last"] as const).map((loopCaches) => {
      const made = generationGraphs(graph, { loopCaches });
      const [prompt, step] = [made.prompt, made.step].map((one) => optimize(one, { verify: true }));
      return { ...made, prompt: prompt!, step: step! };
    });
    const [own, shared] = [each!, last!].map((graphs) => new Continued(graphs, weights, PROMPTS.length, 24));
    const close = (v: number): number => 1e-10 * (1 + Math.abs(v));
    expectClose(shared!.read(PROMPTS).get(LOGITS)!.data, own!.read(PROMPTS).get(LOGITS)!.data, close, "prompts");
    const withoutCall = (name: string): string => name.replace(/#\d+/, "");
    const kept = [...each!.recurrent, ...each!.layers.flatMap(({ keys, values }) => [keys, values])];
    expect(last!.recurrent.length).toBeLessThan(each!.recurrent.length);
    let apart = 0;
    for (let i = 0; i < 4; i++) {
      const before = own!.states;
      const alone = own!.step(PROMPTS.map(() => 1)).get(LOGITS)!.data;
      const states = new Map(before);
      for (const name of kept)
        states.set(name, before.get(kept.findLast((other) => withoutCall(other) === withoutCall(name))!)!);
      own!.states = states;
      const [wanted, found] = [own!, shared!].map((run) => run.step(PROMPTS.map(() => 1)));
      expectClose(found!.get(LOGITS)!.data, wanted!.get(LOGITS)!.data, close, `step ${i}`);
      expect(found!.get(TOKEN)!.data).toEqual(wanted!.get(TOKEN)!.data);
      apart = Math.max(apart, ...alone.map((v, at) => Math.abs(v - found!.get(LOGITS)!.data[at]!)));
    }
    expect(apart, "they are another law than states of each loop").toBeGreaterThan(1e-3);
  });

  it("are refused where a call leaves out tokens", () => {
    const routed = LM(
      RECURRENT,
      "block1: Delta(dim, 2)\n  weight score: f32[dim]",
      "x = x + block1(x)\n    r = above(x @ score, 0.2)\n    x = put(x, r, block1(take(x, r)))",
    );
    const graph = lowered(routed);
    expect(() => generationGraphs(graph, { loopCaches: "last" })).toThrow(GenerationError);
    expect(() => generationGraphs(graph, { loopCaches: "last" })).toThrow(
      /a call leaves tokens out of the \w+ of block1/,
    );
  });
});
