// Tiny folders of Ouro, with random weights: nobody here ran those that are published.
import { type Config, tensorsOf, type Variant, writeFolder } from "./folders.js";

export const CONFIG: Config = {
  vocab_size: 96,
  hidden_size: 64,
  intermediate_size: 112,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 4,
  max_position_embeddings: 128,
  rms_norm_eps: 1e-6,
  hidden_act: "silu",
  rope_theta: 1e6,
  model_type: "ouro",
  architectures: ["OuroForCausalLM"],
  auto_map: { AutoConfig: "configuration_ouro.OuroConfig" },
  layer_types: ["full_attention", "full_attention"],
  use_sliding_window: false,
  sliding_window: null,
  max_window_layers: 2,
  tie_word_embeddings: false,
  total_ut_steps: 4,
};

export const ouroAt = (threshold: number, keys: "own" | "all"): Variant => ({
  name: `Ouro at a threshold of ${threshold}, keys "${keys}"`,
  config: { ...CONFIG, early_exit_threshold: threshold },
  dtype: "F32",
  shards: 1,
  set: { keys: `"${keys}"` },
});

/** Tensors that other families lack: two norms of each layer, and the gate. */
const tensors: typeof tensorsOf = (c) => [
  ...tensorsOf(c).flatMap((tensor) =>
    /layernorm/.test(tensor.key)
      ? [tensor, { ...tensor, key: tensor.key.replace("layernorm", "layernorm_2") }]
      : [tensor],
  ),
  { key: "model.early_exit_gate.weight", shape: [1, 64] },
  { key: "model.early_exit_gate.bias", shape: [1] },
];
export const writeOuro = (folder: string, variant: Variant, seed: number): void =>
  writeFolder(folder, variant, seed, tensors);

/** From the published one, at which nobody leaves, on. */
export const THRESHOLDS = [1, 0.95, 0.8, 0.6, 0.3] as const;
