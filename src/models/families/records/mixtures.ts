// Families with mixtures of experts in place of dense networks.
import type { Family } from "../description/family.js";
import { layerWindows, noBias, uniform } from "../description/layers.js";
import { deepseekLatent, longcatLatent } from "../description/latent.js";
import {
  deepseekMixture,
  longcatMixture,
  mixtralMixture,
  olmoeMixture,
  qwen2Mixture,
  qwen3Mixture,
} from "../description/mixture.js";
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

export const MIXTURE_FAMILIES: readonly Family[] = [mixtral, olmoe, qwen2Moe, qwen3Moe, deepseek, longcat];
