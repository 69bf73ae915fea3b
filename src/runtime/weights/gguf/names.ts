// The architectures of GGUF files that modc reads, and what Hugging Face calls their tensors.

/** How the values of a tensor differ from those that Hugging Face stores. */
export type Change =
  /** Rows of each head lie in pairs that turn together, 2i and 2i + 1. Hugging Face has i and i + width / 2. */
  | "pairs"
  /** The rows of all queries lie before those of all keys and of all values. Hugging Face has them head by head. */
  | "by head"
  /** The values have 1 added. */
  | "less one"
  /** A matrix lies transposed. */
  | "transposed"
  /** A vector; Hugging Face stores a matrix of one row. */
  | "one row";

/** A family of decoders as GGUF names it. */
export interface GgufArchitecture {
  /** `general.architecture`, and the first word of the family's keys. */
  readonly name: string;
  /** Keys of tensors that are of no layer, by their names. */
  readonly whole: Readonly<Record<string, string>>;
  /** The prefix of a layer's keys, with the placeholder {i}. */
  readonly layer: string;
  /**
   * The parts of a layer, by their names, without `.weight` and `.bias`. A tensor whose key has the placeholder {e} is
   * a stack of one weight for each expert. A name with `.weight` or `.bias` has a whole key.
   */
  readonly parts: Readonly<Record<string, string>>;
  /** Changes by the tensor's name, which for one of a layer stands behind `blk.{i}.`. */
  readonly changes: Readonly<Record<string, Change>>;
}

const LLAMA: GgufArchitecture = {
  name: "llama",
  whole: {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
  },
  layer: "model.layers.{i}",
  parts: {
    attn_norm: "input_layernorm",
    attn_q: "self_attn.q_proj",
    attn_k: "self_attn.k_proj",
    attn_v: "self_attn.v_proj",
    attn_output: "self_attn.o_proj",
    attn_q_norm: "self_attn.q_norm",
    attn_k_norm: "self_attn.k_norm",
    ffn_norm: "post_attention_layernorm",
    ffn_gate: "mlp.gate_proj",
    ffn_up: "mlp.up_proj",
    ffn_down: "mlp.down_proj",
  },
  changes: { "attn_q.weight": "pairs", "attn_q.bias": "pairs", "attn_k.weight": "pairs", "attn_k.bias": "pairs" },
};

/** Llama's names, and queries and keys as Hugging Face stores them. */
const QWEN2: GgufArchitecture = { ...LLAMA, name: "qwen2", changes: {} };

const GEMMA2: GgufArchitecture = {
  ...QWEN2,
  name: "gemma2",
  parts: {
    ...LLAMA.parts,
    post_attention_norm: "post_attention_layernorm",
    ffn_norm: "pre_feedforward_layernorm",
    post_ffw_norm: "post_feedforward_layernorm",
  },
  changes: Object.fromEntries(
    ["output", "attn", "post_attention", "ffn", "post_ffw", "attn_q", "attn_k"].map((of) => [
      `${of}_norm.weight`,
      "less one",
    ]),
  ),
};

const PHI3: GgufArchitecture = {
  ...QWEN2,
  name: "phi3",
  parts: { ...LLAMA.parts, attn_qkv: "self_attn.qkv_proj", ffn_up: "mlp.gate_up_proj" },
};

const QWEN2MOE: GgufArchitecture = {
  ...QWEN2,
  name: "qwen2moe",
  parts: {
    ...LLAMA.parts,
    ffn_gate_inp: "mlp.gate",
    ffn_gate_exps: "mlp.experts.{e}.gate_proj",
    ffn_up_exps: "mlp.experts.{e}.up_proj",
    ffn_down_exps: "mlp.experts.{e}.down_proj",
    ffn_gate_inp_shexp: "mlp.shared_expert_gate",
    ffn_gate_shexp: "mlp.shared_expert.gate_proj",
    ffn_up_shexp: "mlp.shared_expert.up_proj",
    ffn_down_shexp: "mlp.shared_expert.down_proj",
  },
  changes: { "ffn_gate_inp_shexp.weight": "one row" },
};

const OLMO2: GgufArchitecture = {
  ...QWEN2,
  name: "olmo2",
  parts: {
    ...LLAMA.parts,
    post_attention_norm: "post_attention_layernorm",
    post_ffw_norm: "post_feedforward_layernorm",
  },
};

const GPTNEOX: GgufArchitecture = {
  name: "gptneox",
  whole: {
    "token_embd.weight": "gpt_neox.embed_in.weight",
    "output_norm.weight": "gpt_neox.final_layer_norm.weight",
    "output_norm.bias": "gpt_neox.final_layer_norm.bias",
    "output.weight": "embed_out.weight",
  },
  layer: "gpt_neox.layers.{i}",
  parts: {
    attn_norm: "input_layernorm",
    attn_qkv: "attention.query_key_value",
    attn_output: "attention.dense",
    ffn_norm: "post_attention_layernorm",
    ffn_up: "mlp.dense_h_to_4h",
    ffn_down: "mlp.dense_4h_to_h",
  },
  changes: { "attn_qkv.weight": "by head", "attn_qkv.bias": "by head" },
};

const GPT2: GgufArchitecture = {
  name: "gpt2",
  whole: {
    "token_embd.weight": "transformer.wte.weight",
    "position_embd.weight": "transformer.wpe.weight",
    "output_norm.weight": "transformer.ln_f.weight",
    "output_norm.bias": "transformer.ln_f.bias",
    "output.weight": "lm_head.weight",
  },
  layer: "transformer.h.{i}",
  parts: {
    attn_norm: "ln_1",
    attn_qkv: "attn.c_attn",
    attn_output: "attn.c_proj",
    ffn_norm: "ln_2",
    ffn_up: "mlp.c_fc",
    ffn_down: "mlp.c_proj",
  },
  changes: {
    "attn_qkv.weight": "transposed",
    "attn_output.weight": "transposed",
    "ffn_up.weight": "transposed",
    "ffn_down.weight": "transposed",
  },
};

const BLOOM: GgufArchitecture = {
  name: "bloom",
  whole: {
    "token_embd.weight": "transformer.word_embeddings.weight",
    "token_embd_norm.weight": "transformer.word_embeddings_layernorm.weight",
    "token_embd_norm.bias": "transformer.word_embeddings_layernorm.bias",
    "output_norm.weight": "transformer.ln_f.weight",
    "output_norm.bias": "transformer.ln_f.bias",
    "output.weight": "lm_head.weight",
  },
  layer: "transformer.h.{i}",
  parts: {
    ...GPTNEOX.parts,
    attn_qkv: "self_attention.query_key_value",
    attn_output: "self_attention.dense",
  },
  changes: GPTNEOX.changes,
};

const GPT_OSS: GgufArchitecture = {
  ...QWEN2,
  name: "gpt-oss",
  parts: {
    ...LLAMA.parts,
    "attn_sinks.weight": "self_attn.sinks",
    post_attention_norm: "post_attention_layernorm",
    ffn_gate_inp: "mlp.router",
    // In Hugging Face one stack has the columns of gate and up in turns, so these stacks get other names.
    ffn_gate_exps: "mlp.experts.gate_proj",
    ffn_up_exps: "mlp.experts.up_proj",
    ffn_down_exps: "mlp.experts.down_proj",
  },
};

/** By name. Files of Mistral are of llama. */
export const architectures: ReadonlyMap<string, GgufArchitecture> = new Map(
  [
    LLAMA,
    QWEN2,
    { ...QWEN2, name: "qwen3" },
    GEMMA2,
    { ...GEMMA2, name: "gemma3" },
    PHI3,
    QWEN2MOE,
    { ...QWEN2MOE, name: "qwen3moe" },
    OLMO2,
    { ...LLAMA, name: "granite" },
    { ...QWEN2, name: "command-r" },
    { ...QWEN2, name: "cohere2" },
    GPTNEOX,
    GPT2,
    BLOOM,
    GPT_OSS,
  ].map((architecture) => [architecture.name, architecture]),
);

/** Factors of the rotary frequencies. */
export const ROPE_FACTORS = "rope_freqs.weight";

/** Factors of Phi's frequencies, for texts of up to the original length and for longer ones. */
export const ROPE_FACTORS_SHORT = "rope_factors_short.weight";
export const ROPE_FACTORS_LONG = "rope_factors_long.weight";

/** Tensors that are settings of the computation, not weights. */
export const NO_WEIGHTS: ReadonlySet<string> = new Set([ROPE_FACTORS, ROPE_FACTORS_SHORT, ROPE_FACTORS_LONG]);

/** Where the values of a tensor belong. */
export interface TensorPlace {
  /** The key as Hugging Face stores it, perhaps with the placeholder {e}. */
  readonly key: string;
  readonly change: Change | null;
}

/** The place of a tensor. If the architecture lacks the tensor, its name is the key. */
export function placeOf(name: string, { whole, layer, parts, changes }: GgufArchitecture): TensorPlace {
  const [, i, part, of] = /^blk\.(\d+)\.(\w+)\.(weight|bias)$/.exec(name) ?? [];
  const changed = part === undefined ? name : `${part}.${of!}`;
  const own = Object.hasOwn(parts, changed) ? parts[changed] : partOf(parts, part, of);
  const keyed = own === undefined ? undefined : `${layer.replace("{i}", i!)}.${own}`;
  const key = keyed ?? (Object.hasOwn(whole, name) ? whole[name] : undefined);
  if (key === undefined) return { key: name, change: null };
  return { key, change: Object.hasOwn(changes, changed) ? changes[changed]! : null };
}

const partOf = (parts: GgufArchitecture["parts"], part = "", of = ""): string | undefined =>
  Object.hasOwn(parts, part) ? `${parts[part]!}.${of}` : undefined;
