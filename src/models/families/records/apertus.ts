// The Swiss AI Initiative's Apertus: plain networks with an activation that learns, norms of heads.
import type { Json } from "../../../runtime/weights/formats/json.js";
import type { Family } from "../description/family.js";
import { Fields } from "../description/fields.js";
import { LLAMA_KEYS } from "../description/key-names.js";
import { noBias } from "../description/layers.js";
import { rotationOf, scaledRotary } from "../description/rotary.js";
import { headNorms, llama } from "./llama.js";

/** The scaling if the configuration has none. */
const SCALING = Fields.of(
  new Map<string, Json>([
    ["rope_type", "llama3"],
    ["factor", 8],
    ["low_freq_factor", 1],
    ["high_freq_factor", 4],
    ["original_max_position_embeddings", 8192],
  ]),
  "the default",
  "rope_scaling.",
);

export const apertus: Family = {
  ...llama,
  type: "apertus",
  model: "Apertus",
  architecture: "ApertusForCausalLM",
  reads: ["qk_norm", "post_norm"],
  positions: 65536,
  activation: "xielu",
  activations: { xielu: "xielu" },
  eps: 1e-5,
  network: "plain",
  theta: 12e6,
  biases(config) {
    const attention = config.flag("attention_bias") ?? false;
    return { qkv: attention, o: attention, mlp: noBias(config, "mlp_bias") };
  },
  headNorms(config) {
    if (config.flag("qk_norm") === false) config.refuse("qk_norm", "this family has norms of queries and keys always");
    if (config.flag("post_norm") === true) config.refuse("post_norm", "this family has norms before layers only");
    return headNorms("head");
  },
  rotation(config, { headDim, positions, depth }, theta) {
    const given = config.object("rope_parameters") ?? config.object("rope_scaling");
    if (given === null && config.has("rope_scaling"))
      config.refuse(
        "rope_scaling",
        "versions of the published code differ on it",
        'write {"rope_type": "default"} for no scaling',
      );
    return rotationOf(scaledRotary(config, given ?? SCALING, { headDim, positions, theta }), depth, headDim);
  },
  keys: () => ({ ...LLAMA_KEYS, attentionNorm: "attention_layernorm", mlpNorm: "feedforward_layernorm" }),
};
