// Published configurations of dense decoders, without the fields about training, with their layers and parameters.
interface Published {
  readonly config: Readonly<Record<string, unknown>>;
  readonly depth: number;
  readonly parameters: number;
}

export const DECODERS: Readonly<Record<string, Published>> = {
  "OLMo-7B": {
    config: {
      model_type: "olmo",
      hidden_size: 4096,
      intermediate_size: 11008,
      max_position_embeddings: 2048,
      num_attention_heads: 32,
      num_hidden_layers: 32,
      num_key_value_heads: 32,
      tie_word_embeddings: false,
      vocab_size: 50304,
    },
    depth: 32,
    parameters: 6_888_095_744,
  },
  "OLMo-2-1124-7B": {
    config: {
      model_type: "olmo2",
      hidden_size: 4096,
      intermediate_size: 11008,
      max_position_embeddings: 4096,
      num_attention_heads: 32,
      num_hidden_layers: 32,
      num_key_value_heads: 32,
      rms_norm_eps: 1e-6,
      rope_theta: 500000,
      tie_word_embeddings: false,
      vocab_size: 100352,
    },
    depth: 32,
    parameters: 7_298_617_344,
  },
  "Command-R": {
    config: {
      model_type: "cohere",
      hidden_size: 8192,
      intermediate_size: 22528,
      num_attention_heads: 64,
      num_hidden_layers: 40,
      num_key_value_heads: 64,
      rope_theta: 8000000,
      vocab_size: 256000,
    },
    depth: 40,
    parameters: 34_980_831_232,
  },
  "Command-R7B": {
    config: {
      model_type: "cohere2",
      head_dim: 128,
      hidden_size: 4096,
      intermediate_size: 14336,
      layer_switch: 4,
      logit_scale: 0.25,
      num_attention_heads: 32,
      num_hidden_layers: 32,
      num_key_value_heads: 8,
      rope_theta: 50000,
      sliding_window: 4096,
      vocab_size: 256000,
    },
    depth: 32,
    parameters: 8_028_033_024,
  },
  "phi-2": {
    config: {
      model_type: "phi",
      hidden_size: 2560,
      intermediate_size: 10240,
      num_attention_heads: 32,
      num_hidden_layers: 32,
      num_key_value_heads: 32,
      partial_rotary_factor: 0.4,
      vocab_size: 51200,
    },
    depth: 32,
    parameters: 2_779_683_840,
  },
  "Phi-4-mini": {
    config: {
      model_type: "phi3",
      full_attn_mod: 1,
      hidden_size: 3072,
      intermediate_size: 8192,
      interpolate_factor: 1,
      max_position_embeddings: 131072,
      num_attention_heads: 24,
      num_hidden_layers: 32,
      num_key_value_heads: 8,
      original_max_position_embeddings: 4096,
      partial_rotary_factor: 0.75,
      sliding_window: 262144,
      tie_word_embeddings: true,
      vocab_size: 200064,
    },
    depth: 32,
    parameters: 3_836_021_760,
  },
};
