// EleutherAI's GPT-NeoX and Pythia, and Stability AI's StableLM: LayerNorms with biases, part of each head rotated.
import { LAYER, type Family } from "../description/family.js";
import type { Fields } from "../description/fields.js";
import { LLAMA_KEYS } from "../description/key-names.js";
import { noBias } from "../description/layers.js";
import { partRotation } from "../description/rotary.js";
import { headNorms, llama } from "./llama.js";

export const neox: Family = {
  ...llama,
  type: "gpt_neox",
  model: "GPTNeoX",
  architecture: "GPTNeoXForCausalLM",
  fields: { ...llama.fields, eps: "layer_norm_eps" },
  // The last three state dropout.
  reads: [
    "rotary_pct",
    "rotary_emb_base",
    "use_parallel_residual",
    "classifier_dropout",
    "attention_probs_dropout_prob",
    "hidden_dropout_prob",
  ],
  eps: 1e-5,
  activation: "gelu",
  biases(config) {
    const attention = config.flag("attention_bias") ?? true;
    return { qkv: attention, o: attention, mlp: true };
  },
  norm: () => LAYER,
  residual: (config) => ((config.flag("use_parallel_residual") ?? true) ? "parallel, two norms" : "serial"),
  network: "plain",
  heads(config) {
    const [heads, groups] = [config.whole("num_attention_heads"), config.whole("num_key_value_heads")];
    if (groups !== null && groups !== heads)
      config.refuse("num_key_value_heads", "this family has a key for each head of queries");
    return null;
  },
  rotation(config, sizes, theta) {
    const base = oneOf(config, "rotary_emb_base", "rope_theta");
    const part = oneOf(config, "rotary_pct", "partial_rotary_factor");
    return partRotation(
      config,
      { ...sizes, theta: base === null ? theta : config.positive(base)! },
      0.25,
      {},
      part ?? "rotary_pct",
    );
  },
  fused: true,
  keys: () => ({
    ...LLAMA_KEYS,
    prefixes: ["gpt_neox."],
    embed: "embed_in",
    norm: "final_layer_norm",
    head: "embed_out",
    attention: "attention",
    qkv: "query_key_value",
    o: "dense",
    up: "dense_h_to_4h",
    down: "dense_4h_to_h",
    ignored: ["bias", "masked_bias", "rotary_emb.inv_freq"].map((name) => `layers.{i}.attention.${name}`),
  }),
};

/** The name that a number above 0 has, of two names which must say the same; null: the number is absent. */
function oneOf(config: Fields, name: string, other: string): string | null {
  const [first, second] = [config.positive(name), config.positive(other)];
  if (first !== null && second !== null && first !== second) config.refuse(name, `${other} is ${second}`);
  return first !== null ? name : second !== null ? other : null;
}

export const stablelm: Family = {
  ...llama,
  type: "stablelm",
  model: "StableLM",
  architecture: "StableLmForCausalLM",
  fields: { ...llama.fields, eps: "layer_norm_eps" },
  reads: ["use_qkv_bias", "qk_layernorm", "use_parallel_residual"],
  positions: 4096,
  kvHeads: 32,
  eps: 1e-5,
  biases: (config) => ({ qkv: config.flag("use_qkv_bias") ?? false, o: noBias(config, "attention_bias"), mlp: false }),
  norm: () => LAYER,
  residual: (config) => ((config.flag("use_parallel_residual") ?? false) ? "parallel" : "serial"),
  headNorms: (config) =>
    (config.flag("qk_layernorm") ?? false)
      ? { ...headNorms("heads", { kind: "layer", weight: "weight", bias: false }), apart: true }
      : null,
  rotation: (config, sizes, theta) => partRotation(config, { ...sizes, theta }, 0.25),
  keys: () => ({ ...LLAMA_KEYS, qNorm: "q_layernorm.norms.{h}", kNorm: "k_layernorm.norms.{h}" }),
};

export const NEOX_FAMILIES: readonly Family[] = [neox, stablelm];
