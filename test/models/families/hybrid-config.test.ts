// What configurations of models with recurrent layers must say, and how others are refused.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parseConfig } from "../../../src/models/families/config.js";

type Config = Readonly<Record<string, unknown>>;

function accountOf(module: string, name: string): Config {
  const text = readFileSync(new URL(`accounts/${module}.json`, import.meta.url), "utf8");
  return (JSON.parse(text) as Readonly<Record<string, Config>>)[name]!;
}

const CONFIGS = {
  qwen: accountOf("qwen3next", "Qwen3-Next"),
  lfm2: accountOf("recurrent", "LFM2"),
  gemma: accountOf("recurrent", "RecurrentGemma"),
  mamba2: accountOf("mamba2", "Mamba-2"),
  bamba: accountOf("mamba2", "Bamba"),
  granite: accountOf("mamba2", "Granite 4"),
  mamba: accountOf("mamba", "Mamba"),
  jamba: accountOf("mamba", "Jamba"),
};

const parsed = (name: keyof typeof CONFIGS, change: Config) =>
  parseConfig(JSON.stringify({ ...CONFIGS[name], ...change }));

describe("configurations of recurrent layers", () => {
  it.each([
    ["qwen", { layer_types: ["full_attention", "mamba", "full_attention"] }, "not mamba"],
    ["qwen", { layer_types: ["full_attention"] }, "it has 1 entries, num_hidden_layers is 3"],
    ["qwen", { linear_num_key_heads: 3 }, "it must divide linear_num_value_heads, 4"],
    ["qwen", { hidden_act: "gelu" }, "hidden_act"],
    ["lfm2", { conv_dim: 16 }, "hidden_size, has 32 columns"],
    ["lfm2", { use_pos_enc: false }, "use_pos_enc"],
    ["gemma", { block_types: ["mlp"] }, "block_types"],
    ["gemma", { lru_width: 25 }, "num_attention_heads, 4, must divide it"],
    ["mamba2", { time_step_limit: [0.001, 0.1] }, "time_step_limit"],
    ["mamba2", { n_groups: 3 }, "it must divide num_heads, 8"],
    ["mamba2", { num_heads: 7 }, "64 columns"],
    ["mamba2", { layer_types: Array<string>(3).fill("attention") }, "not attention"],
    ["mamba2", { rms_norm: false }, "rms_norm"],
    ["bamba", { attn_layer_indices: [3] }, "there are 3 layers"],
    ["bamba", { attn_rotary_emb: 8 }, "leaves 4 columns"],
    ["granite", { position_embedding_type: "alibi" }, "position_embedding_type"],
    ["mamba", { ssm_cfg: { layer: "Mamba2" } }, "ssm_cfg"],
    ["mamba", { d_inner: 48 }, "expand times hidden_size is 64"],
    ["jamba", { attn_layer_offset: 2 }, "attn_layer_period"],
    ["jamba", { sliding_window: 8 }, "sliding_window"],
  ] as const)("refuse in %s %j", (name, change, words) => {
    expect(() => parsed(name, change)).toThrow(words);
  });

  it("take names of layers as newer versions of transformers write them", () => {
    const layer_types = ["linear_attention", "full_attention", "linear_attention"];
    expect(parsed("granite", { layer_types }).recurrent?.layers).toEqual([true, false, true]);
    expect(parsed("mamba2", { time_step_limit: [0, { __float__: "Infinity" }] }).recurrent?.mixer.kind).toBe("mamba2");
  });

  it("take every layer for attention if no layer is recurrent", () => {
    expect(parsed("qwen", { layer_types: Array<string>(3).fill("full_attention") }).recurrent).toBeNull();
  });
});
