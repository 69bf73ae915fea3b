// Microsoft's Phi: from 3 on Llama with fused maps and longrope; before, parallel layers with biases everywhere.
import { LAYER, type Family } from "../description/family.js";
import { LLAMA_KEYS } from "../description/key-names.js";
import { noBias, uniform } from "../description/layers.js";
import { partRotation } from "../description/rotary.js";
import { headNorms, llama } from "./llama.js";

export const phi: Family = {
  ...llama,
  type: "phi",
  model: "Phi",
  architecture: "PhiForCausalLM",
  fields: { ...llama.fields, eps: "layer_norm_eps" },
  reads: ["qk_layernorm"],
  eps: 1e-5,
  activation: "gelu_new",
  headBias: () => true,
  biases: () => ({ qkv: true, o: true, mlp: true }),
  norm: () => LAYER,
  residual: () => "parallel",
  headNorms: (config) => ((config.flag("qk_layernorm") ?? false) ? headNorms("head", LAYER) : null),
  network: "plain",
  rotation: (config, sizes, theta) => partRotation(config, { ...sizes, theta }, 0.5),
  keys: () => ({
    ...LLAMA_KEYS,
    norm: "final_layernorm",
    o: "dense",
    qNorm: "q_layernorm",
    kNorm: "k_layernorm",
    up: "fc1",
    down: "fc2",
  }),
};

export const phi3: Family = {
  ...llama,
  type: "phi3",
  model: "Phi3",
  architecture: "Phi3ForCausalLM",
  // The published code reads neither of the last two.
  reads: ["original_max_position_embeddings", "full_attn_mod", "interpolate_factor"],
  positions: 4096,
  eps: 1e-5,
  biases: (config) => ({ qkv: noBias(config, "attention_bias"), o: false, mlp: noBias(config, "mlp_bias") }),
  windows: (config, depth) => uniform(config, depth, config.whole("sliding_window") ?? 0),
  rotation(config, sizes, theta) {
    for (const name of ["full_attn_mod", "interpolate_factor"])
      if ((config.number(name) ?? 1) !== 1) config.refuse(name, "this family's is 1 always");
    const scaling = config.object("rope_parameters") ?? config.object("rope_scaling");
    const field = (scaling?.raw("rope_type") ?? null) === null ? "type" : "rope_type";
    if (!["default", "longrope", "su"].includes(scaling?.text(field) ?? "default"))
      scaling!.refuse(field, "this family has longrope or no scaling");
    return partRotation(config, { ...sizes, theta, original: 4096 }, 1);
  },
  keys: () => ({ ...LLAMA_KEYS, qkv: "qkv_proj", gateUp: "gate_up_proj" }),
};

export const PHI_FAMILIES: readonly Family[] = [phi, phi3];
