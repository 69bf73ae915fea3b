// Reads the configurations of GLM.
import { describe, expect, it } from "vitest";
import { accountConfigs, bare, read, refuses } from "./configs.js";

describe("GLM", () => {
  const { "GLM-4-0414": glm4 } = accountConfigs("glm");

  it("has the defaults of its configuration classes", () => {
    for (const type of ["glm", "glm4"])
      expect(bare(type)).toMatchObject({
        biases: { qkv: true, o: false, mlp: false },
        context: 131072,
        eps: 1.5625e-7,
        headDim: 128,
        kvHeads: 2,
        rotation: { columns: 64, neighbours: true },
      });
  });

  it("reads the rotated part in both layouts of the configuration", () => {
    const { partial_rotary_factor, rope_theta, ...rest } = glm4!;
    const rope_parameters = { rope_type: "default", partial_rotary_factor, rope_theta };
    expect(read({ ...rest, rope_parameters }).rotation).toEqual(read(glm4!).rotation);
  });

  refuses([
    ["biases of the network", { ...glm4, mlp_bias: true }, "mlp_bias is true: this family has no such weights"],
  ]);
});
