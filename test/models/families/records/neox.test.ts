// What modc reads of the configurations of GPT-NeoX and StableLM.
import { describe, expect, it } from "vitest";
import { accountConfigs, bare, read, refuses } from "./configs.js";

describe("GPT-NeoX and StableLM", () => {
  const { "GPT-NeoX": neox, StableLM: stablelm } = accountConfigs("neox");

  it("have the defaults of their configuration classes", () => {
    expect(bare("gpt_neox")).toMatchObject({
      biases: { qkv: true, o: true, mlp: true },
      context: 2048,
      kvHeads: 4,
      residual: "parallel, two norms",
      rotation: { columns: 16, main: { theta: 10_000 } },
    });
    expect(bare("stablelm", { num_key_value_heads: 4 })).toMatchObject({
      biases: { qkv: false, o: false, mlp: false },
      context: 4096,
      headNorms: null,
      residual: "serial",
      rotation: { columns: 16 },
    });
  });

  it("read the rotation of GPT-NeoX by all of its names", () => {
    const { rotary_pct, rotary_emb_base, ...rest } = neox!;
    const own = read(neox!).rotation;
    expect(own).toMatchObject({ columns: 4, main: { theta: 1000 } });
    const names = { partial_rotary_factor: rotary_pct, rope_theta: rotary_emb_base };
    for (const config of [
      { ...neox, ...names },
      { ...rest, ...names },
      { ...rest, rope_parameters: names },
    ])
      expect(read(config).rotation).toEqual(own);
  });

  refuses([
    ["two bases", { ...neox, rope_theta: 10 }, "rotary_emb_base is 1000: rope_theta is 10"],
    ["two parts", { ...neox, partial_rotary_factor: 0.25 }, "rotary_pct is 0.5: partial_rotary_factor is 0.25"],
    [
      "more than a head",
      { ...neox, rotary_pct: 2 },
      "rotary_pct is 2: it must leave pairs of a head's 8 columns to rotate",
    ],
    [
      "keys shared by groups",
      { ...neox, num_key_value_heads: 2 },
      "num_key_value_heads is 2: this family has a key for each head",
    ],
    [
      "biases behind attention",
      { ...stablelm, attention_bias: true },
      "attention_bias is true: this family has no such",
    ],
  ]);
});
