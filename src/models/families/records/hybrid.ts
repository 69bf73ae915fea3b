// Families with recurrent layers.
import { roundToBf16 } from "../../../ground/base/bf16.js";
import { SHIFTED, type Family } from "../description/family.js";
import type { Fields } from "../description/fields.js";
import { LLAMA_KEYS } from "../description/key-names.js";
import { noBias } from "../description/layers.js";
import { qwen3NextMixture } from "../description/mixture.js";
import { recurrentLayers } from "../description/recurrent.js";
import { partRotation } from "../description/rotary.js";
import { headNorms, llama } from "./llama.js";

const unlimited = (_: Fields, depth: number): readonly number[] => Array<number>(depth).fill(0);

export const qwen3Next: Family = {
  ...llama,
  type: "qwen3_next",
  model: "Qwen3Next",
  architecture: "Qwen3NextForCausalLM",
  reads: [
    "full_attention_interval",
    "linear_conv_kernel_dim",
    "linear_key_head_dim",
    "linear_value_head_dim",
    "linear_num_key_heads",
    "linear_num_value_heads",
  ],
  positions: 32768,
  kvHeads: 2,
  headDim: 256,
  biases(config) {
    const attention = config.flag("attention_bias") ?? false;
    return { qkv: attention, o: attention, mlp: noBias(config, "mlp_bias") };
  },
  norm: () => SHIFTED,
  headNorms: () => headNorms("head", SHIFTED),
  outGate: true,
  windows: unlimited,
  rotation: (config, sizes, theta) => partRotation(config, { ...sizes, theta }, 0.25),
  mixture: qwen3NextMixture,
  recurrent(config, { depth }) {
    config.only("hidden_act", "silu", "the short convolution of this family's recurrent layers has silu behind it");
    const keyHeads = config.whole("linear_num_key_heads") ?? 16;
    const heads = config.whole("linear_num_value_heads") ?? 32;
    if (heads % keyHeads !== 0)
      config.refuse("linear_num_key_heads", `it must divide linear_num_value_heads, ${heads}`);
    const every = config.whole("full_attention_interval") ?? 4;
    return {
      layers: recurrentLayers(
        config,
        depth,
        { recurrent: ["linear_attention"], attention: ["full_attention"] },
        (i) => (i + 1) % every !== 0,
      ),
      mixer: {
        kind: "delta",
        heads,
        headDim: config.whole("linear_value_head_dim") ?? 128,
        keyHeads,
        keyDim: config.whole("linear_key_head_dim") ?? 128,
        width: config.whole("linear_conv_kernel_dim") ?? 4,
      },
      key: "linear_attn",
    };
  },
  // The layers of multi-token prediction, which are not part of the model.
  keys: () => ({
    ...LLAMA_KEYS,
    ignoredWhole: [2, 3, 4, 5, 6, 7].map(
      (n) => `mtp.${["{a}", "{b}", "{c}", "{d}", "{e}", "{f}", "{g}"].slice(0, n).join(".")}`,
    ),
  }),
};

/** The width of LFM2's network: two thirds of the field, times a factor, up to the next multiple. */
function lfm2Hidden(config: Fields): number {
  const width = config.whole("block_ff_dim") ?? config.whole("intermediate_size") ?? 12288;
  if (!(config.flag("block_auto_adjust_ff_dim") ?? true)) return width;
  const multiple = config.whole("block_multiple_of") ?? 256;
  const factor = config.has("block_ffn_dim_multiplier") ? config.positive("block_ffn_dim_multiplier") : 1;
  const wide = Math.trunc((factor ?? 1) * Math.trunc((2 * width) / 3));
  return multiple * Math.ceil(wide / multiple);
}

/** Fields of older configurations that only training reads. */
const LFM2_INITIAL = ["block_mlp_init_scale", "block_out_init_scale", "block_use_xavier_init", "conv_use_xavier_init"];

/** Liquid AI's LFM2: short convolutions between gates, and attention in some layers. */
export const lfm2: Family = {
  ...llama,
  type: "lfm2",
  model: "LFM2",
  architecture: "Lfm2ForCausalLM",
  fields: { ...llama.fields, hidden: null, eps: "norm_eps", activation: null },
  otherFields: { block_norm_eps: "norm_eps", theta: "rope_theta", tie_embedding: "tie_word_embeddings" },
  reads: [
    "block_ff_dim",
    "block_auto_adjust_ff_dim",
    "block_multiple_of",
    "block_ffn_dim_multiplier",
    "block_dim",
    "conv_dim",
    "conv_dim_out",
    "conv_bias",
    "conv_L_cache",
    "full_attn_idxs",
    "num_heads",
    "block_use_swiglu",
    "use_pos_enc",
    ...LFM2_INITIAL,
  ],
  positions: 128_000,
  kvHeads: 8,
  eps: 1e-5,
  tied: true,
  theta: 1e6,
  hidden: lfm2Hidden,
  biases: () => ({ qkv: false, o: false, mlp: false }),
  headNorms: () => headNorms("head"),
  windows: unlimited,
  rotation(config, sizes, theta) {
    for (const name of ["block_use_swiglu", "use_pos_enc"]) config.only(name, true, "this family's is true always");
    config.only("num_heads", sizes.heads, `num_attention_heads is ${sizes.heads}`);
    return llama.rotation(config, sizes, theta);
  },
  recurrent(config, { depth, dim }) {
    for (const name of ["block_dim", "conv_dim", "conv_dim_out"])
      config.only(name, dim, `the stream, hidden_size, has ${dim} columns`);
    const attention = config.wholes("full_attn_idxs");
    return {
      layers: recurrentLayers(
        config,
        depth,
        { recurrent: ["conv"], attention: ["full_attention"] },
        (i) => attention !== null && !attention.includes(i),
      ),
      mixer: {
        kind: "conv",
        width: config.whole("conv_L_cache") ?? 3,
        bias: config.flag("conv_bias") ?? false,
      },
      key: "conv",
    };
  },
  keys: () => ({
    ...LLAMA_KEYS,
    norm: "embedding_norm",
    o: "out_proj",
    qNorm: "q_layernorm",
    kNorm: "k_layernorm",
    mlp: "feed_forward",
    gate: "w1",
    up: "w3",
    down: "w2",
    attentionNorm: "operator_norm",
    mlpNorm: "ffn_norm",
  }),
};

/** Google's RecurrentGemma (arXiv 2404.07839): two of three layers are Griffin's recurrent blocks. */
export const recurrentGemma: Family = {
  ...llama,
  type: "recurrent_gemma",
  model: "RecurrentGemma",
  architecture: "RecurrentGemmaForCausalLM",
  fields: { ...llama.fields, hidden: null, headDim: null, positions: null, activation: "hidden_activation" },
  reads: [
    "intermediate_size",
    "head_dim",
    "lru_width",
    "attention_window_size",
    "conv1d_width",
    "logits_soft_cap",
    "block_types",
    "_block_types",
    "embeddings_scale_by_sqrt_dim",
    "w_init_variance_scale",
    "final_w_init_variance_scale",
  ],
  positions: 8192,
  activation: "gelu_pytorch_tanh",
  tied: true,
  // The field counts the columns of gate and up together.
  hidden(config, dim) {
    const both = config.whole("intermediate_size") ?? 3 * dim;
    return Math.trunc(both / 2);
  },
  biases(config) {
    return { qkv: config.flag("attention_bias") ?? false, o: true, mlp: true };
  },
  norm: () => SHIFTED,
  // As the paper says. The published code limits what a token sees by its cache, not where it has the whole text.
  windows: (config, depth) => Array<number>(depth).fill(config.whole("attention_window_size") ?? 2048),
  rotation(config, sizes, theta) {
    config.only("head_dim", sizes.headDim, `hidden_size / num_attention_heads is ${sizes.headDim}`);
    return partRotation(config, { ...sizes, theta }, 0.5);
  },
  // A constant of bfloat16 in the published code.
  factors(config, { dim }) {
    config.only("embeddings_scale_by_sqrt_dim", true, "this family scales the embedding always");
    return { embedding: roundToBf16(Math.sqrt(dim)), update: 1, logits: 1 };
  },
  caps: (config) => ({ scores: null, logits: config.positive("logits_soft_cap") ?? 30 }),
  recurrent(config, { depth, dim, heads }) {
    config.only("hidden_activation", "gelu_pytorch_tanh", "the gate of this family's recurrent layers is gelu_tanh");
    const kinds = config.texts("block_types") ??
      config.texts("_block_types") ?? ["recurrent", "recurrent", "attention"];
    const other = kinds.find((kind) => kind !== "recurrent" && kind !== "attention");
    if (other !== undefined || kinds.length === 0)
      config.refuse("block_types", "it must be a list of recurrent and attention");
    const channels = config.whole("lru_width") ?? dim;
    if (channels % heads !== 0) config.refuse("lru_width", `num_attention_heads, ${heads}, must divide it`);
    return {
      layers: Array.from({ length: depth }, (_, i) => kinds[i % kinds.length] === "recurrent"),
      mixer: { kind: "griffin", channels, blocks: heads, width: config.whole("conv1d_width") ?? 4 },
      key: "temporal_block",
    };
  },
  keys: () => ({
    ...LLAMA_KEYS,
    norm: "final_norm",
    attention: "temporal_block",
    mlp: "mlp_block",
    attentionNorm: "temporal_pre_norm",
    mlpNorm: "channel_pre_norm",
  }),
};

export const HYBRID_FAMILIES: readonly Family[] = [qwen3Next, lfm2, recurrentGemma];
