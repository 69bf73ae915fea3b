// A threshold that follows a capacity: the example model, compared with an account of its update, and over steps of
// training.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { compileTraining } from "../../../src/tools/train/programs.js";
import { createTrainer } from "../../../src/tools/train/trainer.js";
import type { Batch } from "../../../src/tools/train/types.js";
import { check } from "../../../src/language/check/check.js";
import { lowered } from "../../compiler/autodiff/models.js";
import { modelDevice } from "../../model-device.js";
import { random } from "../../random.js";
import { soaking } from "../../soak.js";

const source = readFileSync(new URL("../../../examples/variants/threshold.mod", import.meta.url), "utf8");
const set = { vocab: "17", dim: "16", heads: "2", depth: "2", context: "32", capacity: "25%", rate: "0.25" };

describe("the example of a threshold that follows a capacity", () => {
  it("is fine in every phase", () => {
    for (const phase of ["infer", "train", "generate"] as const)
      expect(check({ file: "t.mod", text: source }, { phase, set, read: () => null }).diagnostics).toEqual([]);
  });

  it("moves towards the mean of the k-th best scores of the sequences, each of its own length", () => {
    // The layer alone: a score is the sigmoid of a token's own row and the router.
    const text = source.slice(0, source.indexOf("/// A byte-level decoder")).replace("import {", "import { GeluMLP,")
      .concat(`model M(dim: int = 3) {
  layer: Following(GeluMLP(dim, 4), dim, 25%, 0.25)
  forward(x: f32[B, T <= 32, dim]) -> f32[B, T, dim] { layer(x) }
  objective(x: f32[B, T <= 32, dim]) { loss size = mean(forward(x) ^ 2) }
}`);
    const { model, graph } = lowered(text);
    const rng = random(3);
    const [B, T, D] = [3, 9, 3];
    const lengths = Uint32Array.of(9, 4, 1);
    const x = Float64Array.from({ length: B * T * D }, () => rng.normal());
    const weights = new Map(
      model.weights.map(({ path, shape }) => [
        path,
        { shape, data: Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => 0.5 * rng.normal()) },
      ]),
    );
    const inputs = new Map([["x", { shape: [B, T, D], data: x }]]);
    const { outputs } = evaluate(graph, { inputs, lengths, weights });
    const router = weights.get("layer.router.weight")!.data;
    const before = weights.get("layer.cut")!.data[0]!;
    let mean = 0;
    for (let b = 0; b < B; b++) {
      const scores: number[] = [];
      for (let t = 0; t < lengths[b]!; t++) {
        let logit = 0;
        for (let d = 0; d < D; d++) logit += x[(b * T + t) * D + d]! * router[d]!;
        scores.push(1 / (1 + Math.exp(-logit)));
      }
      scores.sort((p, q) => q - p);
      mean += scores[Math.ceil(0.25 * lengths[b]!) - 1]! / B;
    }
    expect(outputs.get("state.layer.cut")!.data[0]).toBeCloseTo(before + 0.25 * (mean - before), 12);
  });

  it("lets all tokens through at first, and about its share after some steps", { tags: "long" }, async () => {
    const device = await modelDevice();
    const optimizer = { kind: "adamw", beta1: 0.9, beta2: 0.95, eps: 1e-8 } as const;
    const { programs } = compileTraining(
      { source, file: "t.mod", set },
      { optimizer, clip: 1, microBatches: 2 },
      { target: device.target },
    );
    const [rows, length] = [4, 32];
    const trainer = await createTrainer({
      programs: programs!,
      device,
      optimizer,
      weightDecay: 0,
      rows,
      length,
      microBatches: 2,
      seed: 2,
    });
    const rng = random(5);
    const batch = (): Batch => {
      const words = (): Uint32Array => Uint32Array.from({ length: rows * length }, () => rng.below(17));
      return { inputs: { tokens: words(), targets: words() }, rows, length };
    };
    const shares: number[] = [];
    for (let n = 0; n < (soaking ? 40 : 28); n++) {
      const { computedShare } = await trainer.step([batch(), batch()], { learningRate: 0.002 });
      shares.push(computedShare);
    }
    trainer.dispose();
    expect(shares[0]).toBe(1);
    const late = shares.slice(-10).reduce((a, b) => a + b, 0) / 10;
    expect(late).toBeGreaterThan(0.15);
    expect(late).toBeLessThan(0.35);
  });
});
