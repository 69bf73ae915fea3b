// What modc reads of the configurations of Granite, MiniCPM and dense decoders, and what it refuses.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { check } from "../../../../src/language/check/check.js";
import { parseConfig } from "../../../../src/models/families/config.js";
import { decoderSource } from "../../../../src/models/families/source/decoder.js";
import type { Config } from "../folders.js";

const read = (config: Config) => parseConfig(JSON.stringify(config));
const accounts = (module: string): Readonly<Record<string, Config>> =>
  JSON.parse(readFileSync(new URL(`../accounts/${module}.json`, import.meta.url), "utf8")) as Record<string, Config>;
const { Granite: granite, MiniCPM: minicpm } = accounts("granite");
const dense = accounts("dense");

/** What a family's configuration class has by default, given these sizes. */
const bare = (model_type: string, more: Config = {}) =>
  read({
    model_type,
    vocab_size: 10,
    hidden_size: 256,
    intermediate_size: 8,
    num_hidden_layers: 4,
    num_attention_heads: 4,
    ...more,
  });

describe("defaults of the configuration classes", () => {
  it("of Granite are no factors; MiniCPM's factors follow from its sizes", () => {
    expect(bare("granite")).toMatchObject({ factors: { embedding: 1, update: 1, logits: 1 }, scoreScale: 1 });
    const given = { num_key_value_heads: 4, scale_emb: 12, scale_depth: 3, dim_model_base: 64 };
    expect(bare("minicpm", given)).toMatchObject({
      factors: { embedding: 12, update: 3 / 2, logits: 1 / 4 },
      scoreScale: null,
      tied: true,
    });
  });

  it("of SmolLM3 leave every fourth layer without rotation", () => {
    const { context, rotation, windows } = bare("smollm3");
    expect({ context, windows }).toEqual({ context: 32768, windows: [0, 0, 0, 0] });
    expect(rotation).toMatchObject({ main: { theta: 2e6 }, layers: ["main", "main", "main", "none"] });
    expect(bare("smollm3", { use_sliding_window: true, sliding_window: 9 }).windows).toEqual([0, 0, 0, 9]);
  });

  it("of networks, norms and biases", () => {
    expect(bare("seed_oss", { num_attention_heads: 8 })).toMatchObject({
      biases: { qkv: true, o: false, mlp: false },
      headDim: 128,
      kvHeads: 8,
    });
    expect(bare("arcee")).toMatchObject({ activation: "relu2", eps: 1e-5, context: 4096, tied: false });
    expect(bare("nemotron")).toMatchObject({
      rotation: { columns: 32 },
      norm: { kind: "layer", weight: "1 + weight" },
    });
    expect(bare("starcoder2")).toMatchObject({
      kvHeads: 2,
      activation: "gelu_tanh",
      tied: true,
      windows: [0, 0, 0, 0],
    });
    expect(bare("helium", { num_attention_heads: 20 })).toMatchObject({
      eps: 1e-8,
      headDim: 128,
      rotation: { main: { theta: 1e5 }, neighbours: true },
    });
    expect(bare("ernie4_5")).toMatchObject({ biases: { qkv: false, o: false, mlp: false }, tied: true, kvHeads: 2 });
  });

  it("of EXAONE 4: windows in all layers but every fourth, which rotate nothing", () => {
    const { rotation, windows } = bare("exaone4", { num_attention_heads: 32 });
    expect(windows).toEqual([4096, 4096, 4096, 0]);
    expect(rotation!.layers).toEqual(["main", "main", "main", "none"]);
    const none = bare("exaone4", { num_attention_heads: 32, sliding_window: null });
    expect([none.windows, none.rotation!.layers]).toEqual([Array(4).fill(0), Array(4).fill("main")]);
  });
});

it.each(["granite", "dense", "apertus"])("writes models of %s that are fine in every phase, routed too", (module) => {
  for (const [name, config] of Object.entries(accounts(module)))
    for (const phase of ["train", "generate"] as const) {
      const text = decoderSource(read(config), { every: 2, capacity: "25%" });
      const { model, diagnostics } = check({ file: "model.mod", text }, { phase, read: () => null });
      expect(diagnostics, name).toEqual([]);
      expect(model!.weights.filter(({ path }) => /router|guess/.test(path)).length, name).toBe(5);
    }
});

it("reads the share of a head that rotates in both layouts of the configuration", () => {
  const { partial_rotary_factor: share, rope_theta, ...rest } = dense["Nemotron"]!;
  const rope_parameters = { rope_type: "default", rope_theta, partial_rotary_factor: share };
  expect(read({ ...rest, rope_parameters }).rotation).toEqual(read(dense["Nemotron"]!).rotation);
});

describe("refuses", () => {
  const cases: readonly (readonly [string, Config, string])[] = [
    ["a factor of zero", { ...granite, residual_multiplier: 0 }, "residual_multiplier is 0: it must be above 0"],
    ["MiniCPM without a factor", { ...minicpm, scale_depth: null }, "config.json has no scale_depth"],
    ["MiniCPM without its number of keys", { ...minicpm, num_key_value_heads: null }, "has no num_key_value_heads"],
    ["experts of MiniCPM", { ...minicpm, num_experts: 8 }, "num_experts is 8: modc reads MiniCPM's dense models"],
    [
      "attention to chosen blocks",
      { ...minicpm, sparse_config: { topk: 64 } },
      'sparse_config is {"topk":64}: modc has no',
    ],
    [
      "too few entries",
      { ...dense["SmolLM3"], no_rope_layers: [1, 0] },
      "no_rope_layers is [1,0]: it has 2 entries, num_hidden_layers is 3",
    ],
    [
      "windows that are switched off",
      { ...dense["SmolLM3 with windows"], use_sliding_window: false },
      "a layer with a window needs sliding_window",
    ],
    [
      "more columns than a head has",
      { ...dense["Nemotron"], partial_rotary_factor: 1.5 },
      "partial_rotary_factor is 1.5: it must leave 2 to 16 columns of a head to rotate",
    ],
    [
      "no columns",
      { ...dense["Nemotron"], partial_rotary_factor: 0.1 },
      "partial_rotary_factor is 0.1: it must leave 2 to 16 columns",
    ],
    [
      "scaled rotations of Nemotron",
      { ...dense["Nemotron"], rope_scaling: { type: "linear", factor: 2 } },
      'rope_scaling.type is "linear": versions of this family\'s published code differ',
    ],
    [
      "a pattern of letters without the layers it means",
      { ...dense["EXAONE 4"], layer_types: null },
      'sliding_window_pattern is "LLLG": layer_types is missing',
    ],
    [
      "biases of EXAONE 4",
      { ...dense["EXAONE 4"], attention_bias: true },
      "attention_bias is true: this family has no",
    ],
    [
      "biases of ERNIE by another name",
      { ...dense["ERNIE 4.5"], mlp_bias: true },
      "mlp_bias is true: this family has no",
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
