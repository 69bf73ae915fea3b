// Families with factors on the embedding, the attention scores, what layers add to the stream, and the logits.
import type { Family } from "../description/family.js";
import type { Fields } from "../description/fields.js";
import { llama } from "./llama.js";

/** IBM's Granite 3: the factors are fields of the configuration. */
export const granite: Family = {
  ...llama,
  type: "granite",
  model: "Granite",
  architecture: "GraniteForCausalLM",
  reads: ["embedding_multiplier", "attention_multiplier", "residual_multiplier", "logits_scaling"],
  factors: (config) => ({
    embedding: config.positive("embedding_multiplier") ?? 1,
    update: config.positive("residual_multiplier") ?? 1,
    logits: 1 / (config.positive("logits_scaling") ?? 1),
  }),
  scoreScale: (config) => config.positive("attention_multiplier") ?? 1,
};

const needed = (config: Fields, name: string): number => config.positive(name) ?? config.missing(name);

/**
 * OpenBMB's MiniCPM (arXiv 2404.06395, section 3.1): the factors follow from those of a narrower model. They have no
 * defaults here, since OpenBMB's configuration class and transformers' have different ones.
 */
export const minicpm: Family = {
  ...llama,
  type: "minicpm",
  model: "MiniCPM",
  architecture: "MiniCPMForCausalLM",
  // The published code reads mup_denominator for further models that guess tokens only.
  reads: ["scale_emb", "scale_depth", "dim_model_base", "mup_denominator", "sparse_config", "num_experts"],
  tied: true,
  heads: (config) => config.whole("num_key_value_heads") ?? config.missing("num_key_value_heads"),
  factors(config, { dim, depth }) {
    if ((config.whole("num_experts", 0) ?? 0) > 0) config.refuse("num_experts", "modc reads MiniCPM's dense models");
    if (config.raw("sparse_config") !== null)
      config.refuse("sparse_config", "modc has no attention to blocks of keys that each query chooses");
    return {
      embedding: needed(config, "scale_emb"),
      update: needed(config, "scale_depth") / Math.sqrt(depth),
      logits: needed(config, "dim_model_base") / dim,
    };
  },
};

export const GRANITE_FAMILIES: readonly Family[] = [granite, minicpm];
