// Google's Gemma: norms by 1 + weight, a factor on the embedding; from 2 on norms behind too, caps, windows by layer.
import { SHIFTED, type Family } from "../description/family.js";
import { LLAMA_KEYS } from "../description/key-names.js";
import { windowsBut } from "../description/layers.js";
import { scaledRotary, rotationOf, type Turn } from "../description/rotary.js";
import { headNorms, llama } from "./llama.js";

export const gemma: Family = {
  ...llama,
  type: "gemma",
  model: "Gemma",
  architecture: "GemmaForCausalLM",
  fields: { ...llama.fields, activation: "hidden_activation" },
  // The older field, which the published code does not read if the newer one is there.
  reads: ["hidden_act", "use_bidirectional_attention"],
  positions: 8192,
  headDim: 256,
  activation: "gelu_pytorch_tanh",
  tied: true,
  norm: () => SHIFTED,
  biases(config) {
    const bias = config.flag("attention_bias") ?? false;
    return { qkv: bias, o: bias, mlp: false };
  },
  factors: (config, { dim }) => {
    if (config.flag("use_bidirectional_attention") === true)
      config.refuse("use_bidirectional_attention", "modc reads this family as a decoder");
    return { embedding: Math.sqrt(dim), update: 1, logits: 1 };
  },
};

export const gemma2: Family = {
  ...gemma,
  type: "gemma2",
  model: "Gemma2",
  architecture: "Gemma2ForCausalLM",
  reads: [
    ...gemma.reads,
    "query_pre_attn_scalar",
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "cache_implementation",
  ],
  norms: "both",
  kvHeads: 4,
  windows: (config, depth) => {
    const window = config.whole("sliding_window") ?? 4096;
    // Every other layer has a window, the first one included.
    return windowsBut(config, depth, window, 2);
  },
  scoreScale: (config) => 1 / Math.sqrt(config.positive("query_pre_attn_scalar") ?? 256),
  caps: (config) => ({
    scores: config.has("attn_logit_softcapping") ? config.positive("attn_logit_softcapping") : 50,
    logits: config.has("final_logit_softcapping") ? config.positive("final_logit_softcapping") : 30,
  }),
  keys: () => ({ ...LLAMA_KEYS, mlpNorm: "pre_feedforward_layernorm" }),
};

export const gemma3: Family = {
  ...gemma2,
  type: "gemma3_text",
  model: "Gemma3",
  architecture: "Gemma3ForCausalLM",
  reads: [...gemma2.reads, "rope_local_base_freq", "sliding_window_pattern"],
  positions: 131072,
  theta: 1e6,
  headNorms: () => headNorms("head", SHIFTED),
  windows: (config, depth) =>
    windowsBut(config, depth, config.whole("sliding_window") ?? 4096, config.whole("sliding_window_pattern") ?? 6),
  rotation(config, { headDim, positions, depth }, theta) {
    const parameters = config.object("rope_parameters");
    // Version 5 of transformers has parameters for each type of layer.
    const context = { headDim, positions, theta };
    const whole = parameters?.object("full_attention") ?? config.object("rope_scaling");
    const local = parameters?.object("sliding_attention") ?? null;
    const base = config.positive("rope_local_base_freq") ?? 10000;
    return rotationOf(scaledRotary(config, whole, context), depth, headDim, {
      local: local
        ? scaledRotary(config, local, { ...context, theta: base })
        : { theta: base, frequencies: null, scale: 1, scaling: null, reach: null },
      layers: gemma3.windows(config, depth).map((window): Turn => (window > 0 ? "local" : "main")),
    });
  },
  caps: (config) => ({
    scores: config.positive("attn_logit_softcapping"),
    logits: config.positive("final_logit_softcapping"),
  }),
};

export const GEMMA_FAMILIES: readonly Family[] = [gemma, gemma2, gemma3];
