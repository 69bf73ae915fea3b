// Gradients on the device: those of whole models, after every pass and by every kernel, are those of the reference.
import { beforeAll, describe, expect, it } from "vitest";
import { isOp, nodesOf } from "../../../src/compiler/ir/graph.js";
import type { Device } from "../../../src/runtime/index.js";
import { testDevice } from "../../device.js";
import { expectAgreement, type Tally } from "../../end-to-end/agree.js";
import { compiled, onDevice, randomWeights, sessionOf, type Case, type GivenInput } from "../../end-to-end/model.js";
import { random } from "../../random.js";
import { MODELS } from "./sources.js";

/** Sums of products of 32-bit values through a few layers and back. */
const TOLERANCE = { atol: 2e-5, rtol: 2e-4 };
const [BATCH, TOKENS] = [3, 8];

let device: Device;
beforeAll(async () => {
  device = await testDevice();
});

/** Compiling shaders takes most of the time, so each is compiled for one of the two. */
const CASES: readonly (readonly [name: string, own: boolean])[] = [
  ["dense, the embedding tied", false],
  ["routed layers with predictors", true],
  ["the example 'mor', layers shared", true],
];

describe("gradients on the device", () => {
  it.each(CASES)(
    "of %s are the reference's (compiled for this device: %s)",
    { tags: "long", timeout: 240_000 },
    async (name, own) => {
      const { source, set } = MODELS.find((m) => m.name === name)!;
      const { program, graph } = compiled(source, {
        phase: "train",
        gradients: true,
        set,
        ...(own ? { target: device.target } : {}),
      });
      expect(graph.outputs.filter((o) => o.name.startsWith("grad.")).length).toBe(
        nodesOf(graph).filter((n) => isOp(n, "weight")).length,
      );
      const weights = randomWeights(program, 11, 0.7);
      const rng = random(12);
      const inputs = graph.inputs.map(({ name: input, node, least }): [string, GivenInput] => {
        const values = Array.from({ length: BATCH * TOKENS }, () =>
          least < 0 && rng.below(5) === 0 ? -1 : rng.below(11),
        );
        const data = node.attrs.dtype === "i32" ? Int32Array.from(values) : Uint32Array.from(values);
        return [input, { shape: [BATCH, TOKENS], data }];
      });
      const given: Case = { inputs: Object.fromEntries(inputs), lengths: Uint32Array.of(TOKENS, 0, 5), seed: 3 };
      const session = await sessionOf(program, device, weights, { B: BATCH, T: TOKENS });
      const tally: Tally = { choices: 0, forced: 0 };
      try {
        expectAgreement(graph, weights, given, await onDevice(session, given), TOLERANCE, tally);
      } finally {
        session.dispose();
      }
    },
  );
});
