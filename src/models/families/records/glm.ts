// Zhipu's GLM: half of each head is rotated, as neighbours; gate and up are one map; GLM-4-0414 has norms behind too.
import type { Family } from "../description/family.js";
import { LLAMA_KEYS } from "../description/key-names.js";
import { noBias } from "../description/layers.js";
import { partRotation } from "../description/rotary.js";
import { llama } from "./llama.js";

export const glm: Family = {
  ...llama,
  type: "glm",
  model: "GLM",
  architecture: "GlmForCausalLM",
  positions: 131072,
  headDim: 128,
  kvHeads: 2,
  eps: 1.5625e-7,
  biases: (config) => ({ qkv: config.flag("attention_bias") ?? true, o: false, mlp: noBias(config, "mlp_bias") }),
  rotation: (config, sizes, theta) => partRotation(config, { ...sizes, theta }, 0.5, { neighbours: true }),
  keys: () => ({ ...LLAMA_KEYS, gateUp: "gate_up_proj" }),
};

export const glm4: Family = {
  ...glm,
  type: "glm4",
  model: "GLM4",
  architecture: "Glm4ForCausalLM",
  norms: "both",
  keys: (config) => ({
    ...glm.keys(config),
    attentionOutNorm: "post_self_attn_layernorm",
    mlpOutNorm: "post_mlp_layernorm",
  }),
};

export const GLM_FAMILIES: readonly Family[] = [glm, glm4];
