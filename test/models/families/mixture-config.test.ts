// Configurations of mixtures of experts: the models written for them, and what is refused.
import { describe, expect, it } from "vitest";
import { check } from "../../../src/language/check/check.js";
import { parseConfig } from "../../../src/models/families/config.js";
import { decoderSource } from "../../../src/models/families/source/decoder.js";
import type { Config } from "./folders.js";
import { MIXTURES, mixtureTensors } from "./mixture-folders.js";

const read = (config: Config) => parseConfig(JSON.stringify(config));
const configOf = (name: string): Config => MIXTURES.find((v) => v.name.startsWith(name))!.config;
const modelOf = (config: Config, phase: "infer" | "train" | "generate" = "infer", every: number | null = null) =>
  check(
    {
      file: "model.mod",
      text: decoderSource(read(config), every === null ? null : { every, capacity: "25%" }),
    },
    { phase, read: () => null },
  );

describe("a configuration of a mixture", () => {
  it("becomes a model one can read", async () => {
    await expect(decoderSource(read(configOf("Qwen2-MoE")))).toMatchFileSnapshot("qwen2-moe.mod");
    await expect(decoderSource(read(configOf("DeepSeek-V3, stretched")))).toMatchFileSnapshot("deepseek.mod");
    await expect(decoderSource(read(configOf("LongCat")))).toMatchFileSnapshot("longcat.mod");
  });

  it.each(MIXTURES)("of $name is fine in every phase, dense and routed", ({ config }) => {
    // One chosen gate divided by itself is 1, so no gradient reaches its router: that is said.
    const expected = config["num_experts_per_tok"] === 1 ? ["dead-router"] : [];
    for (const every of [null, 2])
      for (const phase of ["infer", "train", "generate"] as const) {
        const found = modelOf(config, phase, every).diagnostics.map((d) => d.code);
        expect([...new Set(found)], `${phase}, every ${every}`).toEqual(phase === "train" ? expected : []);
      }
  });

  it.each(MIXTURES)(
    "of $name has the keys of its checkpoint, and ignores those of layers further ahead",
    ({ config }) => {
      const { weights, ignore } = modelOf(config).model!;
      const patterns = ignore.map((p) => new RegExp(`^${p.replaceAll(".", "\\.").replaceAll(/\{\w+\}/g, "[^.]+")}$`));
      const tensors = mixtureTensors(config).filter(({ key }) => !patterns.some((p) => p.test(key)));
      const shapes = new Map(tensors.map(({ key, shape }) => [key, shape]));
      for (const { path, keys, shape } of weights) expect(shapes.get(keys[0]!), path).toEqual(shape);
      expect(weights).toHaveLength(shapes.size);
      const states = weights.filter((w) => w.kind === "state").map((w) => w.keys[0]!.split(".").at(-1));
      expect(new Set(states)).toEqual(
        new Set(/DeepSeek|LongCat/i.test(config["architectures"] as string) ? ["e_score_correction_bias"] : []),
      );
    },
  );

  it("is that of a dense model where no layer has experts", () => {
    const deepseek = { ...configOf("DeepSeek-V3"), num_hidden_layers: 2, first_k_dense_replace: 3 };
    const qwen = { ...configOf("Qwen3-MoE"), mlp_only_layers: Array.from({ length: 99 }, (_, i) => i) };
    for (const config of [deepseek, qwen]) {
      expect(read(config).mixture).toBeNull();
      const { model, diagnostics } = modelOf(config);
      expect(diagnostics).toEqual([]);
      expect(model!.weights.some(({ path }) => /router|experts/.test(path))).toBe(false);
    }
  });

  it("leaves out what its family has by default", () => {
    const sizes = {
      vocab_size: 10,
      hidden_size: 256,
      intermediate_size: 8,
      num_hidden_layers: 5,
      num_attention_heads: 16,
    };
    const bare = (model_type: string) => read({ ...sizes, model_type });
    expect(bare("mixtral")).toMatchObject({
      kvHeads: 8,
      rotation: { main: { theta: 1e6 } },
      mixture: { experts: 8, k: 2, hidden: 8, renormalize: true },
    });
    expect(bare("olmoe").mixture).toMatchObject({ experts: 64, k: 8, hidden: 8, renormalize: false });
    expect(bare("qwen2_moe")).toMatchObject({
      biases: { qkv: true, o: false },
      mixture: { experts: 60, k: 4, hidden: 1408, shared: { hidden: 5632, gated: true }, renormalize: false },
    });
    expect(bare("qwen3_moe")).toMatchObject({
      kvHeads: 4,
      headDim: 16,
      mixture: { experts: 128, k: 8, hidden: 768, shared: null, renormalize: false },
    });
    expect(bare("deepseek_v3")).toMatchObject({
      mixture: { experts: 256, k: 8, hidden: 2048, groups: 8, open: 4, scale: 2.5, gate: "sigmoid", lifted: true },
      latent: { queryRank: 1536, keyRank: 512, still: 128, turned: 64, value: 128, neighbours: true },
      scoreScale: null,
    });
    expect(bare("deepseek_v3").mixture!.layers).toEqual([false, false, false, true, true]);
    expect(read({ ...sizes, model_type: "longcat_flash", ffn_hidden_size: 8, num_layers: 2 })).toMatchObject({
      depth: 2,
      rotation: { main: { theta: 1e7 } },
      mixture: { experts: 512, same: 256, k: 12, hidden: 2048, scale: 6, renormalize: false, lifted: true },
      latent: { queryScale: Math.sqrt(256 / 1536), keyScale: Math.sqrt(0.5) },
    });
  });

  it("of gpt-oss and of GraniteMoE has the defaults of its class", () => {
    const sizes = { vocab_size: 10, hidden_size: 64, num_hidden_layers: 3, num_attention_heads: 8 };
    const oss = read({ ...sizes, model_type: "gpt_oss" });
    expect(oss).toMatchObject({
      kvHeads: 8,
      headDim: 64,
      context: 131072,
      eps: 1e-5,
      biases: { qkv: true, o: true, mlp: true },
      windows: [128, 0, 128],
      bounded: { gain: 1.702, limit: 7 },
      rotation: { main: { theta: 150000, scaling: "yarn, factor 32 of 4096 positions" } },
      mixture: { experts: 128, k: 4, hidden: 2880, gate: "chosen", biased: true },
    });
    expect(oss.rotation!.main.scale).toBeCloseTo(0.1 * Math.log(32) + 1, 12);
    const granite = read({ ...sizes, intermediate_size: 16, model_type: "granitemoe" });
    expect(granite).toMatchObject({
      scoreScale: 1,
      factors: { embedding: 1, update: 1, logits: 1 },
      mixture: { experts: 8, k: 2, hidden: 16, gate: "chosen", biased: false },
    });
  });

  it("of DeepSeek-V2, Kimi K2, GLM-4 MoE and DBRX has the defaults of its class", () => {
    const sizes = {
      vocab_size: 10,
      hidden_size: 256,
      intermediate_size: 8,
      num_hidden_layers: 3,
      num_attention_heads: 16,
      num_experts_per_tok: 2,
    };
    const bare = (model_type: string) => read({ ...sizes, model_type });
    expect(bare("deepseek_v2").mixture).toMatchObject({
      experts: 64,
      k: 2,
      hidden: 1407,
      gate: "softmax",
      scale: 1,
      groups: 1,
      shared: { hidden: 2814, gated: false },
      layers: [true, true, true],
    });
    expect(bare("kimi_k2")).toMatchObject({ ...bare("deepseek_v3"), family: { type: "kimi_k2" } });
    expect(bare("glm4_moe")).toMatchObject({
      kvHeads: 8,
      headNorms: null,
      rotation: { columns: 8, neighbours: false },
      mixture: { experts: 128, hidden: 1408, scale: 1, groups: 1, lifted: true, layers: [false, true, true] },
    });
    const factors = { scale_emb: 12, scale_depth: 1.4, dim_model_base: 64 };
    const minicpm3 = { ...sizes, model_type: "minicpm3" };
    expect(read({ ...minicpm3, ...factors })).toMatchObject({
      tied: true,
      factors: { embedding: 12, update: 1.4 / Math.sqrt(3), logits: 0.25 },
      latent: { queryRank: 768, keyRank: 256, still: 64, turned: 32, value: 16, neighbours: false },
    });
    expect(() => read(minicpm3)).toThrow("config.json has no scale_emb");
    const dbrx = read({ model_type: "dbrx", vocab_size: 10, d_model: 256, n_heads: 16, n_layers: 3 });
    expect(dbrx).toMatchObject({
      kvHeads: 1,
      context: 2048,
      clip: null,
      mixture: { experts: 4, k: 1, hidden: 3584, renormalize: true },
    });
  });

  it("of Llama 4 has the defaults of its class, and an older configuration's number for a flag", () => {
    const sizes = { vocab_size: 10, hidden_size: 256, num_hidden_layers: 5, num_attention_heads: 16 };
    const llama4 = read({ ...sizes, model_type: "llama4_text" });
    expect(llama4).toMatchObject({
      hidden: 16384,
      kvHeads: 8,
      headDim: 128,
      context: 131072,
      chunks: [8192, 8192, 8192, 0, 8192],
      rotation: { layers: ["main", "main", "main", "none", "main"], neighbours: true, main: { theta: 500000 } },
      temperature: { floor: 8192, scale: 0.1 },
      headNorms: { behind: true, onlyTurned: true },
      mixture: { experts: 16, k: 1, hidden: 8192, shared: { hidden: 8192 }, gatesInput: true },
    });
    expect(read({ ...sizes, model_type: "llama4_text", attn_temperature_tuning: 4 })).toEqual(llama4);
    expect(read({ ...sizes, model_type: "llama4_text", attn_temperature_tuning: false }).temperature).toBeNull();
    const full = Array<string>(5).fill("full_attention");
    expect(read({ ...sizes, model_type: "llama4_text", layer_types: full }).chunks).toBeNull();
  });

  const LLAMA4: Config = { model_type: "llama4_text", architectures: null, num_experts_per_tok: 1 };
  const DBRX: Config = {
    ...Object.fromEntries(
      ["hidden_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings"].map((name) => [
        name,
        null,
      ]),
    ),
    model_type: "dbrx",
    architectures: null,
    d_model: 32,
    n_heads: 4,
    n_layers: 2,
  };
  const V2: Config = { model_type: "deepseek_v2", architectures: null, scoring_func: "softmax", topk_method: "greedy" };
  const OSS: Config = { model_type: "gpt_oss", architectures: ["GptOssForCausalLM"], sliding_window: 8 };
  const refused: readonly (readonly [string, Config, string])[] = [
    ["Mixtral", { num_experts_per_tok: 7 }, "num_experts_per_tok is 7: there are 6 experts"],
    ["OLMoE", { clip_qkv: 8.0 }, "clip_qkv is 8: modc does not know this field"],
    ["Qwen2-MoE", { use_sliding_window: true }, "use_sliding_window is true: layer_types is missing"],
    ["Qwen3-MoE", { mlp_only_layers: [-1] }, "mlp_only_layers is [-1]: it must be a whole number from 0 on"],
    ["DeepSeek", { scoring_func: "softmax" }, 'scoring_func is "softmax": the scores of this family are sigmoids'],
    ["DeepSeek", { topk_method: "greedy" }, 'topk_method is "greedy": modc knows noaux_tc'],
    ["DeepSeek", { n_group: 5 }, "n_group is 5: it must divide 12 experts"],
    ["DeepSeek", { topk_group: 5 }, "topk_group is 5: there are 4 groups"],
    ["DeepSeek", { topk_group: 1, num_experts_per_tok: 4 }, "topk_group is 1: its groups have 3 experts"],
    ["DeepSeek", { n_group: 12, topk_group: 3 }, "n_group is 12: groups are ranked by their two best experts"],
    ["DeepSeek", { num_key_value_heads: 2 }, "num_key_value_heads is 2: it is num_attention_heads, 4"],
    ["DeepSeek", { qk_rope_head_dim: 7 }, "qk_rope_head_dim is 7: heads of width 7 have no pairs to rotate"],
    ["DeepSeek", { quantization_config: { quant_method: "fp8" } }, "quantization_config is"],
    ["LongCat", { zero_expert_type: "copy" }, 'zero_expert_type is "copy": modc knows identity'],
    ["LongCat", { router_bias: true }, "router_bias is true: this family's routers have none"],
    ["LongCat", { mla_scale_q_lora: false }, "mla_scale_q_lora is false: this family always scales these rows"],
    [
      "LongCat",
      { q_lora_rank: null },
      "q_lora_rank is null: the queries of this family come from a low-rank projection",
    ],
    [
      "Mixtral",
      { model_type: "phimoe", architectures: ["PhimoeForCausalLM"], num_experts_per_tok: 3 },
      "num_experts_per_tok is 3: a sparse mixer chooses 2 experts",
    ],
    [
      "Mixtral",
      { ...OSS, quantization_config: { quant_method: "mxfp4" } },
      "modc reads float32, float16 and bfloat16 weights, not MXFP4",
    ],
    ["Mixtral", { ...LLAMA4, num_experts_per_tok: 2 }, "num_experts_per_tok is 2: modc multiplies the input of an"],
    ["Mixtral", { ...LLAMA4, no_rope_layers: [1] }, "no_rope_layers is [1]: it has 1 entries, num_hidden_layers is"],
    ["Mixtral", { ...LLAMA4, attention_chunk_size: null }, "a layer with chunks needs attention_chunk_size"],
    ["Mixtral", { ...LLAMA4, attn_temperature_tuning: "yes" }, 'attn_temperature_tuning is "yes": it must be true or'],
    ["Mixtral", { ...LLAMA4, model_type: "llama4" }, "modc reads its text model alone, saved as llama4_text"],
    ["Mixtral", { ...DBRX, attn_config: { rope: 1 } }, "attn_config.rope is 1: modc does not know this field"],
    ["Mixtral", { ...DBRX, ffn_config: { moe_top_k: 5 } }, "ffn_config.moe_top_k is 5: there are 4 experts"],
    [
      "Mixtral",
      { ...DBRX, ffn_config: { moe_normalize_expert_weights: 2 } },
      "ffn_config.moe_normalize_expert_weights is 2: modc divides gates by their sum",
    ],
    [
      "Mixtral",
      { ...DBRX, ffn_config: { ffn_act_fn: { name: "gelu" } } },
      'ffn_config.ffn_act_fn.name is "gelu": modc reads silu',
    ],
    ["DeepSeek", { ...V2, norm_topk_prob: true }, "norm_topk_prob is true: modc does not divide the gates"],
    [
      "DeepSeek",
      { ...V2, norm_topk_prob: false, topk_method: "noaux_tc" },
      "modc knows greedy and group_limited_greedy",
    ],
    ["Mixtral", { ...OSS, swiglu_limit: 0 }, "swiglu_limit is 0: it must be above 0"],
  ];
  it.each(refused)("of %s is refused with %j", (name, more, message) => {
    expect(() => read({ ...configOf(name), ...more })).toThrow(message);
  });
});
