// Mamba, and Jamba, a hybrid of its layers with attention.
import type { Family } from "../description/family.js";
import { LLAMA_KEYS } from "../description/key-names.js";
import { noBias } from "../description/layers.js";
import { jambaMixture } from "../description/mixture.js";
import { MAMBA_KINDS, MAMBA2_READS, mambaOf, recurrentLayers } from "../description/recurrent.js";
import { llama } from "./llama.js";
import { mamba2 } from "./mamba2.js";

/** Fields of the published configurations that change nothing that is computed, or repeat another field. */
const MAMBA_READS = ["time_step_scale", "time_step_init_scheme", "use_mambapy", "fused_add_norm", "d_inner", "d_model"];

export const mamba: Family = {
  ...mamba2,
  type: "mamba",
  model: "MambaLM",
  architecture: "MambaForCausalLM",
  fields: { ...mamba2.fields, heads: null, headDim: null },
  reads: [...mamba2.reads, ...MAMBA_READS, "n_layer", "ssm_cfg", "pad_vocab_size_multiple"],
  headDim: null,
  tied: true,
  recurrent(config, { depth, dim }) {
    config.only("rms_norm", true, "modc reads Mamba with RMSNorm");
    config.only("d_model", dim, `hidden_size is ${dim}`);
    config.only("n_layer", depth, `num_hidden_layers is ${depth}`);
    const ssm = config.object("ssm_cfg");
    if (ssm !== null && ssm.names.length > 0) config.refuse("ssm_cfg", "modc reads it empty");
    const mixer = mambaOf(
      config,
      dim,
      {
        state: "state_size",
        rank: "time_step_rank",
        width: "conv_kernel",
        expand: "expand",
        bias: "use_bias",
        convBias: "use_conv_bias",
      },
      { bias: true, normed: false },
    );
    for (const name of ["intermediate_size", "d_inner"])
      config.only(name, mixer.channels, `expand times hidden_size is ${mixer.channels}`);
    return {
      layers: recurrentLayers(config, depth, { ...MAMBA_KINDS, attention: [] }, () => true),
      mixer,
      key: "mixer",
    };
  },
};

export const jamba: Family = {
  ...llama,
  type: "jamba",
  model: "Jamba",
  architecture: "JambaForCausalLM",
  reads: [
    ...MAMBA2_READS,
    "attn_layer_period",
    "attn_layer_offset",
    "expert_layer_period",
    "expert_layer_offset",
    "use_mamba_kernels",
    "mamba_d_state",
    "mamba_d_conv",
    "mamba_expand",
    "mamba_dt_rank",
    "mamba_conv_bias",
    "mamba_proj_bias",
    "mamba_inner_layernorms",
    "num_logits_to_keep",
    "calc_logits_for_entire_prompt",
  ],
  positions: 262_144,
  kvHeads: 8,
  biases: (config) => ({ qkv: noBias(config, "attention_bias"), o: false, mlp: noBias(config, "mlp_bias") }),
  rotation: () => null,
  windows(config, depth) {
    if (config.raw("sliding_window") !== null)
      config.refuse("sliding_window", "modc reads this family without windows");
    return Array<number>(depth).fill(0);
  },
  mixture: jambaMixture,
  recurrent(config, { depth, dim }) {
    config.only("mamba_inner_layernorms", true, "modc reads Jamba with its norms inside Mamba");
    const [period, offset] = [config.whole("attn_layer_period") ?? 8, config.whole("attn_layer_offset", 0) ?? 4];
    if (offset >= period) config.refuse("attn_layer_offset", `it must be below attn_layer_period, ${period}`);
    return {
      layers: recurrentLayers(config, depth, MAMBA_KINDS, (i) => i % period !== offset),
      mixer: mambaOf(
        config,
        dim,
        {
          state: "mamba_d_state",
          rank: "mamba_dt_rank",
          width: "mamba_d_conv",
          expand: "mamba_expand",
          bias: "mamba_proj_bias",
          convBias: "mamba_conv_bias",
        },
        { bias: false, normed: true },
      ),
      key: "mamba",
    };
  },
  keys: () => ({ ...LLAMA_KEYS, mlp: "feed_forward", mlpNorm: "pre_ff_layernorm", norm: "final_layernorm" }),
};

export const MAMBA_FAMILIES: readonly Family[] = [mamba, jamba];
