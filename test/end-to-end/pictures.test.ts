// Examples of pictures: losses and gradients on the device against the reference, for batches of several sizes.
// @module-tag long
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { expectClose } from "../close.js";
import { testDevice } from "../device.js";
import { compiled, onDevice, randomInput, randomTokens, randomWeights, reference, sessionOf } from "./model.js";

const sourceOf = (name: string): string =>
  readFileSync(new URL(`../../examples/inputs/${name}.mod`, import.meta.url), "utf8");

it("the classifier of pictures agrees with the reference", { timeout: 120_000 }, async () => {
  const { graph, program } = compiled(sourceOf("pictures"), {
    phase: "train",
    gradients: true,
    set: { depth: "2", size: "16" },
  });
  const weights = randomWeights(program, 3);
  const session = await sessionOf(program, await testDevice(), weights, { B: 3 });
  try {
    for (const batch of [1, 3]) {
      const label = randomTokens([batch], 10, 5);
      const inputs = { image: randomInput([batch, 3, 16, 16], batch), label };
      const { outputs } = reference(graph, weights, { inputs });
      const found = await onDevice(session, { inputs });
      const gradients = [...outputs.keys()].filter((name) => name.startsWith("grad."));
      expect(gradients.length).toBe(weights.size);
      for (const name of ["loss", ...gradients]) {
        const wanted = outputs.get(name)!.data;
        const largest = wanted.reduce((most, v) => Math.max(most, Math.abs(v)), 1e-2);
        expectClose(found[name]!.data, wanted, () => 1e-4 * largest, name);
      }
    }
  } finally {
    session.dispose();
  }
});

const SMALL = { size: "8", patch: "2", dim: "32", heads: "2", depth: "4" };

for (const random of ["false", "true"])
  for (const phase of ["train", "infer"] as const)
    it(`the diffusion transformer agrees with the reference in ${phase}, random: ${random}`, async () => {
      const set = { ...SMALL, random };
      const { graph, program } = compiled(sourceOf("denoise"), { phase, gradients: phase === "train", set });
      const weights = randomWeights(program, 3);
      const session = await sessionOf(program, await testDevice(), weights, { B: 3 });
      try {
        for (const batch of [1, 3]) {
          const time = { shape: [batch], data: Float32Array.of(0.9, 0.1, 0.5).slice(0, batch) };
          const image = randomInput([batch, 3, 8, 8], batch);
          const label = randomTokens([batch], 10, 5);
          const given = { inputs: phase === "train" ? { image, label } : { image, label, time }, seed: batch };
          const { outputs } = reference(graph, weights, given);
          const found = await onDevice(session, given);
          const learned = [...outputs.keys()].filter((name) => name.startsWith("grad."));
          expect(learned).toHaveLength(phase === "train" ? weights.size : 0);
          for (const [name, { data }] of outputs) {
            const largest = data.reduce((most, v) => Math.max(most, Math.abs(v)), 1e-2);
            expect(largest, name).toBeGreaterThan(1e-2);
            expectClose(found[name]!.data, data, () => 1e-4 * largest, name);
          }
        }
      } finally {
        session.dispose();
      }
    });
