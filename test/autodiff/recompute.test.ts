// Layers that are computed again: which there are, what of them is kept, and what that saves.
import { describe, expect, it } from "vitest";
import { layerOf, layersOf } from "../../src/autodiff/layers.js";
import { trainStep } from "../../src/autodiff/train-step.js";
import { check } from "../../src/check/check.js";
import { programFor } from "../../src/compile.js";
import { lower } from "../../src/lower/lower.js";
import { optimize } from "../../src/passes/index.js";
import { memoryOf } from "../../src/runtime/memory.js";
import { exampleSource } from "./models.js";

describe("layers", () => {
  it("are named by a call path up to its first number", () => {
    expect(["layers.3.inner.mlp", "layers.12", "shared.0#2.q", "decoder.layers.0.1.mlp", "norm", "", "embed2.table"].map(layerOf)).toEqual([
      "layers.3",
      "layers.12",
      "shared.0#2",
      "decoder.layers.0",
      null,
      null,
      null,
    ]);
  });
});

/** Bytes of what a training step computes, by the names of the layers it computes again. */
function activations(source: string, again: (layers: readonly string[]) => readonly string[]): number {
  const set = new Map(Object.entries({ dim: "32", heads: "2", depth: "4", vocab: "32", context: "256" }));
  const { model, sources } = check({ file: "model.mod", text: source }, { phase: "train", entry: "objective", set: Object.fromEntries(set), read: () => null });
  const objective = lower(model!);
  const optimizer = { kind: "adamw", beta1: 0.9, beta2: 0.95, eps: 1e-8 } as const;
  const step = trainStep(objective, model!.weights, { optimizer, clip: 1, accumulated: false, recompute: new Set(again(layersOf(objective))) });
  const program = programFor({ graph: optimize(step.graph, { verify: true }), model: model!, sources });
  return memoryOf(program, { max: { B: 4, T: 256 } }).activations;
}

describe("memory of a training step", () => {
  const moby = exampleSource("moby.mod");

  it.each([
    ["dense layers", moby.replace("i % 2 == 1", "i < 0")],
    ["routed layers", moby],
  ])("is the less the more of the %s are computed again", (_name, source) => {
    const none = activations(source, () => []);
    const some = activations(source, (layers) => layers.slice(0, 1));
    const all = activations(source, (layers) => layers);
    expect(some).toBeLessThan(none);
    expect(all).toBeLessThan(Math.min(some, 0.9 * none));
  });
});
