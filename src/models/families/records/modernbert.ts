// ModernBERT (Warner et al. 2024, arXiv 2412.13663): norms before, rotation with two bases, windows to both sides.
import type { Family } from "../description/family.js";
import { LLAMA_KEYS } from "../description/key-names.js";
import { layerWindows } from "../description/layers.js";
import { rotationOf, scaledRotary, type Turn } from "../description/rotary.js";
import { activationIn } from "./bert.js";
import { llama } from "./llama.js";

export const modernbert: Family = {
  ...llama,
  type: "modernbert",
  model: "ModernBERT",
  architecture: "ModernBertModel",
  fields: { ...llama.fields, kvHeads: null, headDim: null, eps: "norm_eps", activation: "hidden_activation" },
  // Older configurations have position_embedding_type and layer_norm_eps, which the published code does not read. The
  // last two lines: dropout and starts, the kernels of the published code, and the loss of training.
  reads: [
    "norm_bias local_attention global_attn_every_n_layers global_rope_theta local_rope_theta decoder_bias",
    "classifier_pooling classifier_bias classifier_activation cls_token_id position_embedding_type layer_norm_eps",
    "embedding_dropout mlp_dropout classifier_dropout initializer_cutoff_factor deterministic_flash_attn",
    "reference_compile repad_logits_with_grad sparse_prediction sparse_pred_ignore_index sentence_transformers",
  ].flatMap((names) => names.split(" ")),
  positions: 8192,
  eps: 1e-5,
  activation: "gelu",
  tied: true,
  theta: 160_000,
  norm: (config) => ({ kind: "layer", weight: "weight", bias: config.flag("norm_bias") ?? false }),
  bareFirst: true,
  embeddingNorm: true,
  causal: false,
  // A token sees `local_attention` / 2 tokens on each side.
  windows(config, depth) {
    const window = Math.floor((config.whole("local_attention") ?? 128) / 2) + 1;
    const every = config.whole("global_attn_every_n_layers") ?? 3;
    return (
      layerWindows(config, depth, window) ?? Array.from({ length: depth }, (_, i) => (i % every === 0 ? 0 : window))
    );
  },
  rotation(config, { headDim, positions, depth }, theta) {
    config.only("rope_theta", null, "this family has global_rope_theta and local_rope_theta");
    const parameters = config.object("rope_parameters");
    const scaling = config.object("rope_scaling");
    const context = { headDim, positions };
    const of = (layers: string, field: string, usual: number) =>
      scaledRotary(config, parameters?.object(layers) ?? scaling, {
        ...context,
        theta: config.positive(field) ?? usual,
      });
    return rotationOf(of("full_attention", "global_rope_theta", theta), depth, headDim, {
      local: of("sliding_attention", "local_rope_theta", 10_000),
      layers: modernbert.windows(config, depth).map((window): Turn => (window > 0 ? "local" : "main")),
    });
  },
  pooling(config) {
    const pooling = config.text("classifier_pooling") ?? "cls";
    if (pooling !== "cls" && pooling !== "mean") config.refuse("classifier_pooling", "modc knows cls and mean");
    return pooling === "cls" ? "first" : "mean";
  },
  transform: (config, kind) =>
    kind === "features"
      ? null
      : {
          activation: activationIn(config, "classifier_activation", "gelu"),
          bias: config.flag("classifier_bias") ?? false,
          key: "head.dense",
          prefixed: false,
          norm: "head.norm",
        },
  lastMap: (config, kind) =>
    kind === "labels"
      ? { key: "classifier", bias: ["classifier.bias"] }
      : { key: "decoder", bias: (config.flag("decoder_bias") ?? true) ? ["decoder.bias"] : [] },
  keys: () => ({
    ...LLAMA_KEYS,
    embed: "embeddings.tok_embeddings",
    embedNorm: "embeddings.norm",
    norm: "final_norm",
    head: "decoder",
    attention: "attn",
    qkv: "Wqkv",
    o: "Wo",
    attentionNorm: "attn_norm",
    mlpNorm: "mlp_norm",
    gateUp: "Wi",
    down: "Wo",
    ignored: [],
  }),
};
