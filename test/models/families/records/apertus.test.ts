// Reads the configurations of Apertus and Hunyuan, and refuses some.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parseConfig } from "../../../../src/models/families/config.js";
import { decoderSource } from "../../../../src/models/families/source/decoder.js";
import type { Config } from "../folders.js";

const read = (config: Config) => parseConfig(JSON.stringify(config));
const text = readFileSync(new URL("../accounts/apertus.json", import.meta.url), "utf8");
const { Apertus: apertus, Hunyuan: hunyuan } = JSON.parse(text) as Readonly<Record<string, Config>>;
const sizes = { vocab_size: 10, hidden_size: 64, intermediate_size: 8, num_hidden_layers: 2, num_attention_heads: 4 };

it("Apertus has the scaled rotation of its configuration class by default", () => {
  const { activation, context, eps, rotation } = read({ model_type: "apertus", ...sizes });
  expect({ activation, context, eps }).toEqual({ activation: "xielu", context: 65536, eps: 1e-5 });
  const scaling = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 };
  const given = { rope_theta: 12e6, rope_scaling: { rope_type: "llama3", ...scaling } };
  expect(rotation).toEqual(read({ model_type: "apertus", ...sizes, ...given }).rotation);
  expect(rotation!.main).toMatchObject({ theta: 12e6, scaling: "llama3, factor 8 of 8192 positions" });
});

it("Apertus with another activation has none that learns", () => {
  expect(decoderSource(read(apertus!))).toContain("mlp.act_fn.{p}");
  const plain = decoderSource(read({ ...apertus, hidden_act: "relu2" }));
  expect(plain).not.toMatch(/XIELU|act_fn/);
});

it("Hunyuan's alpha enlarges the base, in both layouts of the configuration", () => {
  const { rope_scaling, rope_theta, ...rest } = hunyuan!;
  const { main } = read(hunyuan!).rotation!;
  expect(main).toMatchObject({ theta: 10000 * 1000 ** (16 / 14), frequencies: null });
  const { type: rope_type, ...others } = rope_scaling as Readonly<Record<string, unknown>>;
  expect(read({ ...rest, rope_parameters: { rope_type, ...others, rope_theta } }).rotation!.main).toEqual(main);
});

describe("refuses", () => {
  const cases: readonly (readonly [string, Config, string])[] = [
    ["Apertus without norms of heads", { ...apertus, qk_norm: false }, "qk_norm is false: this family has norms of"],
    ["Apertus with norms behind", { ...apertus, post_norm: true }, "post_norm is true: this family has norms before"],
    ["biases of its networks", { ...apertus, mlp_bias: true }, "mlp_bias is true: this family has no such weights"],
    ["a scaling that is null", { ...apertus, rope_scaling: null }, "rope_scaling is null: versions of the published"],
    [
      "the activation in another family",
      { ...hunyuan, hidden_act: "xielu" },
      'hidden_act is "xielu": modc knows silu, swish, gelu',
    ],
    [
      "Hunyuan without norms of heads",
      { ...hunyuan, use_qk_norm: false },
      "use_qk_norm is false: this family has norms",
    ],
    ["keys of other layers", { ...hunyuan, use_cla: true }, "use_cla is true: modc does not share keys and values"],
    ["other norms", { ...hunyuan, norm_type: "layer" }, 'norm_type is "layer": modc knows rms'],
    ["two widths of heads", { ...hunyuan, attention_head_dim: 8 }, "attention_head_dim is 8: heads have a width of 16"],
    [
      "a base that depends on the length of the text",
      { ...hunyuan, rope_scaling: { type: "dynamic", factor: 2 } },
      'rope_scaling.type is "dynamic": modc knows it with alpha only',
    ],
    [
      "an unknown field of the scaling",
      { ...hunyuan, rope_scaling: { type: "dynamic", alpha: 2, beta: 3 } },
      "rope_scaling.beta is 3: modc does not know this field of dynamic scaling",
    ],
  ];
  it.each(cases)("%s", (_, config, message) => {
    expect(() => read(config)).toThrow(
      expect.objectContaining({
        name: "CheckpointError",
        message: expect.stringContaining(message) as string,
      }) as Error,
    );
  });
});
