// Gradients through routing: the cases of docs on Mixture-of-Depths, and that the backward pass of a routed block works
// on its rows.
import { describe, expect, it } from "vitest";
import { trainStep } from "../../../src/compiler/autodiff/train-step.js";
import { isOp, nodesOf, nodesReaching, typeOf, type Graph, type Node } from "../../../src/compiler/ir/graph.js";
import { packedAxis, printShape } from "../../../src/compiler/ir/typing.js";
import { optimize } from "../../../src/compiler/passes/index.js";
import { PORTABLE } from "../../../src/runtime/program/target.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { schedule } from "../../../src/compiler/schedule/schedule.js";
import { random } from "../../random.js";
import { differentiated, floatLeaves, type Given, type Values } from "./differences.js";
import { exampleSource, lowered } from "./models.js";
import { MODELS, ROUTED } from "./sources.js";
import { trial } from "./trial.js";
import { expectClose } from "../../close.js";

/** Nodes that the loss does not need: the backward pass. */
function backwardOf(graph: Graph): readonly Node[] {
  const forward = new Set(nodesReaching(graph.outputs.filter((o) => o.name === "loss").map((o) => o.node)));
  return nodesOf(graph).filter((n) => !forward.has(n));
}

const within = (node: Node, path: string): boolean =>
  node.origin !== null && (node.origin.path === path || node.origin.path.startsWith(`${path}.`));

/** Whether it has a row for each token, and rows of more than one element. */
const isWide = (node: Node): boolean =>
  node.types.some(({ shape }) => shape.some((s) => packedAxis(s) === "T") && shape.length > 1 && shape.at(-1) !== 1);

describe("the backward pass of a routed block", () => {
  it.each([
    { name: "without a predictor", source: ROUTED, paths: ["layer"] },
    {
      name: "with predictors",
      source: MODELS.find((m) => m.name === "routed layers with predictors")!.source,
      paths: ["layers.1", "layers.2"],
    },
  ])("$name touches all tokens in the stream alone", ({ source, paths }) => {
    const { graph, loss, weights } = trial({ source, set: {} }, 1);
    const after = optimize(differentiated(graph, loss, weights));
    const wide = backwardOf(after).filter((n) => isWide(n) && paths.some((p) => within(n, p)));
    // The predictor's loss is one over all tokens.
    const left = wide.filter((n) => !paths.some((p) => within(n, `${p}.guess`)));
    for (const node of left)
      expect(["put", "set", "add", "barrier"], `${node.op} ${printShape(typeOf(node).shape)}`).toContain(node.op);
    // One scatter for each block.
    const scatters = backwardOf(after).filter(
      (n) => (isOp(n, "put") || isOp(n, "set")) && isWide(n) && !isOp(n.inputs[0], "barrier"),
    );
    expect(scatters).toHaveLength(paths.length);
  });

  it("keeps one stream: what a block has written over is read with its rows put back, in place", () => {
    const width = 32;
    const { graph, model } = lowered(exampleSource("moby.mod"), {
      set: { dim: `${width}`, heads: "2", depth: "4", vocab: "19", context: "64" },
    });
    const optimizer = { kind: "adamw", beta1: 0.9, beta2: 0.95, eps: 1e-8 } as const;
    const after = optimize(trainStep(graph, model.weights, { optimizer, clip: 1, accumulated: false }).graph, {
      verify: true,
    });
    const restored = backwardOf(after).filter((n) => isOp(n, "set") && isOp(n.inputs[0], "barrier"));
    expect(restored).toHaveLength(2);
    // No copy of the stream is made to write to.
    const copies = schedule(after, PORTABLE).steps.filter(
      (s) => s.kind === "copy" && s.nodes.some((n) => n.types.some((t) => t.shape.at(-1) === width)),
    );
    expect(copies.map((s) => s.nodes.map((n) => n.op).join())).toEqual([]);
  });
});

interface Found {
  readonly loss: number;
  /** By input or weight. */
  readonly of: (name: string) => readonly number[];
}

function gradientsOf(graph: Graph, given: Given, of = "loss"): Found {
  const loss = graph.outputs.find((o) => o.name === of)!.node;
  const whole = differentiated(graph, loss, floatLeaves(graph));
  const { outputs } = evaluate(whole, given);
  return {
    loss: outputs.get("loss")!.data[0]!,
    of: (name) => [...(outputs.get(`d weight ${name}`) ?? outputs.get(`d input ${name}`))!.data],
  };
}

const summed = (source: string): string => `${source.trimEnd().slice(0, -1)}
  objective(x: f32[B, T <= 64, 1]) { loss all = sum(forward(x)) }
}`;
const goldenInput: Given = {
  inputs: new Map([["x", { shape: [1, 4, 1], data: [1, 3, 2, 4] }]]),
  weights: new Map([["router", { shape: [1], data: [1] }]]),
};

/** One routed block: `body` says what becomes of the update u, of the route r and the score s. */
const block = (body: string, more = "", k = "ceil(50% * T)"): string => `import { Layer, Linear, MoD } from "std"

block Routed(inner: block, dim: int) {
  router: Linear(dim, 1, bias: false)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    s = router(x)[..., 0]
    r = top(s, ${k})
    ${more}
    u = inner(take(x, r))
    ${body}
  }
}

model One(dim: int = 4) {
  layer: Routed(Layer(dim, 2), dim)
  forward(x: f32[B, T <= 16, dim]) -> f32[B, T, dim] { layer(x) }
  objective(x: f32[B, T <= 16, dim], y: f32[B, T, dim]) { loss fit = sum(forward(x) * y) }
}`;

const TOKENS = 6;
const WIDTH = 4;

/** Random weights and inputs of a graph whose inputs are f32[2, 6, 4]. */
function randomGiven(graph: Graph, seed = 5): Given {
  const rng = random(seed);
  const values = (shape: readonly number[]): Values => ({
    shape,
    data: Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => rng.normal()),
  });
  const weights = nodesOf(graph).filter((n) => isOp(n, "weight"));
  return {
    inputs: new Map(graph.inputs.map((i) => [i.name, values([2, TOKENS, WIDTH])])),
    weights: new Map(weights.map((w) => [w.attrs.path, values(w.attrs.shape)])),
  };
}

const graphOf = (source: string): Graph => lowered(source).graph;
const close = (found: readonly number[], expected: readonly number[]): void =>
  expectClose(found, expected, (v) => 1e-12 * Math.max(1, Math.abs(v)));

describe("gradients through a choice", () => {
  it("of the golden model are as worked out by hand (case B3)", () => {
    const found = gradientsOf(graphOf(summed(exampleSource("golden.mod"))), goldenInput);
    expect(found.of("x")).toEqual([1, 9, 1, 6.5]);
    expect(found.of("router")).toEqual([23]);
  });

  it("pass a block that chooses nothing as they came (case B2)", () => {
    const none = graphOf(summed(exampleSource("golden.mod").replace("top(score, 2)", "top(score, 0)")));
    const found = gradientsOf(none, goldenInput);
    expect(found.of("x")).toEqual([1, 1, 1, 1]);
    expect(found.of("router")).toEqual([0]);
  });

  it("are those of a dense block where all are chosen and nothing is gated (case B1)", () => {
    const all = graphOf(block("put(x, r, u)", "", "T"));
    const dense = graphOf(block("x + inner(x) + 0.0 * s[..., None]", "", "T").replace("u = inner(take(x, r))", ""));
    const given = randomGiven(all);
    const [one, other] = [gradientsOf(all, given), gradientsOf(dense, given)];
    expect(one.loss).toBe(other.loss);
    for (const name of ["x", ...given.weights.keys()])
      if (name !== "layer.router.weight") close(one.of(name), other.of(name));
  });

  it(
    "reach a score through its gate alone: the product of update and cotangent where chosen, nothing elsewhere " +
      "(case B11)",
    () => {
      // An input adds a bias to each token's score: its gradient shows the cotangents of the scores.
      const source = block("put(x, r, u * take(s + bias[..., 0], r)[..., None])")
        .replace("forward(x: f32[B, T, dim])", "forward(x: f32[B, T, dim], bias: f32[B, T, dim])")
        .replace(
          "forward(x: f32[B, T <= 16, dim]) -> f32[B, T, dim] { layer(x) }",
          "forward(x: f32[B, T <= 16, dim], b: f32[B, T, dim]) -> f32[B, T, dim] { layer(x, b) }",
        )
        .replace(
          "objective(x: f32[B, T <= 16, dim], y: f32[B, T, dim]) { loss fit = sum(forward(x) * y) }",
          "objective(x: f32[B, T <= 16, dim], b: f32[B, T, dim], y: f32[B, T, dim]) { loss fit = sum(forward(x, " +
            "b) * y) }",
        );
      const graph = graphOf(source);
      const given = randomGiven(graph);
      const dbias = gradientsOf(graph, given).of("b");
      // The updates, from the same model without a gate.
      const plain = lowered(block("put(x, r, u)"), { entry: "forward" }).graph;
      const run = evaluate(plain, { ...given, inputs: new Map([["x", given.inputs.get("x")!]]) });
      const [x, y] = ["x", "y"].map((name) => Array.from(given.inputs.get(name)!.data)) as [number[], number[]];
      const out = [...run.outputs.values()][0]!.data;
      for (let row = 0; row < 2 * TOKENS; row++) {
        let product = 0;
        for (let c = 0; c < WIDTH; c++) product += (out[row * WIDTH + c]! - x[row * WIDTH + c]!) * y[row * WIDTH + c]!;
        close([dbias[row * WIDTH]!], [product]);
        close(dbias.slice(row * WIDTH + 1, (row + 1) * WIDTH), [0, 0, 0]);
      }
    },
  );

  it("of an auxiliary loss on the router are (σ(s) − t)/N, and its targets have none (case B10)", () => {
    const source = (zero: string): string =>
      block("put(x, r, u)", "loss aux = bce(s" + zero + ", r.mask)").replace("layer(x) }", "layer(x) }");
    const atZero = graphOf(source(" * 0.0"));
    expect(gradientsOf(atZero, randomGiven(atZero), "loss.layer.aux").loss).toBeCloseTo(Math.LN2, 12);
    const graph = graphOf(source(""));
    const given = randomGiven(graph);
    const found = gradientsOf(graph, given, "loss.layer.aux");
    const [x, w] = [
      Array.from(given.inputs.get("x")!.data),
      Array.from(given.weights.get("layer.router.weight")!.data),
    ];
    const scores = Array.from({ length: 2 * TOKENS }, (_, row) =>
      w.reduce((a, v, c) => a + v * x[row * WIDTH + c]!, 0),
    );
    const dw = new Array<number>(WIDTH).fill(0);
    const dx: number[] = [];
    scores.forEach((score, row) => {
      const first = row - (row % TOKENS);
      const better = scores.slice(first, first + TOKENS).filter((other) => other > score).length;
      const ds = (1 / (1 + Math.exp(-score)) - (better < TOKENS / 2 ? 1 : 0)) / (2 * TOKENS);
      for (let c = 0; c < WIDTH; c++) {
        dw[c]! += ds * x[row * WIDTH + c]!;
        dx.push(ds * w[c]!);
      }
    });
    close(found.of("layer.router.weight"), dw);
    close(found.of("x"), dx);
  });

  it("of a predictor's loss reach neither the trunk nor the router, and leave the others as they are (case B10)", () => {
    const source = block("put(x, r, u)").replace("Routed(Layer(dim, 2), dim)", "MoD(Layer(dim, 2), dim, 50%)");
    const graph = graphOf(source);
    const given = randomGiven(graph);
    const [all, own] = [gradientsOf(graph, given), gradientsOf(graph, given, "loss.layer.predictor")];
    const fit = gradientsOf(graph, given, "loss.fit");
    for (const name of ["x", ...given.weights.keys()]) {
      const guesses = name.startsWith("layer.guess.");
      expect(
        own.of(name).some((v) => v !== 0),
        name,
      ).toBe(guesses);
      if (!guesses) expect(all.of(name)).toEqual(fit.of(name));
    }
  });

  it("of a router whose score is random are none", () => {
    const { graph, loss, weights, given } = trial(
      MODELS.find((m) => m.name === "random scores")!,
      1,
    );
    const { outputs } = evaluate(differentiated(graph, loss, weights), given);
    expect(weights.map((w) => w.attrs.path)).not.toContain("layer.router.weight");
    for (const w of weights) expect(outputs.get(`d weight ${w.attrs.path}`)!.data.some((v) => v !== 0)).toBe(true);
  });
});

describe("gradients of weights that are used several times", () => {
  it("are the sums of those of their uses", () => {
    const twice = (second: string): string => `import { Layer, Residual } from "std"
model Twice(dim: int = 4) {
  a: Residual(Layer(dim, 2))
  ${second === "a" ? "" : "b: Residual(Layer(dim, 2))"}
  forward(x: f32[B, T <= 16, dim]) -> f32[B, T, dim] { ${second}(a(x)) }
  objective(x: f32[B, T <= 16, dim], y: f32[B, T, dim]) { loss fit = sum(forward(x) * y) }
}`;
    const [shared, apart] = [graphOf(twice("a")), graphOf(twice("b"))];
    const given = randomGiven(shared);
    const both = new Map([
      ...given.weights,
      ...[...given.weights].map(([path, v]): [string, Values] => [path.replace(/^a/, "b"), v]),
    ]);
    const [one, two] = [gradientsOf(shared, given), gradientsOf(apart, { ...given, weights: both })];
    for (const path of given.weights.keys()) {
      const other = two.of(path.replace(/^a/, "b"));
      close(
        one.of(path),
        two.of(path).map((v, i) => v + other[i]!),
      );
    }
  });
});
