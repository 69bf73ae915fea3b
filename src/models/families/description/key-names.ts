// The names that a checkpoint gives to a decoder's weights. The default names are Llama's.

/** Names of maps within attention or network; null: the decoder has no such map, or it is a part of a fused one. */
export interface KeyNames {
  /** Prefixes of all keys but the head's, the first of which modc writes; a checkpoint may have any of them. */
  readonly prefixes: readonly string[];
  readonly embed: string;
  readonly embedNorm: string;
  readonly positions: string;
  /** The table of token types. */
  readonly types: string;
  /** The layer i, with the placeholder {i}. */
  readonly layer: string;
  readonly norm: string;
  /** The head. Prefixes do not apply to it. */
  readonly head: string;
  readonly attention: string;
  readonly q: string;
  readonly k: string;
  readonly v: string;
  readonly o: string;
  readonly qNorm: string;
  readonly kNorm: string;
  readonly sinks: string;
  /** The map whose rows are those of q, k and v; null: they are apart. */
  readonly qkv: string | null;
  readonly mlp: string;
  readonly gate: string;
  readonly up: string;
  readonly down: string;
  /** The activation's weights. */
  readonly activation: string;
  /** The map whose rows are those of gate and up; null: they are apart. */
  readonly gateUp: string | null;
  /** Norms before and behind attention and network. A parallel layer with one norm has that before attention. */
  readonly attentionNorm: string;
  readonly attentionOutNorm: string;
  readonly mlpNorm: string;
  readonly mlpOutNorm: string;
  /** Whether linear maps lie transposed, [in, out], as GPT-2's do. */
  readonly transposed: boolean;
  /** Whether norms may have the older names `gamma` and `beta` for weight and bias. */
  readonly olderNorms: boolean;
  /** Keys that are no weights of the model, behind a prefix. */
  readonly ignored: readonly string[];
  /** Whole keys that are no weights of the model. */
  readonly ignoredWhole: readonly string[];
}

export const LLAMA_KEYS: KeyNames = {
  prefixes: ["model."],
  embed: "embed_tokens",
  embedNorm: "embed_norm",
  positions: "embed_positions",
  types: "token_type_embeddings",
  layer: "layers.{i}",
  norm: "norm",
  head: "lm_head",
  attention: "self_attn",
  q: "q_proj",
  k: "k_proj",
  v: "v_proj",
  o: "o_proj",
  qNorm: "q_norm",
  kNorm: "k_norm",
  sinks: "sinks",
  qkv: null,
  mlp: "mlp",
  gate: "gate_proj",
  up: "up_proj",
  down: "down_proj",
  activation: "act_fn",
  gateUp: null,
  attentionNorm: "input_layernorm",
  attentionOutNorm: "post_attention_layernorm",
  mlpNorm: "post_attention_layernorm",
  mlpOutNorm: "post_feedforward_layernorm",
  transposed: false,
  olderNorms: false,
  ignored: ["layers.{i}.self_attn.rotary_emb.inv_freq"],
  ignoredWhole: [],
};

/** A weight's name in `names`: `weight`, or a pattern of `weight` and `bias`. */
export const weightNames = (biased: boolean): string => (biased ? "{w}" : "weight");
