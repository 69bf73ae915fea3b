// Families with DeepSeek's latent attention or mixture beside DeepSeek-V3, and DBRX.
import { LAYER, type Family } from "../description/family.js";
import type { Fields } from "../description/fields.js";
import { LLAMA_KEYS } from "../description/key-names.js";
import { deepseekLatent } from "../description/latent.js";
import { deepseek2Mixture, glm4Mixture } from "../description/mixture.js";
import { rotaryOf, rotationOf } from "../description/rotary.js";
import { dbrxMixture } from "../description/stacked.js";
import { headNorms, llama } from "./llama.js";
import { deepseek } from "./mixtures.js";

/**
 * DeepSeek-V2. Its scores are scaled as in DeepSeek's own code if positions are stretched (`mscale_all_dim`), which the
 * class of transformers leaves out.
 */
export const deepseek2: Family = {
  ...deepseek,
  type: "deepseek_v2",
  model: "DeepSeekV2",
  architecture: "DeepseekV2ForCausalLM",
  positions: 2048,
  mixture: deepseek2Mixture,
  latent: (config) => ({ ...deepseekLatent(config), neighbours: true }),
  rotation: (config, sizes, theta) => ({ ...llama.rotation(config, sizes, theta)!, neighbours: true }),
};

/** Kimi K2 (arXiv 2507.20534), which has DeepSeek-V3's code. */
export const kimi: Family = { ...deepseek, type: "kimi_k2", model: "Kimi" };

/** A factor that MiniCPM's configurations state; implementations have different defaults. */
const stated = (config: Fields, name: string): number => config.positive(name) ?? config.missing(name);

/** MiniCPM3: latent attention whose pairs are halves, a dense network, MiniCPM's factors (arXiv 2404.06395). */
export const minicpm3: Family = {
  ...llama,
  type: "minicpm3",
  model: "MiniCPM3",
  architecture: "MiniCPM3ForCausalLM",
  reads: ["scale_emb", "scale_depth", "dim_model_base", "mup_denominator"],
  tied: true,
  biases: (config) => ({ ...llama.biases(config), mlp: false }),
  latent: (config, dim) => ({
    queryRank: config.has("q_lora_rank") ? config.whole("q_lora_rank") : 768,
    keyRank: config.whole("kv_lora_rank") ?? 256,
    still: config.whole("qk_nope_head_dim") ?? 64,
    turned: config.whole("qk_rope_head_dim") ?? 32,
    value: config.whole("v_head_dim") ?? Math.floor(dim / (config.whole("num_attention_heads") ?? 1)),
    neighbours: false,
    queryScale: 1,
    keyScale: 1,
  }),
  factors: (config, { dim, depth }) => ({
    embedding: stated(config, "scale_emb"),
    update: stated(config, "scale_depth") / Math.sqrt(depth),
    logits: stated(config, "dim_model_base") / dim,
  }),
};

/** The number of rotated columns of a head of this width. */
function rotatedColumns(config: Fields, headDim: number, share: number): number {
  const fields = config.object("rope_parameters") ?? config.object("rope_scaling");
  const part = fields?.positive("partial_rotary_factor") ?? config.positive("partial_rotary_factor") ?? share;
  if (part > 1) config.refuse("partial_rotary_factor", "a head has no more columns to rotate");
  return Math.floor(headDim * part);
}

export const glm4Moe: Family = {
  ...llama,
  type: "glm4_moe",
  model: "Glm4MoE",
  architecture: "Glm4MoeForCausalLM",
  reads: ["use_qk_norm"],
  positions: 131072,
  kvHeads: 8,
  eps: 1e-5,
  biases: (config) => ({ qkv: config.flag("attention_bias") ?? false, o: false, mlp: false }),
  headNorms: (config) => (config.flag("use_qk_norm") === true ? headNorms("head") : null),
  rotation(config, { headDim, positions, depth }, theta) {
    const columns = rotatedColumns(config, headDim, 0.5);
    return rotationOf(rotaryOf(config, { headDim: columns, positions, theta, partial: true }), depth, columns);
  },
  mixture: glm4Mixture,
};

/** The fields of DBRX's `attn_config`. */
const DBRX_ATTENTION: ReadonlySet<string> = new Set("model_type attn_pdrop clip_qkv kv_n_heads rope_theta".split(" "));

const dbrxAttention = (config: Fields): Fields =>
  (config.object("attn_config") ?? config.none("attn_config")).allow(DBRX_ATTENTION);

export const dbrx: Family = {
  ...llama,
  type: "dbrx",
  model: "DBRX",
  architecture: "DbrxForCausalLM",
  fields: {
    dim: "d_model",
    hidden: null,
    depth: "n_layers",
    heads: "n_heads",
    kvHeads: null,
    headDim: null,
    positions: "max_seq_len",
    eps: null,
    activation: null,
  },
  otherFields: {
    hidden_size: "d_model",
    num_hidden_layers: "n_layers",
    num_attention_heads: "n_heads",
    max_position_embeddings: "max_seq_len",
  },
  reads: ["attn_config", "ffn_config"],
  heads: (config) => dbrxAttention(config).whole("kv_n_heads") ?? 1,
  hidden: (config) => config.object("ffn_config")?.whole("ffn_hidden_size") ?? 3584,
  eps: 1e-5,
  biases: () => ({ qkv: false, o: false, mlp: false }),
  norm: () => ({ ...LAYER, bias: false }),
  rotation: (config, { headDim, positions, depth }) =>
    rotationOf(
      rotaryOf(config, { headDim, positions, theta: dbrxAttention(config).positive("rope_theta") ?? 10000 }),
      depth,
      headDim,
    ),
  clip: (config) => dbrxAttention(config).positive("clip_qkv"),
  mixture: dbrxMixture,
  keys: () => ({
    ...LLAMA_KEYS,
    prefixes: ["transformer."],
    embed: "wte",
    layer: "blocks.{i}",
    norm: "norm_f",
    attention: "norm_attn_norm.attn",
    qkv: "Wqkv",
    o: "out_proj",
    attentionNorm: "norm_attn_norm.norm_1",
    mlpNorm: "norm_attn_norm.norm_2",
    ignored: [],
  }),
};

export const DEEPSEEK_FAMILIES: readonly Family[] = [deepseek2, kimi, minicpm3, glm4Moe, dbrx];
