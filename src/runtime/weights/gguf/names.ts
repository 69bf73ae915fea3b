// The architectures of GGUF files that modc reads, and what Hugging Face calls their tensors.

/** A family of decoders as GGUF names it. */
export interface GgufArchitecture {
  /** `general.architecture`, and the first word of the family's keys. */
  readonly name: string;
  /**
   * Whether rows of the queries' and keys' weights lie in pairs that turn together, 2i and 2i + 1 of a head. Hugging
   * Face has i and i + width / 2.
   */
  readonly pairs: boolean;
}

/** By name. Files of Mistral are of llama. */
export const architectures: ReadonlyMap<string, GgufArchitecture> = new Map(
  [
    { name: "llama", pairs: true },
    { name: "qwen2", pairs: false },
    { name: "qwen3", pairs: false },
  ].map((architecture) => [architecture.name, architecture]),
);

/** Factors of the rotary frequencies: part of how a model computes, and none of its weights. */
export const ROPE_FACTORS = "rope_freqs.weight";

const WHOLE: ReadonlyMap<string, string> = new Map([
  ["token_embd.weight", "model.embed_tokens.weight"],
  ["output_norm.weight", "model.norm.weight"],
  ["output.weight", "lm_head.weight"],
]);
const OF_LAYER: ReadonlyMap<string, string> = new Map([
  ["attn_norm", "input_layernorm"],
  ["attn_q", "self_attn.q_proj"],
  ["attn_k", "self_attn.k_proj"],
  ["attn_v", "self_attn.v_proj"],
  ["attn_output", "self_attn.o_proj"],
  ["attn_q_norm", "self_attn.q_norm"],
  ["attn_k_norm", "self_attn.k_norm"],
  ["ffn_norm", "post_attention_layernorm"],
  ["ffn_gate", "mlp.gate_proj"],
  ["ffn_up", "mlp.up_proj"],
  ["ffn_down", "mlp.down_proj"],
]);

/** The key of a tensor as Hugging Face stores it; a tensor that those decoders lack keeps its name. */
export function huggingFaceKey(name: string): string {
  const layer = /^blk\.(\d+)\.(\w+)\.(weight|bias)$/.exec(name);
  const part = layer === null ? undefined : OF_LAYER.get(layer[2]!);
  return part === undefined ? (WHOLE.get(name) ?? name) : `model.layers.${layer![1]!}.${part}.${layer![3]!}`;
}

/** Whether a tensor is of queries, of keys, or of neither. */
export function rotatedPart(name: string): "queries" | "keys" | null {
  const part = /^blk\.\d+\.attn_([qk])\.(?:weight|bias)$/.exec(name)?.[1];
  return part === undefined ? null : part === "q" ? "queries" : "keys";
}
