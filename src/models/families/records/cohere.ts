// Cohere's Command: LayerNorms without bias, attention and network side by side, rotated neighbours, scaled logits.
import type { Family, Norm } from "../description/family.js";
import type { Fields } from "../description/fields.js";
import { noBias, windowsBut } from "../description/layers.js";
import type { Turn } from "../description/rotary.js";
import { headNorms, llama } from "./llama.js";

const UNBIASED: Norm = { kind: "layer", weight: "weight", bias: false };

export const cohere: Family = {
  ...llama,
  type: "cohere",
  model: "Cohere",
  architecture: "CohereForCausalLM",
  fields: { ...llama.fields, eps: "layer_norm_eps" },
  // The published code does not read the length that the tokenizer states.
  reads: ["logit_scale", "use_qk_norm", "model_max_length"],
  positions: 8192,
  eps: 1e-5,
  tied: true,
  theta: 500_000,
  biases(config) {
    const attention = config.flag("attention_bias") ?? false;
    return { qkv: attention, o: attention, mlp: noBias(config, "mlp_bias") };
  },
  norm: () => UNBIASED,
  residual: () => "parallel",
  headNorms: (config) => ((config.flag("use_qk_norm") ?? false) ? headNorms("heads", UNBIASED) : null),
  rotation: (config, sizes, theta) => ({ ...llama.rotation(config, sizes, theta)!, neighbours: true }),
  factors(config) {
    const logits = config.has("logit_scale")
      ? (config.positive("logit_scale") ?? config.refuse("logit_scale", "this family scales its logits always"))
      : 0.0625;
    return { embedding: 1, update: 1, logits };
  },
};

/** Fields of older configurations, which have these values in every model of the family. */
const ALWAYS: Readonly<Record<string, boolean | number | string>> = {
  order_of_interleaved_layers: "local_attn_first",
  position_embedding_type: "rope_gptj",
  rotary_pct: 1,
  use_embedding_sharing: true,
  use_gated_activation: true,
  use_parallel_block: true,
  use_parallel_embedding: true,
  use_qk_norm: false,
};

export const cohere2: Family = {
  ...cohere,
  type: "cohere2",
  model: "Cohere2",
  architecture: "Cohere2ForCausalLM",
  reads: ["logit_scale", "sliding_window_pattern", "layer_switch", "cache_implementation", ...Object.keys(ALWAYS)],
  theta: 10_000,
  headNorms(config) {
    for (const [name, value] of Object.entries(ALWAYS))
      if (config.raw(name) !== null && config.raw(name) !== value)
        config.refuse(name, `this family's is ${JSON.stringify(value)} always`);
    return null;
  },
  windows(config, depth) {
    const window = config.has("sliding_window") ? config.whole("sliding_window") : 4096;
    if (window === null) config.refuse("sliding_window", "layers without a window rotate nothing, so some need one");
    return windowsBut(config, depth, window, period(config));
  },
  rotation: (config, sizes, theta) => ({
    ...cohere.rotation(config, sizes, theta)!,
    layers: cohere2.windows(config, sizes.depth).map((window): Turn => (window > 0 ? "main" : "none")),
  }),
};

/** Every how many layers one has no window; `layer_switch` is the name of older configurations. */
function period(config: Fields): number {
  const [pattern, layers] = [config.whole("sliding_window_pattern"), config.whole("layer_switch")];
  if (pattern !== null && layers !== null && layers !== pattern)
    config.refuse("layer_switch", `sliding_window_pattern is ${pattern}`);
  return pattern ?? layers ?? 4;
}

export const COHERE_FAMILIES: readonly Family[] = [cohere, cohere2];
