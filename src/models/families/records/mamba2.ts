// Mamba-2, and hybrids of its layers with attention.
import type { Family } from "../description/family.js";
import type { Fields } from "../description/fields.js";
import { LLAMA_KEYS } from "../description/key-names.js";
import { noBias } from "../description/layers.js";
import { HYBRID_MAMBA2, MAMBA2_READS, MAMBA_KINDS, mamba2Of, recurrentLayers } from "../description/recurrent.js";
import { partRotation } from "../description/rotary.js";
import { graniteHybridMixture } from "../description/stacked.js";
import { llama } from "./llama.js";
import { graniteMoe } from "./mixtures.js";

const unlimited = (_: Fields, depth: number): readonly number[] => Array<number>(depth).fill(0);

export const mamba2: Family = {
  ...llama,
  type: "mamba2",
  model: "Mamba2LM",
  architecture: "Mamba2ForCausalLM",
  fields: {
    ...llama.fields,
    hidden: null,
    heads: "num_heads",
    kvHeads: null,
    positions: null,
    eps: "layer_norm_epsilon",
  },
  reads: [
    ...MAMBA2_READS,
    "state_size",
    "n_groups",
    "conv_kernel",
    "expand",
    "use_bias",
    "use_conv_bias",
    "rms_norm",
    "norm_before_gate",
    "time_step_rank",
    "residual_in_fp32",
    "rescale_prenorm_residual",
  ],
  // The family states no longest text.
  positions: 1_048_576,
  headDim: 64,
  eps: 1e-5,
  hidden: (_, dim) => dim,
  biases: () => ({ qkv: false, o: false, mlp: false }),
  network: "none",
  windows: unlimited,
  rotation: () => null,
  recurrent(config, { depth, dim }) {
    config.only("rms_norm", true, "modc reads Mamba-2 with the norm before its output map");
    config.only("norm_before_gate", false, "modc reads Mamba-2 whose gate stands before the norm");
    return {
      layers: recurrentLayers(config, depth, { ...MAMBA_KINDS, attention: [] }, () => true),
      mixer: mamba2Of(
        config,
        dim,
        {
          heads: "num_heads",
          headDim: "head_dim",
          state: "state_size",
          groups: "n_groups",
          width: "conv_kernel",
          expand: "expand",
          bias: "use_bias",
          convBias: "use_conv_bias",
        },
        { heads: 128, headDim: 64, state: 128, groups: 8 },
      ),
      key: "mixer",
    };
  },
  keys: () => ({
    ...LLAMA_KEYS,
    prefixes: ["backbone."],
    embed: "embeddings",
    norm: "norm_f",
    attentionNorm: "norm",
    ignored: [],
  }),
};

export const bamba: Family = {
  ...llama,
  type: "bamba",
  model: "Bamba",
  architecture: "BambaForCausalLM",
  reads: [
    ...MAMBA2_READS,
    ...Object.values(HYBRID_MAMBA2),
    "attn_layer_indices",
    "attn_rotary_emb",
    "mamba_chunk_size",
    "num_logits_to_keep",
    "z_loss_coefficient",
  ],
  positions: 262_144,
  kvHeads: 8,
  eps: 1e-5,
  biases: (config) => ({ qkv: noBias(config, "attention_bias"), o: false, mlp: noBias(config, "mlp_bias") }),
  windows: unlimited,
  rotation(config, sizes, theta) {
    const rotation = partRotation(config, { ...sizes, theta }, 0.5);
    const columns = config.whole("attn_rotary_emb") ?? rotation.columns;
    if (columns !== rotation.columns)
      config.refuse("attn_rotary_emb", `partial_rotary_factor leaves ${rotation.columns} columns to rotate`);
    return rotation;
  },
  recurrent(config, { depth, dim }) {
    const attention = new Set(config.wholes("attn_layer_indices") ?? []);
    if ([...attention].some((layer) => layer >= depth))
      config.refuse("attn_layer_indices", `there are ${depth} layers, from 0 on`);
    return {
      layers: recurrentLayers(config, depth, MAMBA_KINDS, (i) => !attention.has(i)),
      mixer: mamba2Of(config, dim, HYBRID_MAMBA2, { heads: 128, headDim: null, state: 256, groups: 1 }),
      key: "mamba",
    };
  },
  keys: () => ({ ...LLAMA_KEYS, mlp: "feed_forward", mlpNorm: "pre_ff_layernorm", norm: "final_layernorm" }),
};

/** IBM's Granite 4: dense, or a mixture of experts with a shared network in every layer. */
export const graniteHybrid: Family = {
  ...graniteMoe,
  type: "granitemoehybrid",
  model: "GraniteHybrid",
  architecture: "GraniteMoeHybridForCausalLM",
  fields: { ...llama.fields, hidden: null },
  reads: [
    ...graniteMoe.reads,
    ...MAMBA2_READS,
    ...Object.values(HYBRID_MAMBA2),
    "mamba_chunk_size",
    "position_embedding_type",
    "shared_intermediate_size",
    // Training alone reads init_method.
    "init_method",
    "normalization_function",
  ],
  hidden: (config) => config.whole("shared_intermediate_size") ?? 1024,
  windows: unlimited,
  rotation(config, sizes, theta) {
    config.only("normalization_function", "rmsnorm", "modc reads rmsnorm");
    const type = config.text("position_embedding_type");
    if (type !== null && type !== "rope" && type !== "nope")
      config.refuse("position_embedding_type", "modc knows rope, and nope or null for no rotation");
    return type === "rope" ? llama.rotation(config, sizes, theta) : null;
  },
  mixture: graniteHybridMixture,
  recurrent: (config, { depth, dim }) => ({
    layers: recurrentLayers(config, depth, MAMBA_KINDS, () => true),
    mixer: mamba2Of(config, dim, HYBRID_MAMBA2, { heads: 128, headDim: null, state: 256, groups: 1 }),
    key: "mamba",
  }),
  keys: () => ({ ...LLAMA_KEYS, mlp: "shared_mlp", gateUp: "input_linear", down: "output_linear" }),
};

export const MAMBA2_FAMILIES: readonly Family[] = [mamba2, bamba, graniteHybrid];
