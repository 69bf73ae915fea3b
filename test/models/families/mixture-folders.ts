// Small mixtures of experts in Hugging Face's format: a configuration of each family, and the keys of its weights.
import type { Config, Variant } from "./folders.js";

const SIZES = {
  vocab_size: 96,
  hidden_size: 64,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 128,
  rms_norm_eps: 1e-5,
  hidden_act: "silu",
  bos_token_id: 1,
  eos_token_id: 2,
};

const DEEPSEEK = {
  ...SIZES,
  model_type: "deepseek_v3",
  architectures: ["DeepseekV3ForCausalLM"],
  auto_map: { AutoConfig: "configuration_deepseek.DeepseekV3Config" },
  num_key_value_heads: 4,
  intermediate_size: 96,
  moe_intermediate_size: 24,
  n_routed_experts: 12,
  n_shared_experts: 2,
  num_experts_per_tok: 3,
  n_group: 4,
  topk_group: 2,
  first_k_dense_replace: 1,
  moe_layer_freq: 1,
  norm_topk_prob: true,
  routed_scaling_factor: 2.5,
  scoring_func: "sigmoid",
  topk_method: "noaux_tc",
  q_lora_rank: 40,
  kv_lora_rank: 28,
  qk_nope_head_dim: 20,
  qk_rope_head_dim: 12,
  v_head_dim: 18,
  seq_aux: true,
  ep_size: 1,
};

/** Each family, and what its configurations may say. */
export const MIXTURES: readonly Variant[] = [
  {
    name: "Mixtral",
    config: {
      ...SIZES,
      model_type: "mixtral",
      architectures: ["MixtralForCausalLM"],
      intermediate_size: 48,
      num_local_experts: 6,
      num_experts_per_tok: 2,
      sliding_window: null,
      rope_theta: 1e6,
      router_aux_loss_coef: 0.02,
      output_router_logits: false,
    },
    dtype: "BF16",
    shards: 1,
  },
  {
    name: "Mixtral with a window",
    config: {
      ...SIZES,
      model_type: "mixtral",
      architectures: ["MixtralForCausalLM"],
      intermediate_size: 40,
      num_local_experts: 4,
      num_experts_per_tok: 1,
      sliding_window: 9,
      rope_theta: 1e4,
    },
    dtype: "F32",
    shards: 1,
  },
  {
    name: "OLMoE",
    config: {
      ...SIZES,
      model_type: "olmoe",
      architectures: ["OlmoeForCausalLM"],
      intermediate_size: 24,
      num_experts: 8,
      num_experts_per_tok: 3,
      norm_topk_prob: false,
      clip_qkv: null,
      rope_theta: 1e4,
    },
    dtype: "F32",
    shards: 2,
  },
  {
    name: "Qwen2-MoE",
    config: {
      ...SIZES,
      model_type: "qwen2_moe",
      architectures: ["Qwen2MoeForCausalLM"],
      intermediate_size: 80,
      moe_intermediate_size: 24,
      shared_expert_intermediate_size: 56,
      num_experts: 5,
      num_experts_per_tok: 2,
      norm_topk_prob: false,
      mlp_only_layers: [1],
      use_sliding_window: false,
      sliding_window: 64,
      max_window_layers: 2,
      rope_theta: 1e6,
    },
    dtype: "F32",
    shards: 1,
  },
  {
    name: "Qwen3-MoE, every second layer",
    config: {
      ...SIZES,
      model_type: "qwen3_moe",
      architectures: ["Qwen3MoeForCausalLM"],
      num_hidden_layers: 4,
      intermediate_size: 72,
      moe_intermediate_size: 20,
      head_dim: 24,
      num_experts: 9,
      num_experts_per_tok: 4,
      norm_topk_prob: true,
      decoder_sparse_step: 2,
      mlp_only_layers: [],
      tie_word_embeddings: true,
      rope_theta: 1e6,
    },
    dtype: "BF16",
    shards: 1,
  },
  {
    name: "DeepSeek-V3, stretched positions",
    config: {
      ...DEEPSEEK,
      num_nextn_predict_layers: 1,
      rope_scaling: {
        type: "yarn",
        factor: 4,
        beta_fast: 4,
        beta_slow: 1,
        mscale: 1.0,
        mscale_all_dim: 0.8,
        original_max_position_embeddings: 32,
      },
    },
    dtype: "F32",
    shards: 1,
  },
  {
    name: "DeepSeek-V3 without a row of queries, rotating halves",
    config: {
      ...DEEPSEEK,
      q_lora_rank: null,
      rope_interleave: false,
      first_k_dense_replace: 0,
      n_group: 1,
      topk_group: 1,
      norm_topk_prob: false,
      num_hidden_layers: 2,
    },
    dtype: "F32",
    shards: 1,
  },
  {
    name: "LongCat-Flash",
    config: {
      vocab_size: 96,
      hidden_size: 64,
      num_layers: 2,
      num_attention_heads: 4,
      max_position_embeddings: 128,
      rms_norm_eps: 1e-5,
      model_type: "longcat_flash",
      architectures: ["LongcatFlashForCausalLM"],
      attention_method: "MLA",
      ffn_hidden_size: 72,
      expert_ffn_hidden_size: 24,
      n_routed_experts: 6,
      zero_expert_num: 3,
      zero_expert_type: "identity",
      moe_topk: 3,
      routed_scaling_factor: 6.0,
      router_bias: false,
      q_lora_rank: 36,
      kv_lora_rank: 28,
      qk_nope_head_dim: 20,
      qk_rope_head_dim: 12,
      v_head_dim: 16,
      mla_scale_q_lora: true,
      mla_scale_kv_lora: true,
      rope_theta: 1e7,
    },
    dtype: "F32",
    shards: 1,
  },
];

type Tensors = readonly { readonly key: string; readonly shape: readonly number[] }[];

/**
 * The tensor names and shapes for a checkpoint with this configuration, including layers that predict further ahead.
 */
export function mixtureTensors(c: Config): Tensors {
  const n = (name: string): number => c[name] as number; // as the variants above have them
  const [dim, vocab] = [n("hidden_size"), n("vocab_size")];
  const twofold = c["model_type"] === "longcat_flash";
  const depth = twofold ? n("num_layers") : n("num_hidden_layers");
  const layers = Array.from({ length: depth }, (_, i) => {
    const p = `model.layers.${i}`;
    return (twofold ? [".0", ".1"] : [""]).flatMap((nth) => [
      { key: `${p}.input_layernorm${nth}.weight`, shape: [dim] },
      ...attentionTensors(c, `${p}.self_attn${nth}`),
      { key: `${p}.post_attention_layernorm${nth}.weight`, shape: [dim] },
      ...(twofold
        ? [...gatedTensors(`${p}.mlps${nth}`, dim, n("ffn_hidden_size")), ...(nth === ".0" ? expertTensors(c, p) : [])]
        : networkTensors(c, p, i)),
    ]);
  });
  const ahead = Array.from({ length: (c["num_nextn_predict_layers"] as number | undefined) ?? 0 }, (_, i) => {
    const p = `model.layers.${depth + i}`;
    return [
      { key: `${p}.enorm.weight`, shape: [dim] },
      { key: `${p}.eh_proj.weight`, shape: [dim, 2 * dim] },
      { key: `${p}.shared_head.head.weight`, shape: [vocab, dim] },
      { key: `${p}.input_layernorm.weight`, shape: [dim] },
      ...attentionTensors(c, `${p}.self_attn`),
      ...networkTensors(c, p, depth),
    ];
  });
  const beside = [
    { key: "model.mtp.norm.weight", shape: [dim] },
    { key: "model.mtp.layers.0.enorm.m.weight", shape: [dim] },
    { key: "model.mtp.layers.0.transformer_layer.mlp.gate_proj.weight", shape: [8, dim] },
  ];
  return [
    { key: "model.embed_tokens.weight", shape: [vocab, dim] },
    ...layers.flat(),
    ...ahead.flat(),
    ...(twofold ? beside : []),
    { key: "model.norm.weight", shape: [dim] },
    ...(c["tie_word_embeddings"] === true ? [] : [{ key: "lm_head.weight", shape: [vocab, dim] }]),
  ];
}

const gatedTensors = (p: string, dim: number, hidden: number, maps = ["gate_proj", "up_proj", "down_proj"]): Tensors =>
  maps.map((map, i) => ({ key: `${p}.${map}.weight`, shape: i < 2 ? [hidden, dim] : [dim, hidden] }));

function attentionTensors(c: Config, p: string): Tensors {
  const n = (name: string): number => c[name] as number;
  const [dim, heads] = [n("hidden_size"), n("num_attention_heads")];
  if (c["kv_lora_rank"] !== undefined) {
    const [still, turned, value, low] = [
      n("qk_nope_head_dim"),
      n("qk_rope_head_dim"),
      n("v_head_dim"),
      n("kv_lora_rank"),
    ];
    const rank = c["q_lora_rank"] as number | null;
    const width = heads * (still + turned);
    return [
      ...(rank === null
        ? [{ key: `${p}.q_proj.weight`, shape: [width, dim] }]
        : [
            { key: `${p}.q_a_proj.weight`, shape: [rank, dim] },
            { key: `${p}.q_a_layernorm.weight`, shape: [rank] },
            { key: `${p}.q_b_proj.weight`, shape: [width, rank] },
          ]),
      { key: `${p}.kv_a_proj_with_mqa.weight`, shape: [low + turned, dim] },
      { key: `${p}.kv_a_layernorm.weight`, shape: [low] },
      { key: `${p}.kv_b_proj.weight`, shape: [heads * (still + value), low] },
      { key: `${p}.o_proj.weight`, shape: [dim, heads * value] },
    ];
  }
  const kind = c["model_type"];
  const width = (c["head_dim"] as number | undefined) ?? dim / heads;
  const keys = n("num_key_value_heads") * width;
  const norm = kind === "olmoe" ? [heads * width, keys] : kind === "qwen3_moe" ? [width, width] : null;
  return [
    ...(["q", "k", "v"] as const).flatMap((x) => {
      const out = x === "q" ? heads * width : keys;
      return [
        { key: `${p}.${x}_proj.weight`, shape: [out, dim] },
        ...(kind === "qwen2_moe" ? [{ key: `${p}.${x}_proj.bias`, shape: [out] }] : []),
      ];
    }),
    { key: `${p}.o_proj.weight`, shape: [dim, heads * width] },
    ...(norm
      ? [
          { key: `${p}.q_norm.weight`, shape: [norm[0]!] },
          { key: `${p}.k_norm.weight`, shape: [norm[1]!] },
        ]
      : []),
  ];
}

function networkTensors(c: Config, p: string, layer: number): Tensors {
  const n = (name: string): number => c[name] as number;
  const dense =
    layer < ((c["first_k_dense_replace"] as number | undefined) ?? 0) ||
    ((c["mlp_only_layers"] as number[] | undefined) ?? []).includes(layer) ||
    (layer + 1) % ((c["decoder_sparse_step"] as number | undefined) ?? 1) !== 0;
  return dense ? gatedTensors(`${p}.mlp`, n("hidden_size"), n("intermediate_size")) : expertTensors(c, p);
}

function expertTensors(c: Config, p: string): Tensors {
  const n = (name: string): number => c[name] as number;
  const has = (...names: readonly string[]): number => n(names.find((name) => c[name] !== undefined)!);
  const dim = n("hidden_size");
  const kind = c["model_type"] as string;
  const experts = has("n_routed_experts", "num_local_experts", "num_experts");
  const hidden = has("expert_ffn_hidden_size", "moe_intermediate_size", "intermediate_size");
  const mixtral = kind === "mixtral";
  const folder = mixtral ? "block_sparse_moe" : "mlp";
  const router =
    kind === "longcat_flash" ? ["mlp.router.classifier.weight", "mlp.router."] : [`${folder}.gate.weight`, "mlp.gate."];
  const all = experts + ((c["zero_expert_num"] as number | undefined) ?? 0);
  const lifted = kind === "longcat_flash" || kind === "deepseek_v3";
  return [
    { key: `${p}.${router[0]!}`, shape: [all, dim] },
    ...(lifted ? [{ key: `${p}.${router[1]!}e_score_correction_bias`, shape: [all] }] : []),
    ...Array.from({ length: experts }, (_, e) =>
      gatedTensors(`${p}.${folder}.experts.${e}`, dim, hidden, mixtral ? ["w1", "w3", "w2"] : undefined),
    ).flat(),
    ...(kind === "qwen2_moe"
      ? [
          ...gatedTensors(`${p}.mlp.shared_expert`, dim, n("shared_expert_intermediate_size")),
          { key: `${p}.mlp.shared_expert_gate.weight`, shape: [1, dim] },
        ]
      : []),
    ...(kind === "deepseek_v3" ? gatedTensors(`${p}.mlp.shared_experts`, dim, hidden * n("n_shared_experts")) : []),
  ];
}
