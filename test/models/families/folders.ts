// Small decoders as Hugging Face stores them: a configuration of each kind, and random weights under its keys.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { toBytes } from "../../../src/runtime/weights/to-bytes.js";
import { writeSafetensors } from "../../../src/runtime/weights/formats/safetensors.js";
import { random } from "../../random.js";

export type Config = Readonly<Record<string, unknown>>;

const SIZES = {
  vocab_size: 96,
  hidden_size: 64,
  intermediate_size: 112,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 128,
  rms_norm_eps: 1e-5,
  hidden_act: "silu",
  initializer_range: 0.02,
  use_cache: true,
  bos_token_id: 1,
  eos_token_id: 2,
  transformers_version: "4.55.0",
};

const config = (type: string, architecture: string, more: Config): Config => ({
  ...SIZES,
  model_type: type,
  architectures: [architecture],
  ...more,
});
const llama = (more: Config): Config => config("llama", "LlamaForCausalLM", more);
const mistral = (more: Config): Config => config("mistral", "MistralForCausalLM", { sliding_window: null, ...more });
const qwen2 = (more: Config): Config =>
  config("qwen2", "Qwen2ForCausalLM", { rms_norm_eps: 1e-6, max_window_layers: 2, sliding_window: 8, ...more });
const qwen3 = (more: Config): Config =>
  config("qwen3", "Qwen3ForCausalLM", { rms_norm_eps: 1e-6, head_dim: 32, attention_bias: false, ...more });

/** A configuration, and how its weights are stored. */
export interface Variant {
  readonly name: string;
  readonly config: Config;
  readonly dtype: "F32" | "F16" | "BF16";
  readonly shards: number;
  /** Parameters for the `.mod` text that modc writes from the configuration. */
  readonly set?: Readonly<Record<string, string>>;
}

/** Kinds of what configurations may say, each at least once, and each family of dense decoders. */
export const VARIANTS: readonly Variant[] = [
  {
    name: "Llama",
    config: llama({ rope_theta: 10000.0, rope_scaling: null, torch_dtype: "bfloat16", pretraining_tp: 1 }),
    dtype: "BF16",
    shards: 1,
  },
  {
    name: "Llama, tied, linear scaling in the old spelling",
    config: llama({ tie_word_embeddings: true, rope_scaling: { type: "linear", factor: 2.5 } }),
    dtype: "F32",
    shards: 2,
  },
  {
    name: "Llama 3.1, biases everywhere",
    config: llama({
      attention_bias: true,
      mlp_bias: true,
      rope_theta: 500000.0,
      rope_scaling: {
        rope_type: "llama3",
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 32,
      },
    }),
    dtype: "F16",
    shards: 1,
  },
  {
    name: "Llama, wide heads, llama3 in the new spelling, GELU",
    config: llama({
      head_dim: 24,
      num_key_value_heads: 4,
      hidden_act: "gelu",
      dtype: "float32",
      rope_parameters: {
        rope_theta: 1000.0,
        rope_type: "llama3",
        factor: 4,
        low_freq_factor: 1,
        high_freq_factor: 3,
        original_max_position_embeddings: 64,
      },
    }),
    dtype: "F32",
    shards: 1,
  },
  {
    name: "Mistral with a window",
    config: mistral({ sliding_window: 9, num_key_value_heads: 1 }),
    dtype: "BF16",
    shards: 3,
  },
  {
    name: "Mistral, YaRN of a stated length",
    config: mistral({
      rope_theta: 1e6,
      rope_scaling: { type: "yarn", factor: 4.0, original_max_position_embeddings: 64, beta_fast: 4 },
    }),
    dtype: "F32",
    shards: 1,
  },
  {
    name: "Qwen2",
    config: qwen2({ tie_word_embeddings: true, use_sliding_window: false, rope_theta: 1e6 }),
    dtype: "F32",
    shards: 1,
  },
  {
    name: "Qwen2, windows in the last layer",
    config: qwen2({ use_sliding_window: true, use_mrope: false }),
    dtype: "F32",
    shards: 1,
  },
  {
    name: "Qwen3, windows by layer types",
    config: qwen3({
      use_sliding_window: true,
      sliding_window: 7,
      layer_types: ["sliding_attention", "full_attention", "sliding_attention"],
    }),
    dtype: "BF16",
    shards: 2,
  },
  {
    name: "Qwen3, tied, YaRN in the new spelling",
    config: qwen3({
      tie_word_embeddings: true,
      rope_parameters: {
        rope_theta: 5000.0,
        rope_type: "yarn",
        factor: 2.0,
        original_max_position_embeddings: 64,
        mscale: 1.2,
        mscale_all_dim: 0.7,
      },
    }),
    dtype: "F32",
    shards: 1,
  },
];

/** The tensor names and shapes for a checkpoint with this configuration. */
export function tensorsOf(c: Config): readonly { readonly key: string; readonly shape: readonly number[] }[] {
  const n = (name: string): number => c[name] as number; // as the variants above have them
  const [dim, hidden, vocab, heads, kvHeads] = [
    n("hidden_size"),
    n("intermediate_size"),
    n("vocab_size"),
    n("num_attention_heads"),
    n("num_key_value_heads"),
  ];
  const width = (c["head_dim"] as number | undefined) ?? dim / heads;
  const qwen2Bias = c["model_type"] === "qwen2";
  const bias = c["attention_bias"] === true;
  const linear = (key: string, out: number, inner: number, biased: boolean) => [
    { key: `${key}.weight`, shape: [out, inner] },
    ...(biased ? [{ key: `${key}.bias`, shape: [out] }] : []),
  ];
  const layers = Array.from({ length: n("num_hidden_layers") }, (_, i) => {
    const p = `model.layers.${i}`;
    return [
      { key: `${p}.input_layernorm.weight`, shape: [dim] },
      ...linear(`${p}.self_attn.q_proj`, heads * width, dim, bias || qwen2Bias),
      ...linear(`${p}.self_attn.k_proj`, kvHeads * width, dim, bias || qwen2Bias),
      ...linear(`${p}.self_attn.v_proj`, kvHeads * width, dim, bias || qwen2Bias),
      ...linear(`${p}.self_attn.o_proj`, dim, heads * width, bias),
      ...(c["model_type"] === "qwen3"
        ? ["q", "k"].map((x) => ({ key: `${p}.self_attn.${x}_norm.weight`, shape: [width] }))
        : []),
      { key: `${p}.post_attention_layernorm.weight`, shape: [dim] },
      ...linear(`${p}.mlp.gate_proj`, hidden, dim, c["mlp_bias"] === true),
      ...linear(`${p}.mlp.up_proj`, hidden, dim, c["mlp_bias"] === true),
      ...linear(`${p}.mlp.down_proj`, dim, hidden, c["mlp_bias"] === true),
    ];
  });
  return [
    { key: "model.embed_tokens.weight", shape: [vocab, dim] },
    ...layers.flat(),
    { key: "model.norm.weight", shape: [dim] },
    ...(c["tie_word_embeddings"] === true ? [] : [{ key: "lm_head.weight", shape: [vocab, dim] }]),
  ];
}

/** Writes such a folder; matrices of deviation 1.5/√n, vectors around 1. */
export function writeFolder(
  folder: string,
  { config: c, dtype, shards }: Variant,
  seed: number,
  tensorsIn: typeof tensorsOf = tensorsOf,
): void {
  const rng = random(seed);
  const tensors = tensorsIn(c).map(({ key, shape }) => {
    const count = shape.reduce((a, b) => a * b, 1);
    const scale = 1.5 / Math.sqrt(shape.at(-1)!);
    const value =
      shape.length < 2 ? () => (key.endsWith("bias") ? 0 : 1) + 0.3 * rng.normal() : () => rng.normal() * scale;
    return { key, dtype, shape, data: toBytes(Float32Array.from({ length: count }, value), dtype) };
  });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "config.json"), JSON.stringify(c, null, 2));
  if (shards === 1) {
    writeFileSync(join(folder, "model.safetensors"), writeSafetensors(tensors));
    return;
  }
  const map: Record<string, string> = {};
  for (let s = 0; s < shards; s++) {
    const name = `model-${String(s + 1).padStart(5, "0")}-of-${String(shards).padStart(5, "0")}.safetensors`;
    const own = tensors.filter((_, i) => i % shards === s);
    for (const { key } of own) map[key] = name;
    writeFileSync(join(folder, name), writeSafetensors(own));
  }
  writeFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify({ metadata: {}, weight_map: map }));
}
