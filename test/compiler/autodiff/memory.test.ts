// Memory of training steps: what routed layers keep, and layers that are computed again.
import { describe, expect, it } from "vitest";
import { layerOf, layersOf } from "../../../src/compiler/autodiff/layers.js";
import { trainStep } from "../../../src/compiler/autodiff/train-step.js";
import { check } from "../../../src/language/check/check.js";
import { programFor } from "../../../src/compiler/compile.js";
import { nodesOf, type Graph } from "../../../src/compiler/ir/graph.js";
import { lower } from "../../../src/compiler/lower/lower.js";
import { optimize } from "../../../src/compiler/passes/index.js";
import { memoryOf } from "../../../src/runtime/run/memory.js";
import { differentiated } from "./differences.js";
import { exampleSource } from "./models.js";
import { MODELS } from "./sources.js";
import { trial } from "./trial.js";

describe("layers", () => {
  it("are named by a call path up to its first number", () => {
    expect(
      ["layers.3.inner.mlp", "layers.12", "shared.0#2.q", "decoder.layers.0.1.mlp", "norm", "", "embed2.table"].map(
        layerOf,
      ),
    ).toEqual(["layers.3", "layers.12", "shared.0#2", "decoder.layers.0", null, null, null]);
  });
});

interface Run {
  readonly set: Readonly<Record<string, string>>;
  readonly again?: (layers: readonly string[]) => readonly string[];
}

/** Bytes of what a training step computes for so many sequences and tokens, its gradients left out. */
function activations(
  source: string,
  { set, again = () => [] }: Run,
): (max: Readonly<Record<string, number>>) => number {
  const { model, sources } = check(
    { file: "model.mod", text: source },
    { phase: "train", entry: "objective", set, read: () => null },
  );
  const objective = lower(model!);
  const optimizer = { kind: "adamw", beta1: 0.9, beta2: 0.95, eps: 1e-8 } as const;
  const step = trainStep(objective, model!.weights, {
    optimizer,
    clip: 1,
    accumulated: false,
    recompute: new Set(again(layersOf(objective))),
  });
  const program = programFor({ graph: optimize(step.graph, { verify: true }), model: model!, sources });
  const gradients = model!.weights.reduce((bytes, { shape }) => bytes + shape.reduce((a, b) => a * b, 4), 0);
  return (max) => memoryOf(program, { max }).activations - gradients;
}

const moby = exampleSource("moby.mod");
const dense = moby.replace("i % 2 == 1", "i < 0");

describe("memory of a training step", () => {
  const small = { set: { dim: "32", heads: "2", depth: "4", vocab: "32", context: "256" } };
  const max = { B: 4, T: 256 };

  it.each([
    ["dense layers", dense],
    ["routed layers", moby],
  ])("is the less the more of the %s are computed again", { tags: "long" }, (_name, source) => {
    const none = activations(source, small)(max);
    const some = activations(source, { ...small, again: (layers) => layers.slice(0, 1) })(max);
    const all = activations(source, { ...small, again: (layers) => layers })(max);
    expect(some).toBeLessThan(none);
    expect(all).toBeLessThan(Math.min(some, 0.9 * none));
  });

  it.each([128, 256, 512])(
    "grows with a routed layer of width %i by a fifth at most of what it grows with a dense one beyond the stream",
    { tags: "long" },
    (width) => {
      // What another sequence adds: gradients of weights share the memory, and are as large with one sequence as with
      // many.
      const T = 1024;
      const slope = (source: string, depth: number): number => {
        const set = { depth: `${depth}`, context: `${T}`, dim: `${width}`, heads: `${width / 32}` };
        const bytes = activations(source, { set });
        return bytes({ B: 9, T }) - bytes({ B: 8, T });
      };
      const one = slope(dense, 1);
      const denseLayer = slope(dense, 2) - one;
      const routedLayer = slope(moby, 2) - one;
      expect(routedLayer).toBeLessThanOrEqual(0.2 * (denseLayer - T * width * 4));
    },
  );

  it("holds no random values: they are made again where the backward pass reads them", () => {
    const { graph, loss, weights } = trial(
      MODELS.find((m) => m.name.startsWith("dropout"))!,
      1,
    );
    const made = (of: Graph): number => nodesOf(of).filter((n) => n.op === "random_uniform").length;
    expect(made(optimize(graph))).toBe(2);
    expect(made(optimize(differentiated(graph, loss, weights)))).toBe(4);
  });
});
