// GPT-2 and the families of its form: norms by mean and variance, plain networks, learned positions or ALiBi.
import { mptSlopes, alibiSlopes } from "../description/alibi.js";
import { LAYER, type Family } from "../description/family.js";
import type { Fields } from "../description/fields.js";
import { LLAMA_KEYS, type KeyNames } from "../description/key-names.js";
import { llama } from "./llama.js";

const GPT2_KEYS: KeyNames = {
  ...LLAMA_KEYS,
  prefixes: ["transformer.", ""],
  embed: "wte",
  positions: "wpe",
  layer: "h.{i}",
  norm: "ln_f",
  attention: "attn",
  qkv: "c_attn",
  o: "c_proj",
  up: "c_fc",
  down: "c_proj",
  attentionNorm: "ln_1",
  mlpNorm: "ln_2",
  transposed: true,
  // The mask, which older versions of the published code stored.
  ignored: ["h.{i}.attn.bias", "h.{i}.attn.masked_bias"],
};

export const gpt2: Family = {
  ...llama,
  type: "gpt2",
  model: "GPT2",
  architecture: "GPT2LMHeadModel",
  fields: {
    dim: "n_embd",
    hidden: "n_inner",
    depth: "n_layer",
    heads: "n_head",
    kvHeads: null,
    headDim: null,
    positions: "n_positions",
    eps: "layer_norm_epsilon",
    activation: "activation_function",
  },
  otherFields: {
    hidden_size: "n_embd",
    num_hidden_layers: "n_layer",
    num_attention_heads: "n_head",
    max_position_embeddings: "n_positions",
  },
  reads: [
    "n_ctx scale_attn_weights scale_attn_by_inverse_layer_idx reorder_and_upcast_attn summary_type summary_use_proj",
    "summary_activation summary_proj_to_labels summary_first_dropout",
  ].flatMap((names) => names.split(" ")),
  positions: 1024,
  hidden: (_config, dim) => 4 * dim,
  activation: "gelu_new",
  eps: 1e-5,
  tied: true,
  biases: () => ({ qkv: true, o: true, mlp: true }),
  norm: () => LAYER,
  network: "plain",
  rotation: () => null,
  learned: (_config, { positions }) => ({ count: positions, offset: 0 }),
  scoreScale(config) {
    config.only("scale_attn_by_inverse_layer_idx", false, "modc scales the scores of all layers by the same factor");
    return config.flag("scale_attn_weights") === false ? 1 : null;
  },
  keys: () => GPT2_KEYS,
};

export const opt: Family = {
  ...gpt2,
  type: "opt",
  model: "OPT",
  architecture: "OPTForCausalLM",
  fields: {
    ...gpt2.fields,
    dim: "hidden_size",
    hidden: "ffn_dim",
    depth: "num_hidden_layers",
    heads: "num_attention_heads",
    positions: "max_position_embeddings",
    eps: null,
  },
  otherFields: { d_model: "hidden_size" },
  reads: [
    "word_embed_proj_dim do_layer_norm_before _remove_final_layer_norm enable_bias layer_norm_elementwise_affine",
    "layerdrop init_std",
  ].flatMap((names) => names.split(" ")),
  positions: 2048,
  hidden: () => null,
  activation: "relu",
  biases(config) {
    const bias = config.flag("enable_bias") ?? true;
    return { qkv: bias, o: bias, mlp: bias };
  },
  norm(config) {
    config.only("do_layer_norm_before", true, "modc reads the norms of this family before attention and network");
    config.only("_remove_final_layer_norm", false, "modc reads this family with a norm behind the last layer");
    return config.flag("layer_norm_elementwise_affine") === false ? { ...LAYER, weight: "none", bias: false } : LAYER;
  },
  // Two rows before those of the positions belong to padding.
  learned(config, { dim, positions }) {
    config.only("word_embed_proj_dim", dim, `modc reads embeddings of the width of the layers, ${dim}`);
    return { count: positions + 2, offset: 2 };
  },
  scoreScale: () => null,
  keys: () => ({
    ...LLAMA_KEYS,
    prefixes: ["model.decoder.", "decoder."],
    norm: "final_layer_norm",
    o: "out_proj",
    mlp: "",
    up: "fc1",
    down: "fc2",
    attentionNorm: "self_attn_layer_norm",
    mlpNorm: "final_layer_norm",
    ignored: [],
  }),
};

const BLOOM_KEYS: KeyNames = {
  ...GPT2_KEYS,
  embed: "word_embeddings",
  embedNorm: "word_embeddings_layernorm",
  attention: "self_attention",
  qkv: "query_key_value",
  o: "dense",
  up: "dense_h_to_4h",
  down: "dense_4h_to_h",
  attentionNorm: "input_layernorm",
  mlpNorm: "post_attention_layernorm",
  transposed: false,
  ignored: [],
};

export const bloom: Family = {
  ...gpt2,
  type: "bloom",
  model: "Bloom",
  architecture: "BloomForCausalLM",
  // The published code has no other width of the network, and no other activation.
  fields: { ...gpt2.fields, dim: "hidden_size", hidden: null, positions: "seq_length", activation: null },
  otherFields: { n_embed: "hidden_size", num_attention_heads: "n_head", num_hidden_layers: "n_layer" },
  reads: [
    "n_inner apply_residual_connection_post_layernorm masked_softmax_fusion bias_dropout_fusion skip_bias_add",
    "skip_bias_add_qkv attention_softmax_in_fp32 slow_but_exact offset_alibi",
  ].flatMap((names) => names.split(" ")),
  positions: 2048,
  activation: "gelu_pytorch_tanh",
  embeddingNorm: true,
  residual(config) {
    config.only(
      "apply_residual_connection_post_layernorm",
      false,
      "modc adds to the stream, not to the rows of its norm",
    );
    return "serial";
  },
  learned: () => null,
  alibi: (_config, { heads }) => alibiSlopes(heads),
  scoreScale: () => null,
  fused: true,
  keys: () => BLOOM_KEYS,
};

/** How many norms a layer of Falcon has whose attention and network read the same stream. */
function normsInParallel(config: Fields): 1 | 2 {
  const isNew = config.flag("new_decoder_architecture") ?? false;
  const count = config.whole("num_ln_in_parallel_attn") ?? (isNew ? 2 : 1);
  if (count > 2 || (count === 2 && !isNew))
    config.refuse("num_ln_in_parallel_attn", "it is 1, or 2 with new_decoder_architecture");
  return count === 2 ? 2 : 1;
}

export const falcon: Family = {
  ...llama,
  type: "falcon",
  model: "Falcon",
  architecture: "FalconForCausalLM",
  fields: {
    ...llama.fields,
    hidden: "ffn_hidden_size",
    kvHeads: "num_kv_heads",
    headDim: null,
    eps: "layer_norm_epsilon",
    activation: "activation",
  },
  otherFields: { n_embed: "hidden_size", n_layer: "num_hidden_layers", n_head: "num_attention_heads" },
  reads: [
    "alibi bias multi_query parallel_attn new_decoder_architecture num_ln_in_parallel_attn",
    "apply_residual_connection_post_layernorm ff_factor",
  ].flatMap((names) => names.split(" ")),
  heads(config) {
    if (config.flag("new_decoder_architecture") === true) return null;
    return (config.flag("multi_query") ?? true) ? 1 : config.whole("num_attention_heads");
  },
  hidden: (_config, dim) => 4 * dim,
  activation: "gelu",
  eps: 1e-5,
  tied: true,
  biases(config) {
    const bias = config.flag("bias") ?? false;
    return { qkv: bias, o: bias, mlp: bias };
  },
  norm: () => LAYER,
  residual(config) {
    if (config.flag("parallel_attn") ?? true) return normsInParallel(config) === 2 ? "parallel, two norms" : "parallel";
    if (config.flag("new_decoder_architecture") === true)
      config.refuse("parallel_attn", "attention and network are parallel with new_decoder_architecture");
    return "serial";
  },
  network: "plain",
  rotation: (config, sizes, theta) => (config.flag("alibi") === true ? null : llama.rotation(config, sizes, theta)),
  // The published code scales the bias with the scores. It also rounds slopes and products to bfloat16.
  alibi: (config, { heads, headDim }) =>
    config.flag("alibi") === true ? alibiSlopes(heads).map((slope) => slope / Math.sqrt(headDim)) : null,
  fused: true,
  keys: (config) => ({
    ...BLOOM_KEYS,
    ...(normsInParallel(config) === 2 ? { attentionNorm: "ln_attn", mlpNorm: "ln_mlp" } : {}),
    ignored: ["h.{i}.self_attention.rotary_emb.inv_freq"],
  }),
};

/** Fields of `attn_config`. */
const MPT_ATTENTION: ReadonlySet<string> = new Set(
  (
    "alibi alibi_bias_max attn_impl attn_pdrop attn_type attn_uses_sequence_id clip_qkv model_type prefix_lm qk_ln " +
    "softmax_scale"
  ).split(" "),
);

/** The fields of the attention. Throws CheckpointError for a variant that the published code does not compute. */
function mptAttention(config: Fields): Fields | null {
  const fields = config.object("attn_config");
  if (fields === null) return null;
  fields.allow(MPT_ATTENTION);
  fields.only("attn_type", "multihead_attention", "modc reads multihead_attention");
  fields.only("alibi", true, "modc reads this family with ALiBi, as transformers does");
  for (const name of ["prefix_lm", "qk_ln", "attn_uses_sequence_id"])
    fields.only(name, false, "modc reads this family without it, as transformers does");
  return fields;
}

export const mpt: Family = {
  ...gpt2,
  type: "mpt",
  model: "MPT",
  architecture: "MptForCausalLM",
  alsoCalled: ["MPTForCausalLM"],
  fields: {
    ...gpt2.fields,
    dim: "d_model",
    hidden: null,
    depth: "n_layers",
    heads: "n_heads",
    positions: "max_seq_len",
    activation: null,
  },
  otherFields: { hidden_size: "d_model", num_hidden_layers: "n_layers", num_attention_heads: "n_heads" },
  reads: [
    "attn_config expansion_ratio no_bias logit_scale norm_type learned_pos_emb embedding_fraction init_config",
    "init_device verbose tokenizer_name",
  ].flatMap((names) => names.split(" ")),
  positions: 2048,
  hidden: (config, dim) => (config.whole("expansion_ratio") ?? 4) * dim,
  activation: "gelu",
  biases(config) {
    config.only("no_bias", true, "modc reads this family without biases, as transformers does");
    config.only("logit_scale", null, "modc reads this family without it, as transformers does");
    return { qkv: false, o: false, mlp: false };
  },
  norm(config) {
    const type = config.text("norm_type") ?? "low_precision_layernorm";
    if (!["low_precision_layernorm", "layernorm"].includes(type))
      config.refuse("norm_type", "modc knows low_precision_layernorm and layernorm");
    return { ...LAYER, bias: false };
  },
  learned: () => null,
  alibi: (config, { heads }) => mptSlopes(heads, mptAttention(config)?.positive("alibi_bias_max") ?? 8),
  scoreScale: (config) => mptAttention(config)?.positive("softmax_scale") ?? null,
  clip: (config) => mptAttention(config)?.positive("clip_qkv") ?? null,
  keys: () => ({
    ...LLAMA_KEYS,
    prefixes: ["transformer."],
    embed: "wte",
    layer: "blocks.{i}",
    norm: "norm_f",
    attention: "attn",
    qkv: "Wqkv",
    o: "out_proj",
    mlp: "ffn",
    attentionNorm: "norm_1",
    mlpNorm: "norm_2",
    ignored: [],
  }),
};

export const GPT2_FAMILIES: readonly Family[] = [gpt2, opt, bloom, falcon, mpt];
