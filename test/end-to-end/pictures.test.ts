// The classifier of pictures: loss and gradients on the device against the reference, for batches of several sizes.
// @module-tag long
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { expectClose } from "../close.js";
import { testDevice } from "../device.js";
import { compiled, onDevice, randomInput, randomTokens, randomWeights, reference, sessionOf } from "./model.js";

const SOURCE = readFileSync(new URL("../../examples/inputs/pictures.mod", import.meta.url), "utf8");

it("the classifier of pictures agrees with the reference", { timeout: 120_000 }, async () => {
  const { graph, program } = compiled(SOURCE, { phase: "train", gradients: true, set: { depth: "2", size: "16" } });
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
