// Reads the configurations of OLMo.
import { describe, expect, it } from "vitest";
import { accountConfigs, bare, read, refuses } from "./configs.js";

describe("OLMo", () => {
  const { OLMo: olmo, "OLMo 3": olmo3 } = accountConfigs("olmo");

  it("has the defaults of its configuration classes", () => {
    expect(bare("olmo")).toMatchObject({ eps: 1e-5, kvHeads: 4, clip: null, tied: false, context: 2048 });
    expect(bare("olmo2")).toMatchObject({ eps: 1e-5, headNorms: { over: "row" }, windows: [0, 0, 0, 0] });
    const { windows, rotation } = bare("olmo3");
    expect(windows).toEqual([4096, 4096, 4096, 0]);
    expect(rotation).toMatchObject({ main: { theta: 500_000, frequencies: null }, local: null });
  });

  it("scales the rotation of layers without a window, in both layouts of the configuration", () => {
    const { rope_scaling, rope_theta, ...rest } = olmo3!;
    const types = {
      full_attention: { ...(rope_scaling as object), rope_theta },
      sliding_attention: { rope_type: "default", rope_theta },
    };
    expect(read({ ...rest, rope_parameters: types }).rotation).toEqual(read(olmo3!).rotation);
    expect(read(olmo3!).rotation).toMatchObject({
      layers: ["local", "main", "local"],
      local: { theta: 500_000, frequencies: null },
    });
  });

  refuses([
    ["another epsilon", { ...olmo, rms_norm_eps: 1e-6 }, "rms_norm_eps is 0.000001: this family's is 0.00001 always"],
    ["a limit of zero", { ...olmo, clip_qkv: 0 }, "clip_qkv is 0: it must be above 0"],
    ["biases of the network", { ...olmo, mlp_bias: true }, "mlp_bias is true: this family has no such weights"],
    ["a limit in OLMo 3", { ...olmo3, clip_qkv: 8 }, "clip_qkv is 8: modc does not know this field"],
    ["layers with a window of no size", { ...olmo3, sliding_window: null }, "needs sliding_window"],
  ]);
});
