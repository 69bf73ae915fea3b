// Parses the `config.json` of a decoder into a description of its layers. Unknown fields and values are refused by
// name.
import { CheckpointError } from "./errors.js";
import { beyond, families, type Biases, type Family, type Loops } from "./families.js";
import { Fields } from "./fields.js";
import { latentScale, type Latent } from "./latent.js";
import type { Mixture } from "./mixture.js";
import { rotaryOf, type Rotary } from "./rotary.js";

/** The architecture of a decoder. */
export interface DecoderConfig {
  readonly family: Family;
  /** The source of the description: a `config.json` or a GGUF file. */
  readonly origin: "config.json" | "gguf";
  /** The size of the vocabulary. */
  readonly vocab: number;
  /** The width of the residual stream. */
  readonly dim: number;
  /** The hidden width of the MLP. */
  readonly hidden: number;
  readonly depth: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** The maximum length of a sequence. */
  readonly context: number;
  /** The epsilon of the norms. */
  readonly eps: number;
  readonly activation: Activation;
  readonly biases: Biases;
  /** Whether the output weights are tied to the embedding. */
  readonly tied: boolean;
  /** The attention window of each layer; 0: no limit. */
  readonly windows: readonly number[];
  readonly rotary: Rotary;
  /** The mixture of experts in some or all layers; null: no layer has one. */
  readonly mixture: Mixture | null;
  /** Latent attention; null: attention with key/value heads, one per query head or shared by groups. */
  readonly latent: Latent | null;
  /** The factor on attention scores; null: 1/√(head width). */
  readonly scoreScale: number | null;
  /** The loops of layers that run several times; null: each layer runs once. */
  readonly loops: Loops | null;
  /**
   * Number of multi-token prediction layers after the last layer, whose weights a checkpoint may hold; modc ignores
   * them.
   */
  readonly ahead: number;
}

/** The activation, a function of the language. */
export type Activation = "silu" | "gelu" | "gelu_tanh" | "relu";

const ACTIVATIONS: ReadonlyMap<string, Activation> = new Map([
  ["silu", "silu"],
  ["swish", "silu"],
  ["gelu", "gelu"],
  ["gelu_new", "gelu_tanh"],
  ["gelu_pytorch_tanh", "gelu_tanh"],
  ["relu", "relu"],
]);

/** Supported dtypes of weights. */
const DTYPES = new Set(["float32", "float16", "bfloat16"]);

/** The largest counts for which a model's text writes lists: above any decoder's, and small enough to write. */
const MOST = { layers: 10_000, headDim: 65_536, loops: 100 } as const;

/** Parses a configuration. Throws a CheckpointError that names the field and its value. */
export function parseConfig(text: string, file = "config.json"): DecoderConfig {
  const config = Fields.parse(text, file);
  const family = familyOf(config);
  const needed = (name: string): number => config.whole(name) ?? config.missing(name);
  const [vocab, dim, hidden, depth, heads] = [
    needed("vocab_size"),
    needed("hidden_size"),
    needed(family.fields.hidden),
    needed(family.fields.depth),
    needed("num_attention_heads"),
  ];
  if (depth > MOST.layers) config.refuse(family.fields.depth, `modc reads up to ${MOST.layers} layers`);
  const kvHeads = config.whole("num_key_value_heads") ?? family.kvHeads ?? heads;
  if (heads % kvHeads !== 0) config.refuse("num_key_value_heads", `it must divide num_attention_heads, ${heads}`);
  const latent = family.latent(config, dim);
  if (latent && kvHeads !== heads) config.refuse("num_key_value_heads", `it is num_attention_heads, ${heads}`);
  const headDim = latent?.turned ?? config.whole("head_dim") ?? family.headDim ?? dim / heads;
  if (!Number.isInteger(headDim))
    config.refuse("num_attention_heads", `it must divide hidden_size, ${dim}, if there is no head_dim`);
  const widthField = latent ? "qk_rope_head_dim" : config.has("head_dim") ? "head_dim" : "hidden_size";
  if (headDim > MOST.headDim) config.refuse(widthField, `modc reads heads of a width up to ${MOST.headDim}`);
  if (headDim % 2 !== 0) config.refuse(widthField, `heads of width ${headDim} have no pairs to rotate`);
  const positions = config.whole("max_position_embeddings") ?? family.positions;
  const rotary = rotaryOf(config, { headDim, positions, theta: family.theta });
  const act = config.text("hidden_act") ?? "silu";
  const mixture = family.mixture(config, depth);
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
    context: Math.max(positions, rotary.reach ?? 0),
    eps: config.positive("rms_norm_eps") ?? 1e-6,
    activation: ACTIVATIONS.get(act) ?? config.refuse("hidden_act", `modc knows ${[...ACTIVATIONS.keys()].join(", ")}`),
    biases: family.biases(config),
    tied: config.flag("tie_word_embeddings") ?? false,
    windows: family.windows(config, depth),
    rotary,
    mixture: mixture?.layers.includes(true) ? mixture : null,
    latent,
    scoreScale: latent && latentScale(config, latent),
    loops: loopsOf(config, family),
    ahead: config.whole("num_nextn_predict_layers", 0) ?? 0,
  };
  refuseUnsupported(config);
  return read;
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
  if (!family)
    return config.refuse(
      "model_type",
      `modc knows ${known}`,
      "write a model of another kind as a .mod file: see docs/language.md and examples/llama.mod",
    );
  const other = (config.texts("architectures") ?? []).find((name) => name !== family.architecture);
  return other === undefined ? family : config.refuse("architectures", `modc reads ${family.architecture}`);
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
  "total_ut_steps early_exit_threshold early_exit_step",
];

/** Fields that do not affect the forward pass: training, generation (which has its own file), bookkeeping. */
const WITHOUT_EFFECT = [
  "_name_or_path name_or_path transformers_version torch_dtype dtype initializer_range attention_dropout " +
    "hidden_dropout resid_pdrop embd_pdrop",
  "bos_token_id eos_token_id pad_token_id sep_token_id decoder_start_token_id unk_token_id use_cache " +
    "pretraining_tp return_dict output_attentions output_hidden_states",
  "is_decoder is_encoder_decoder torchscript chunk_size_feed_forward problem_type task_specific_params " +
    "finetuning_task id2label label2id tokenizer_class prefix",
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
function refuseUnsupported(config: Fields): void {
  if (config.flag("rope_interleaved") === true)
    config.refuse("rope_interleaved", "modc rotates the halves of a head, not neighbours");
  if (config.flag("use_mrope") === true) config.refuse("use_mrope", "modc knows positions in one dimension");
  if (config.raw("quantization_config") !== null)
    config.refuse("quantization_config", "modc reads float32, float16 and bfloat16 weights, not quantized ones");
  for (const name of ["torch_dtype", "dtype"]) {
    const dtype = config.text(name);
    if (dtype !== null && !DTYPES.has(dtype)) config.refuse(name, `modc reads ${[...DTYPES].join(", ")}`);
  }
  const unknown = config.names.find((name) => !read.has(name) && !silent.has(name) && !isOff(config, name));
  if (unknown !== undefined)
    config.refuse(
      unknown,
      "modc does not know this field",
      "if it changes nothing that is computed, take it out of config.json",
    );
}

function isOff(config: Fields, name: string): boolean {
  const value = config.raw(name);
  return (
    value === false ||
    value === "" ||
    (Array.isArray(value) && value.length === 0) ||
    (value instanceof Map && value.size === 0)
  );
}

/** Formats a number as a float literal of the language. */
export function floatText(value: number): string {
  if (!Number.isFinite(value))
    throw new CheckpointError("bad-config", `${value} cannot be written as a number of the language`);
  const plain = value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential() : String(value);
  return /[.e]/.test(plain) ? plain : `${plain}.0`;
}

/** Joins names with commas, omitting those that the configuration does not need. */
export const joinNames = (...names: readonly (string | false)[]): string =>
  names.filter((name) => name !== false).join(", ");

export const isUniform = (windows: readonly number[]): boolean => windows.every((w) => w === windows[0]);
export const hasWindows = ({ windows }: DecoderConfig): boolean => windows.some((w) => w > 0);
