// Tencent's dense Hunyuan: norms of heads behind the rotation, whose base may be enlarged.
import { RMS, type Family } from "../description/family.js";
import type { Fields } from "../description/fields.js";
import { LLAMA_KEYS } from "../description/key-names.js";
import { noBias } from "../description/layers.js";
import { rotaryOf, rotationOf, type Rotary, type RotaryContext } from "../description/rotary.js";
import { llama } from "./llama.js";

/** Fields of a scaling with alpha, of which the published code reads alpha and the base. */
const WITH_ALPHA = ["alpha", "factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim"];
const COMMON = ["type", "rope_type", "rope_theta"];

/** The base times alpha^(width / (width − 2)), the same for texts of all lengths, if the scaling is "dynamic". */
function alphaRotary(config: Fields, context: RotaryContext): Rotary {
  const fields = config.object("rope_parameters") ?? config.object("rope_scaling");
  const field = fields?.has("rope_type") === true ? "rope_type" : "type";
  if (fields?.text(field) !== "dynamic") return rotaryOf(config, context);
  const alpha = fields.positive("alpha") ?? fields.refuse(field, "modc knows it with alpha only");
  const unknown = fields.names.find((name) => !WITH_ALPHA.includes(name) && !COMMON.includes(name));
  if (unknown !== undefined) fields.refuse(unknown, "modc does not know this field of dynamic scaling");
  const { headDim } = context;
  if (headDim <= 2) config.refuse("rope_scaling", `alpha needs heads wider than ${headDim}`);
  const base = fields.positive("rope_theta") ?? config.positive("rope_theta") ?? context.theta;
  const theta = base * alpha ** (headDim / (headDim - 2));
  return { theta, frequencies: null, scale: 1, scaling: `dynamic, alpha ${alpha}`, reach: null };
}

/** The values that the published code supposes, and the reason to refuse others. */
const SUPPOSED: readonly (readonly [name: string, value: boolean | string, why: string])[] = [
  ["use_qk_norm", true, "this family has norms of queries and keys always"],
  ["use_cla", false, "modc does not share keys and values between layers"],
  ["use_rotary_pos_emb", true, "this family rotates queries and keys always"],
  ["norm_type", "rms", "modc knows rms"],
];

export const hunyuan: Family = {
  ...llama,
  type: "hunyuan_v1_dense",
  model: "Hunyuan",
  architecture: "HunYuanDenseV1ForCausalLM",
  // The fields of tokens and of a classifier's head change nothing that a decoder computes.
  reads: [
    ...SUPPOSED.map(([name]) => name),
    "attention_head_dim",
    "cla_share_factor",
    "org_vocab_size",
    "add_classification_head",
    "class_num",
    "dense_list",
    "pool_type",
    "eod_token_id",
    "im_start_id",
    "im_end_id",
    "im_newline_id",
    "mask_init_id",
    "num_media_embeds",
    "pad_id",
    "text_start_id",
    "text_end_id",
    "enable_lm_head_fp32",
  ],
  eps: 1e-5,
  headNorms: () => ({ over: "head", norm: RMS, behind: true, eps: null }),
  biases(config) {
    const attention = config.flag("attention_bias") ?? false;
    return { qkv: attention, o: attention, mlp: noBias(config, "mlp_bias") };
  },
  rotation(config, { headDim, positions, depth }, theta) {
    for (const [name, value, why] of SUPPOSED)
      if (config.raw(name) !== null && config.raw(name) !== value) config.refuse(name, why);
    const width = config.whole("attention_head_dim");
    if (width !== null && width !== headDim) config.refuse("attention_head_dim", `heads have a width of ${headDim}`);
    return rotationOf(alphaRotary(config, { headDim, positions, theta }), depth, headDim);
  },
  keys: () => ({ ...LLAMA_KEYS, qNorm: "query_layernorm", kNorm: "key_layernorm" }),
};
