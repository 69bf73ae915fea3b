// Parses the `config.json` of a decoder or an encoder into a description of its layers. Unknown fields and values are
// refused by name.
import { ACTIVATIONS } from "./description/activation.js";
import type { DecoderConfig } from "./description/decoder.js";
import type { Family, Loops, Sizes } from "./description/family.js";
import { Fields } from "./description/fields.js";
import {
  headArchitectures,
  labelLoss,
  labelsOf,
  stemOf,
  type Head,
  type HeadKind,
  type Sentences,
} from "./description/head.js";
import type { KeyNames } from "./description/key-names.js";
import { latentScale } from "./description/latent.js";
import { beyond, families } from "./families.js";

/** Supported dtypes of weights. */
const DTYPES = new Set(["float32", "float16", "bfloat16"]);

/** The largest counts for which a model's text writes lists: above any decoder's, and small enough to write. */
const MOST = { layers: 10_000, headDim: 65_536, loops: 100 } as const;

/**
 * Parses a configuration. Throws a CheckpointError that names the field and its value. `sentences`: how the folder's
 * files make an embedding of a text, which replaces the head; null: there are no such files.
 */
export function parseConfig(text: string, file = "config.json", sentences: Sentences | null = null): DecoderConfig {
  const written = Fields.parse(text, file);
  const family = familyOf(written);
  const head = headOf(written, family, sentences);
  const config = written.renamed(family.otherFields);
  const { fields } = family;
  const needed = (name: string): number => config.whole(name) ?? config.missing(name);
  const [vocab, dim] = [needed("vocab_size"), needed(fields.dim)];
  const hidden =
    config.whole(fields.hidden) ?? family.hidden(config, dim) ?? config.missing(fields.hidden ?? fields.dim);
  const [depth, heads] = [needed(fields.depth), fields.heads === null ? 1 : needed(fields.heads)];
  if (depth > MOST.layers) config.refuse(fields.depth, `modc reads up to ${MOST.layers} layers`);
  const kvHeads = family.heads(config) ?? config.whole(fields.kvHeads) ?? family.kvHeads ?? heads;
  if (heads % kvHeads !== 0) config.refuse(fields.kvHeads, `it must divide ${fields.heads}, ${heads}`);
  const latent = family.latent(config, dim);
  if (latent && kvHeads !== heads) config.refuse(fields.kvHeads, `it is ${fields.heads}, ${heads}`);
  const headDim = latent?.turned ?? config.whole(fields.headDim) ?? family.headDim ?? dim / heads;
  if (!Number.isInteger(headDim))
    config.refuse(
      fields.heads,
      `it must divide ${fields.dim}, ${dim}${fields.headDim === null ? "" : `, if there is no ${fields.headDim}`}`,
    );
  const widthField = latent ? "qk_rope_head_dim" : config.has(fields.headDim) ? fields.headDim : fields.dim;
  if (headDim > MOST.headDim) config.refuse(widthField, `modc reads heads of a width up to ${MOST.headDim}`);
  const positions = config.whole(fields.positions) ?? family.positions;
  const sizes: Sizes = { dim, depth, heads, kvHeads, headDim, positions };
  const rotation = family.rotation(config, sizes, family.theta);
  if (rotation && rotation.columns % 2 !== 0)
    config.refuse(widthField, `heads of width ${rotation.columns} have no pairs to rotate`);
  const act = config.text(fields.activation) ?? family.activation;
  const mixture = family.mixture(config, depth);
  const recurrent = family.recurrent(config, sizes);
  const learned = family.learned(config, sizes);
  const most = learned ? Math.min(positions, learned.count - learned.offset) : positions;
  if (most < 1) config.refuse(fields.positions, "it leaves no position for a token");
  const [chunks, temperature] = [family.chunks(config, depth), family.temperature(config)];
  const activation = Object.hasOwn(family.activations, act) ? family.activations[act] : ACTIVATIONS.get(act);
  const read: DecoderConfig = {
    family,
    origin: "config.json",
    vocab,
    dim,
    hidden,
    depth,
    heads,
    kvHeads,
    headDim,
    context: rotation?.main.long?.above ?? Math.max(most, rotation?.main.reach ?? 0),
    eps: config.positive(fields.eps) ?? family.eps,
    norm: family.norm(config),
    residual: family.residual(config),
    headNorms: family.headNorms(config),
    clip: family.clip(config),
    activation: activation ?? config.refuse(fields.activation, `modc knows ${[...ACTIVATIONS.keys()].join(", ")}`),
    bounded: family.bounded(config),
    biases: family.biases(config),
    tied: config.flag("tie_word_embeddings") ?? family.tied,
    headBias: family.headBias(config),
    windows: family.windows(config, depth),
    chunks: chunks?.some((length) => length > 0) === true ? chunks : null,
    rotation,
    temperature: rotation?.layers.includes("none") === true ? temperature : null,
    learned,
    types: family.types(config),
    alibi: family.alibi(config, sizes),
    factors: family.factors(config, sizes),
    caps: family.caps(config),
    mixture: mixture?.layers.includes(true) ? mixture : null,
    latent,
    recurrent: recurrent?.layers.includes(true) === true ? recurrent : null,
    scoreScale: latent ? latentScale(config, latent) : family.scoreScale(config, sizes),
    loops: loopsOf(config, family),
    ahead: config.whole("num_nextn_predict_layers", 0) ?? 0,
    keys: keysOf(config, family, head),
    head,
  };
  refuseUnsupported(config, family);
  refuseCombined(config, read);
  return read;
}

/** The names of the weights. Models without a head are saved without a prefix, but transformers reads both. */
function keysOf(config: Fields, family: Family, head: Head | null): KeyNames {
  const keys = family.keys(config);
  return head?.kind === "features" ? { ...keys, prefixes: [...new Set(["", ...keys.prefixes])] } : keys;
}

/** The architectures of a family, with the head of each; null: a decoder's logits of each token. */
const architecturesOf = (family: Family): ReadonlyMap<string, HeadKind | null> =>
  new Map<string, HeadKind | null>([
    ...[family.architecture, ...family.alsoCalled].map(
      (name) => [name, headArchitectures(stemOf(name), family.causal).get(name) ?? null] as const,
    ),
    ...headArchitectures(stemOf(family.architecture), family.causal),
  ]);

/** The head that `architectures` or the files of sentence-transformers name; null: a decoder's. */
function headOf(config: Fields, family: Family, sentences: Sentences | null): Head | null {
  const known = architecturesOf(family);
  const names = config.texts("architectures") ?? [];
  const other = names.find((name) => !known.has(name));
  if (other !== undefined) config.refuse("architectures", `modc reads ${[...known.keys()].join(", ")}`);
  const architecture = names[0] ?? family.architecture;
  const kind = sentences ? "features" : known.get(architecture)!;
  if (kind === null) return null;
  const labels = kind === "labels" ? labelsOf(config) : 0;
  return {
    kind,
    architecture,
    pooling: sentences?.pooling ?? family.pooling(config),
    transform: sentences ? null : family.transform(config, kind),
    unit: sentences?.unit ?? false,
    labels,
    loss: kind === "labels" ? labelLoss(config, labels) : "classes",
    last: kind === "features" ? null : family.lastMap(config, kind),
    ignored: family.ignored(sentences ? "sentences" : kind),
  };
}

function loopsOf(config: Fields, family: Family): Loops | null {
  const loops = family.loops(config);
  if (loops && loops.most > MOST.loops) config.refuse("total_ut_steps", `modc reads up to ${MOST.loops} loops`);
  return loops;
}

function familyOf(config: Fields): Family {
  const type = config.text("model_type") ?? config.missing("model_type");
  const why = beyond.get(type);
  if (why !== undefined) return config.refuse("model_type", why);
  const known = [...families.keys()].join(", ");
  const family = families.get(type);
  return (
    family ??
    config.refuse(
      "model_type",
      `modc knows ${known}`,
      "write a model of another kind as a .mod file: see docs/language.md and examples/llama.mod",
    )
  );
}

/** Fields that are read above or by the family. */
const READ = [
  "model_type architectures vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads " +
    "num_key_value_heads head_dim",
  "max_position_embeddings rms_norm_eps hidden_act tie_word_embeddings attention_bias mlp_bias rope_theta " +
    "rope_scaling rope_parameters",
  "partial_rotary_factor sliding_window use_sliding_window max_window_layers layer_types",
  "num_local_experts num_experts num_experts_per_tok moe_intermediate_size shared_expert_intermediate_size " +
    "norm_topk_prob decoder_sparse_step mlp_only_layers qkv_bias",
  "n_routed_experts n_shared_experts routed_scaling_factor n_group topk_group first_k_dense_replace " +
    "moe_layer_freq scoring_func topk_method num_nextn_predict_layers",
  "q_lora_rank kv_lora_rank qk_nope_head_dim qk_rope_head_dim qk_head_dim v_head_dim rope_interleave",
  "num_layers ffn_hidden_size expert_ffn_hidden_size moe_topk zero_expert_num zero_expert_type router_bias " +
    "mla_scale_q_lora mla_scale_kv_lora attention_method",
  "total_ut_steps early_exit_threshold early_exit_step num_labels id2label problem_type",
];

/** Fields that do not affect the forward pass: training, generation (which has its own file), bookkeeping. */
const WITHOUT_EFFECT = [
  "_name_or_path name_or_path transformers_version torch_dtype dtype initializer_range attention_dropout " +
    "hidden_dropout resid_pdrop embd_pdrop attn_pdrop emb_pdrop dropout activation_dropout gradient_checkpointing",
  "bos_token_id eos_token_id pad_token_id sep_token_id decoder_start_token_id unk_token_id use_cache " +
    "pretraining_tp return_dict output_attentions output_hidden_states",
  "is_decoder is_encoder_decoder torchscript chunk_size_feed_forward task_specific_params " +
    "finetuning_task label2id tokenizer_class prefix",
  "max_length min_length do_sample temperature top_k top_p typical_p num_beams num_beam_groups " +
    "num_return_sequences diversity_penalty repetition_penalty length_penalty",
  "no_repeat_ngram_size encoder_no_repeat_ngram_size remove_invalid_values forced_bos_token_id " +
    "forced_eos_token_id suppress_tokens begin_suppress_tokens bad_words_ids",
  "exponential_decay_length_penalty early_stopping output_scores return_dict_in_generate tf_legacy_loss " +
    "use_bfloat16 pruned_heads attn_implementation",
  "_attn_implementation _attn_implementation_autoset is_llama_config transformers.js_config unsloth_version " +
    "unsloth_fixed rope_interleaved use_mrope",
  "auto_map output_router_logits router_aux_loss_coef router_jitter_noise aux_loss_alpha seq_aux ep_size " +
    "chunk_size",
];

const words = (lines: readonly string[]): ReadonlySet<string> => new Set(lines.flatMap((line) => line.split(" ")));
const [read, silent] = [words(READ), words(WITHOUT_EFFECT)];

/**
 * Refuses unsupported settings, and unknown fields, which may change the computation, unless their value is false or
 * empty.
 */
function refuseUnsupported(config: Fields, family: Family): void {
  if (config.flag("rope_interleaved") === true)
    config.refuse("rope_interleaved", "modc rotates the halves of a head, not neighbours");
  if (config.flag("use_mrope") === true) config.refuse("use_mrope", "modc knows positions in one dimension");
  refuseQuantized(config);
  for (const name of ["torch_dtype", "dtype"]) {
    const dtype = config.text(name);
    if (dtype !== null && !DTYPES.has(dtype)) config.refuse(name, `modc reads ${[...DTYPES].join(", ")}`);
  }
  const known = (name: string): boolean =>
    read.has(name) || silent.has(name) || family.reads.includes(name) || Object.values(family.fields).includes(name);
  const unknown = config.names.find((name) => !known(name) && !config.isEmpty(name));
  if (unknown !== undefined)
    config.refuse(
      unknown,
      "modc does not know this field",
      "if it changes nothing that is computed, take it out of config.json",
    );
}

/** Refuses settings that modc supports, but not together. */
function refuseCombined(config: Fields, { head, headBias, loops, rotation, tied }: DecoderConfig): void {
  if (head && loops) config.refuse("architectures", "modc reads looped layers as a decoder");
  if (head?.kind === "tokens" && !tied) config.refuse("tie_word_embeddings", "modc reads this head with a tied table");
  if (tied && headBias)
    config.refuse("tie_word_embeddings", "the head of this family has a bias, and weights of its own");
  if (rotation?.main.long && rotation.layers.some((turn) => turn !== "main"))
    config.refuse(
      config.raw("rope_parameters") === null ? "rope_scaling" : "rope_parameters",
      "modc knows longrope only where all layers rotate alike",
    );
}

function refuseQuantized(config: Fields): void {
  if (config.raw("quantization_config") === null) return;
  const isMxfp4 = config.object("quantization_config")?.text("quant_method") === "mxfp4";
  config.refuse(
    "quantization_config",
    `modc reads float32, float16 and bfloat16 weights, not ${isMxfp4 ? "MXFP4 blocks" : "quantized ones"}`,
    isMxfp4
      ? "save them as bfloat16 with transformers: load with Mxfp4Config(dequantize=True), then save_pretrained"
      : null,
  );
}
