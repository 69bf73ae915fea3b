// Reads the configurations of Phi.
import { describe, expect, it } from "vitest";
import { check } from "../../../../src/language/check/check.js";
import type { Value } from "../../../../src/language/check/model/model.js";
import { decoderSource } from "../../../../src/models/families/source/decoder.js";
import { accountConfigs, bare, read, refuses } from "./configs.js";

describe("Phi", () => {
  const { Phi: phi, "Phi-3": phi3 } = accountConfigs("phi");
  const scaling = phi3!["rope_scaling"] as object;

  it("has the defaults of its configuration classes", () => {
    expect(bare("phi")).toMatchObject({
      activation: "gelu_tanh",
      context: 2048,
      eps: 1e-5,
      headBias: true,
      headNorms: null,
      rotation: { columns: 32 },
    });
    expect(bare("phi3")).toMatchObject({ context: 4096, eps: 1e-5, rotation: { columns: 64 }, windows: [0, 0, 0, 0] });
  });

  it("with longrope reads texts of the original length, and has the long factors for a longer context", () => {
    const config = read(phi3!);
    expect(config.context).toBe(32);
    // √(1 + ln 4 / ln 32)
    expect(config.rotation!.main.scale).toBeCloseTo(1.183215957, 9);
    const text = decoderSource(config);
    const slowestAt = (context: number): readonly (number | undefined)[] => {
      const set = { context: `${context}` };
      const { model } = check({ file: "m.mod", text }, { phase: "infer", set, read: () => null });
      const found = new Set<Value>(model!.outputs.map(({ value }) => value));
      for (const { inputs } of found) for (const input of inputs) found.add(input);
      const ropes = [...found].filter((value): value is Value<"rope"> => value.op === "rope");
      return ropes.map(({ attrs }) => attrs.frequencies?.[2]);
    };
    const slowest = 10_000 ** (-4 / 6);
    expect(slowestAt(32)).toEqual(Array(6).fill(slowest / 1.5));
    expect(slowestAt(33)).toEqual(Array(6).fill(slowest / 9));
    expect(read({ ...phi3, original_max_position_embeddings: 128 })).toMatchObject({ context: 128 });
    const named = { ...scaling, type: "su", original_max_position_embeddings: 32, factor: 4 };
    const rotation = { ...config.rotation };
    expect(read({ ...phi3, rope_scaling: named, original_max_position_embeddings: null }).rotation).toEqual(rotation);
  });

  refuses([
    [
      "a tied head",
      { ...phi, tie_word_embeddings: true },
      "tie_word_embeddings is true: the head of this family has a bias",
    ],
    [
      "a part without pairs",
      { ...phi, partial_rotary_factor: 0.2 },
      "it must leave pairs of a head's 8 columns to rotate",
    ],
    ["more than a head", { ...phi, partial_rotary_factor: 1.5 }, "partial_rotary_factor is 1.5: it must leave pairs"],
    ["biases", { ...phi3, attention_bias: true }, "attention_bias is true: this family has no such weights"],
    ["other layers", { ...phi3, full_attn_mod: 2 }, "full_attn_mod is 2: this family's is 1 always"],
    [
      "another scaling",
      { ...phi3, rope_scaling: { ...scaling, type: "yarn" } },
      "this family has longrope or no scaling",
    ],
    [
      "factors of other pairs",
      { ...phi3, rope_scaling: { ...scaling, long_factor: [1, 2] } },
      "rope_scaling.long_factor is [1,2]: it must have a factor above 0 for each of 3 pairs of columns",
    ],
    [
      "factors that are none",
      { ...phi3, rope_scaling: { ...scaling, short_factor: [1, 2, "3"] } },
      "it must be a list of numbers",
    ],
    [
      "longrope without long factors",
      { ...phi3, rope_scaling: { type: "longrope", short_factor: [1, 1, 1] } },
      "config.json has no rope_scaling.long_factor",
    ],
    [
      "another factor than that of its lengths",
      { ...phi3, rope_scaling: { ...scaling, factor: 2 } },
      "rope_scaling.factor is 2: max_position_embeddings is 128, 4 times original_max_position_embeddings",
    ],
  ]);
});
