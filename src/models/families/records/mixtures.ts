// Families with mixtures of experts in place of dense networks.
import { LAYER, type Family } from "../description/family.js";
import { Fields } from "../description/fields.js";
import { layerWindows, noBias, uniform, windowsBut } from "../description/layers.js";
import { deepseekLatent, longcatLatent } from "../description/latent.js";
import {
  deepseekMixture,
  longcatMixture,
  mixtralMixture,
  olmoeMixture,
  phiMixture,
  qwen2Mixture,
  qwen3Mixture,
} from "../description/mixture.js";
import { rotationOf, scaledRotary } from "../description/rotary.js";
import { gptOssMixture, graniteMixture } from "../description/stacked.js";
import { headNorms, llama, mistral, qwen2, qwen3 } from "./llama.js";

export const mixtral: Family = {
  ...mistral,
  type: "mixtral",
  model: "Mixtral",
  architecture: "MixtralForCausalLM",
  theta: 1e6,
  windows: (config, depth) => uniform(config, depth, config.whole("sliding_window") ?? 0),
  mixture: mixtralMixture,
};

export const olmoe: Family = {
  ...llama,
  type: "olmoe",
  model: "OLMoE",
  architecture: "OlmoeForCausalLM",
  positions: 4096,
  headNorms: () => headNorms("row"),
  mixture: olmoeMixture,
};

export const qwen2Moe: Family = {
  ...qwen2,
  type: "qwen2_moe",
  model: "Qwen2MoE",
  architecture: "Qwen2MoeForCausalLM",
  kvHeads: 16,
  biases: (config) => ({ qkv: config.flag("qkv_bias") ?? true, o: false, mlp: noBias(config, "mlp_bias") }),
  windows(config, depth) {
    const used = config.flag("use_sliding_window") ?? false;
    if (used && config.texts("layer_types") === null)
      config.refuse("use_sliding_window", "layer_types is missing, which lists the layers with a window");
    return layerWindows(config, depth, used ? config.whole("sliding_window") : null) ?? uniform(config, depth, 0);
  },
  mixture: qwen2Mixture,
};

export const qwen3Moe: Family = {
  ...qwen3,
  type: "qwen3_moe",
  model: "Qwen3MoE",
  architecture: "Qwen3MoeForCausalLM",
  kvHeads: 4,
  headDim: null,
  windows(config, depth) {
    const used = config.flag("use_sliding_window") ?? false;
    const window = used ? (config.has("sliding_window") ? config.whole("sliding_window") : 4096) : null;
    return layerWindows(config, depth, window) ?? uniform(config, depth, window ?? 0);
  },
  mixture: qwen3Mixture,
};

export const deepseek: Family = {
  ...llama,
  type: "deepseek_v3",
  model: "DeepSeek",
  architecture: "DeepseekV3ForCausalLM",
  positions: 4096,
  mixture: deepseekMixture,
  latent: deepseekLatent,
  rotation: (config, sizes, theta) => ({
    ...llama.rotation(config, sizes, theta)!,
    neighbours: deepseekLatent(config).neighbours,
  }),
};

export const longcat: Family = {
  ...llama,
  type: "longcat_flash",
  model: "LongCat",
  architecture: "LongcatFlashForCausalLM",
  positions: 131072,
  theta: 1e7,
  fields: { ...llama.fields, hidden: "ffn_hidden_size", depth: "num_layers" },
  mixture: longcatMixture,
  latent: longcatLatent,
  rotation: (config, sizes, theta) => ({ ...llama.rotation(config, sizes, theta)!, neighbours: true }),
  twofold: true,
};

export const phiMoe: Family = {
  ...llama,
  type: "phimoe",
  model: "PhiMoE",
  architecture: "PhimoeForCausalLM",
  alsoCalled: ["PhiMoEForCausalLM"],
  reads: ["lm_head_bias", "input_jitter_noise"],
  positions: 4096 * 32,
  kvHeads: 8,
  eps: 1e-5,
  theta: 1e6,
  hidden: () => 6400,
  headBias: (config) => config.flag("lm_head_bias") ?? false,
  biases(config) {
    const attention = config.flag("attention_bias") ?? false;
    return { qkv: attention, o: attention, mlp: false };
  },
  norm: () => LAYER,
  windows: (config, depth) => uniform(config, depth, config.whole("sliding_window") ?? 0),
  mixture: phiMixture,
};

/** The scaling of positions if the configuration does not say it. */
const GPT_OSS_SCALING = new Map<string, string | number | boolean>([
  ["rope_type", "yarn"],
  ["factor", 32],
  ["beta_fast", 32],
  ["beta_slow", 1],
  ["truncate", false],
  ["original_max_position_embeddings", 4096],
]);

export const gptOss: Family = {
  ...llama,
  type: "gpt_oss",
  model: "GptOss",
  architecture: "GptOssForCausalLM",
  otherFields: { num_experts: "num_local_experts", experts_per_token: "num_experts_per_tok" },
  reads: ["swiglu_alpha", "swiglu_limit", "initial_context_length"],
  positions: 131072,
  kvHeads: 8,
  headDim: 64,
  eps: 1e-5,
  theta: 150000,
  hidden: () => 2880,
  biases(config) {
    const attention = config.flag("attention_bias") ?? true;
    return { qkv: attention, o: attention, mlp: true };
  },
  bounded: (config) => ({
    gain: config.positive("swiglu_alpha") ?? 1.702,
    limit: config.positive("swiglu_limit") ?? 7,
  }),
  // Every other layer has a window, the first one included.
  windows: (config, depth) =>
    windowsBut(config, depth, config.has("sliding_window") ? config.whole("sliding_window") : 128, 2),
  rotation(config, { headDim, positions, depth }, theta) {
    const fields = config.object("rope_parameters") ?? config.object("rope_scaling");
    const scaling = fields ?? Fields.of(GPT_OSS_SCALING, "the default", "rope_parameters.");
    return rotationOf(scaledRotary(config, scaling, { headDim, positions, theta }), depth, headDim);
  },
  sinks: true,
  mixture: gptOssMixture,
};

export const graniteMoe: Family = {
  ...llama,
  type: "granitemoe",
  model: "GraniteMoE",
  architecture: "GraniteMoeForCausalLM",
  reads: ["embedding_multiplier", "logits_scaling", "residual_multiplier", "attention_multiplier"],
  biases(config) {
    const attention = config.flag("attention_bias") ?? false;
    return { qkv: attention, o: attention, mlp: noBias(config, "mlp_bias") };
  },
  factors: (config) => ({
    embedding: config.number("embedding_multiplier") ?? 1,
    update: config.number("residual_multiplier") ?? 1,
    logits: 1 / (config.positive("logits_scaling") ?? 1),
  }),
  scoreScale: (config) => config.positive("attention_multiplier") ?? 1,
  mixture: graniteMixture,
};

export const MIXTURE_FAMILIES: readonly Family[] = [
  mixtral,
  olmoe,
  qwen2Moe,
  qwen3Moe,
  deepseek,
  longcat,
  gptOss,
  graniteMoe,
  phiMoe,
];
