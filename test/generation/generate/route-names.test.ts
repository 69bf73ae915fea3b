// What routes and attentions are called in what a generation tells: every name once, and none is empty.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import type { Generation } from "../../../src/runtime/program/generation.js";

const HEAD = `import { Attention, Embedding, Linear, SwiGLU } from "std"\n`;

/** Eight networks in one block, each with its own route: from the last down, so that they stay a loop. */
const EXPERTS = `${HEAD}
block Experts(dim: int, n: int = 8) {
  router: Linear(dim, n, bias: false)
  experts: [for i in 0..n: SwiGLU(dim, 8)]
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    scores = router(x)
    y = x
    for i in 0..n {
      expert = above(scores[..., n - 1 - i], 0.0, expected: 25%)
      again = expert
      y = put(y, again, experts[n - 1 - i](take(x, expert)))
    }
    y
  }
}
model M(dim: int = 8) {
  embed: Embedding(16, dim)
  moe: [for i in 0..2: Experts(dim)]
  forward(tokens: u32[B, T <= 16]) -> f32[B, T, 16] {
    x = embed(tokens)
    for m in moe { x = m(x) }
    x @ transpose(embed.table)
  }
}
`;

/** Routes of the model's own forward, one of them without a name, and attentions by the function. */
const OWN = `${HEAD}
model M(dim: int = 8) {
  embed: Embedding(16, dim)
  pick: Linear(dim, 2, bias: false)
  forward(tokens: u32[B, T <= 16]) -> f32[B, T, 16] {
    x = embed(tokens)
    early = above(pick(x)[..., 0], 0.0)
    y = put(x, early, attention(take(x, early), take(x, early), take(x, early), causal: true))
    late = above(pick(y)[..., 1], 0.0)
    z = attention(y, put(y, late, sigmoid(take(y, late))), y, causal: true) + f32(above(pick(y)[..., 0], 1.0).mask)[..., None]
    z @ transpose(embed.table)
  }
}
`;

function named(source: string): Generation {
  const { generation, diagnostics } = compileGeneration(source);
  expect(diagnostics.map((d) => d.message)).toEqual([]);
  return generation!;
}

describe("names of routes", () => {
  it("are those of the calls where each makes one", () => {
    const { axes } = named(readFileSync("examples/moby.mod", "utf8"));
    expect(axes.map((a) => a.path)).toEqual(["", "layers.1", "layers.3", "layers.5"]);
  });

  it("have the name and the number where a call makes several", () => {
    const expert = (layer: number): string[] => Array.from({ length: 8 }, (_, i) => `moe.${layer}.expert#${i}`);
    expect(named(EXPERTS).axes.map((a) => a.path)).toEqual(["", ...expert(0), ...expert(1)]);
  });

  it("are names alone in the model's own forward; a route without one is still called something", () => {
    const { axes, layers } = named(OWN);
    expect(axes.map((a) => a.path)).toEqual(["", "early", "late", "route"]);
    expect(layers.map((l) => l.path)).toEqual(["attention#0", "attention#1"]);
  });
});
