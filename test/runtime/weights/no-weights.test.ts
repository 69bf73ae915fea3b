// Values that are not weights: an error is reported, and no model runs untrained.
import { describe, expect, it } from "vitest";
import { compile } from "../../../src/compiler/compile.js";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import { createGenerator } from "../../../src/generation/generate/index.js";
import { load, type WeightsInput } from "../../../src/runtime/index.js";
import { testDevice } from "../../device.js";
import { scaleProgram } from "../run/programs.js";

const NEXT = `model G() {
  weight table: f32[4, 4]
  forward(tokens: u32[B, T <= 8]) -> f32[B, T, 4] { table[tokens] }
}`;
const program = compile(NEXT).program!;

describe("weights that are none", () => {
  it("undefined ones are refused where nothing says that untrained ones are meant", async () => {
    const device = await testDevice();
    await expect(load(program, device, undefined)).rejects.toMatchObject({
      name: "WeightsError",
      message: "G has trained weights (1), but no weights are given",
      hint: expect.stringContaining("{ seed: 0 }"),
    });
    (await load(program, device, undefined, { seed: 0 })).dispose();
    (await load(scaleProgram(), device)).dispose();
    const { generation } = compileGeneration(NEXT, { target: device.target });
    await expect(createGenerator(generation!, device, undefined)).rejects.toMatchObject({ code: "bad-weights" });
  });

  it.each([null, {}, 3, [], { tensors: new Map() }])("%j", async (given) => {
    await expect(load(program, await testDevice(), given as unknown as WeightsInput)).rejects.toMatchObject({
      name: "WeightsError",
      message: expect.stringMatching(/^these are not weights: /),
    });
  });
});
