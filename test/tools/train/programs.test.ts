// A training step compiles for every kind of device, whichever weights learn: what a kernel reads may be computed by
// one that needs a copy first.
import { describe, expect, it } from "vitest";
import { targetOf } from "../../../src/tools/cli/program/plan.js";
import { DEVICE_CLASSES } from "../../../src/runtime/program/target.js";
import { compileTraining } from "../../../src/tools/train/programs.js";
import { byTurns, soaking } from "../../soak.js";
import { exampleSource } from "../../compiler/autodiff/models.js";

const TRAINED = ["", "norm", "layers.0", "layers.1", "embed", "layers.1.router", "layers.1.guess"];

describe.each(DEVICE_CLASSES)("for %s, a training step of moby.mod compiles where", (device) => {
  const turn = DEVICE_CLASSES.indexOf(device);
  // In the short run half of them for each class, in turn, each with one of the two numbers.
  it.each(byTurns(TRAINED, 2, turn))("%j learns", { tags: "long" }, (only) => {
    for (const microBatches of byTurns([1, 2], 2, Math.floor((turn + TRAINED.indexOf(only)) / 2))) {
      const { programs } = compileTraining(
        { source: exampleSource("moby.mod"), file: "moby.mod", set: { depth: soaking ? "3" : "2" } },
        {
          optimizer: { kind: "adamw", beta1: 0.9, beta2: 0.95, eps: 1e-8 },
          clip: 1,
          microBatches,
          ...(only === "" ? {} : { trained: (weight: { readonly path: string }) => weight.path.startsWith(only) }),
        },
        { target: targetOf(device) },
      );
      expect(programs!.trained.length).toBeGreaterThan(0);
      expect(programs!.trained.every((path) => path.startsWith(only))).toBe(true);
    }
  });
});

it("a model that cannot generate is trained and evaluated by top-k alone", () => {
  const source = `import { Embedding, Layer } from "std"
model Encoder(dim: int = 8, vocab: int = 7) {
  embed: Embedding(vocab, dim)
  layer: Layer(dim, 2, causal: false)
  forward(tokens: u32[B, T <= 16]) -> f32[B, T, vocab] {
    x = embed(tokens)
    chosen = top(x[..., 0], ceil(T / 2))
    put(x, chosen, layer(take(x, chosen))) @ transpose(embed.table)
  }
  objective(tokens: u32[B, T <= 16], targets: u32[B, T]) { loss l = cross_entropy(forward(tokens), targets) }
}`;
  const { programs } = compileTraining(
    { source, file: "encoder.mod" },
    { optimizer: { kind: "sgd", momentum: 0, nesterov: false }, clip: null, microBatches: 1 },
    { target: targetOf("portable") },
  );
  expect(programs!.evaluate.causal).toBe(programs!.evaluate["top-k"]);
});
