// Llama and the families whose layers are the same but for biases, windows and norms of queries and keys.
import { RMS, type Family, type HeadNorms } from "../description/family.js";
import { LLAMA_KEYS } from "../description/key-names.js";
import { noBias, qwenWindows, uniform } from "../description/layers.js";
import { rotaryOf, rotationOf } from "../description/rotary.js";

export const llama: Family = {
  type: "llama",
  model: "Llama",
  architecture: "LlamaForCausalLM",
  alsoCalled: [],
  fields: {
    dim: "hidden_size",
    hidden: "intermediate_size",
    depth: "num_hidden_layers",
    heads: "num_attention_heads",
    kvHeads: "num_key_value_heads",
    headDim: "head_dim",
    positions: "max_position_embeddings",
    eps: "rms_norm_eps",
    activation: "hidden_act",
  },
  otherFields: {},
  reads: [],
  positions: 2048,
  headDim: null,
  kvHeads: null,
  heads: () => null,
  hidden: () => null,
  activation: "silu",
  eps: 1e-6,
  tied: false,
  headBias: () => false,
  biases(config) {
    const attention = config.flag("attention_bias") ?? false;
    return { qkv: attention, o: attention, mlp: config.flag("mlp_bias") ?? false };
  },
  norm: () => RMS,
  norms: "before",
  bareFirst: false,
  embeddingNorm: false,
  residual: () => "serial",
  headNorms: () => null,
  clip: () => null,
  network: "gated",
  bounded: () => null,
  activations: {},
  windows(config, depth) {
    if (config.raw("sliding_window") !== null) config.refuse("sliding_window", `this family has none`);
    return uniform(config, depth, 0);
  },
  chunks: () => null,
  temperature: () => null,
  theta: 10000,
  rotation: (config, { headDim, positions, depth }, theta) =>
    rotationOf(rotaryOf(config, { headDim, positions, theta }), depth, headDim),
  learned: () => null,
  alibi: () => null,
  factors: () => ({ embedding: 1, update: 1, logits: 1 }),
  scoreScale: () => null,
  caps: () => ({ scores: null, logits: null }),
  causal: true,
  types: () => null,
  pooling: () => "last",
  transform: () => null,
  lastMap: () => ({ key: "score", bias: [] }),
  ignored: () => [],
  sinks: false,
  outGate: false,
  fused: false,
  mixture: () => null,
  latent: () => null,
  recurrent: () => null,
  twofold: false,
  loops: () => null,
  keys: () => LLAMA_KEYS,
};

/** Norms of queries and keys: of each head, or of the row of all heads. */
export const headNorms = (over: HeadNorms["over"], norm = RMS): HeadNorms => ({ over, norm, behind: false, eps: null });

export const mistral: Family = {
  ...llama,
  type: "mistral",
  model: "Mistral",
  architecture: "MistralForCausalLM",
  positions: 4096 * 32,
  kvHeads: 8,
  biases: (config) => (noBias(config, "attention_bias"), { qkv: false, o: false, mlp: noBias(config, "mlp_bias") }),
  windows(config, depth) {
    const window = config.has("sliding_window") ? config.whole("sliding_window") : 4096;
    return uniform(config, depth, window ?? 0);
  },
};

export const qwen2: Family = {
  ...llama,
  type: "qwen2",
  model: "Qwen2",
  architecture: "Qwen2ForCausalLM",
  positions: 32768,
  kvHeads: 32,
  biases(config) {
    if (config.flag("attention_bias") === false) config.refuse("attention_bias", "this family has such weights always");
    return { qkv: true, o: false, mlp: noBias(config, "mlp_bias") };
  },
  windows: qwenWindows,
};

export const qwen3: Family = {
  ...qwen2,
  type: "qwen3",
  model: "Qwen3",
  architecture: "Qwen3ForCausalLM",
  headDim: 128,
  headNorms: () => headNorms("head"),
  biases(config) {
    const attention = config.flag("attention_bias") ?? false;
    return { qkv: attention, o: attention, mlp: noBias(config, "mlp_bias") };
  },
};

export const ouro: Family = {
  ...qwen2,
  type: "ouro",
  model: "Ouro",
  architecture: "OuroForCausalLM",
  positions: 32768,
  biases: (config) => ({ qkv: noBias(config, "attention_bias"), o: false, mlp: noBias(config, "mlp_bias") }),
  norms: "both",
  loops(config) {
    if (config.raw("early_exit_step") !== null)
      config.refuse("early_exit_step", "a fixed number of loops is total_ut_steps");
    const threshold = config.number("early_exit_threshold") ?? 1;
    if (threshold < 0 || threshold > 1) config.refuse("early_exit_threshold", "it must be from 0 to 1");
    return { most: config.whole("total_ut_steps") ?? 4, threshold };
  },
  keys: () => ({
    ...LLAMA_KEYS,
    attentionOutNorm: "input_layernorm_2",
    mlpOutNorm: "post_attention_layernorm_2",
  }),
};

export const LLAMA_FAMILIES: readonly Family[] = [llama, mistral, qwen2, qwen3, ouro];
