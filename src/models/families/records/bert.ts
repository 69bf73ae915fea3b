// BERT and the encoders of its form: norms behind the sums, learned positions, token types, a pooler.
import { ACTIVATIONS, type Activation } from "../description/activation.js";
import { LAYER, type Family } from "../description/family.js";
import type { Fields } from "../description/fields.js";
import type { Transform } from "../description/head.js";
import { LLAMA_KEYS, type KeyNames } from "../description/key-names.js";
import { uniform } from "../description/layers.js";
import { llama } from "./llama.js";

const BERT_KEYS: KeyNames = {
  ...LLAMA_KEYS,
  prefixes: ["bert."],
  embed: "embeddings.word_embeddings",
  positions: "embeddings.position_embeddings",
  types: "embeddings.token_type_embeddings",
  embedNorm: "embeddings.LayerNorm",
  layer: "encoder.layer.{i}",
  head: "cls.predictions.decoder",
  attention: "attention",
  q: "self.query",
  k: "self.key",
  v: "self.value",
  o: "output.dense",
  attentionOutNorm: "attention.output.LayerNorm",
  mlp: "",
  up: "intermediate.dense",
  down: "output.dense",
  mlpOutNorm: "output.LayerNorm",
  olderNorms: true,
  // The numbers of the positions, which older versions of the published code stored.
  ignored: ["embeddings.position_ids"],
};

const POOLER: Transform = { activation: "tanh", bias: true, key: "pooler.dense", prefixed: true, norm: null };

/** The activation that a field names, for maps of heads. Throws CheckpointError. */
export const activationIn = (config: Fields, field: string, usual: Activation): Activation =>
  config.has(field)
    ? (ACTIVATIONS.get(config.text(field) ?? "") ??
      config.refuse(field, `modc knows ${[...ACTIVATIONS.keys()].join(", ")}`))
    : usual;

export const bert: Family = {
  ...llama,
  type: "bert",
  model: "BERT",
  architecture: "BertModel",
  fields: { ...llama.fields, kvHeads: null, headDim: null, eps: "layer_norm_eps" },
  // Dropout, sizes of a pooler that the published code does not read, and what is done behind the logits.
  reads: [
    "type_vocab_size position_embedding_type add_cross_attention attention_probs_dropout_prob hidden_dropout_prob",
    "classifier_dropout directionality pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers",
    "pooler_size_per_head pooler_type output_past sentence_transformers",
  ].flatMap((names) => names.split(" ")),
  positions: 512,
  eps: 1e-12,
  activation: "gelu",
  tied: true,
  biases: () => ({ qkv: true, o: true, mlp: true }),
  norm: () => LAYER,
  norms: "sum",
  embeddingNorm: true,
  network: "plain",
  windows: (config, depth) => uniform(config, depth, 0),
  rotation: () => null,
  learned(config, { positions }) {
    config.only("position_embedding_type", "absolute", "modc reads tables of positions alone");
    return { count: positions, offset: 0 };
  },
  causal: false,
  types(config) {
    for (const name of ["is_decoder", "add_cross_attention"])
      config.only(name, false, "modc reads this family as an encoder");
    return config.whole("type_vocab_size") ?? 2;
  },
  pooling: () => "first",
  transform: (config, kind) =>
    kind === "tokens"
      ? {
          activation: activationIn(config, "hidden_act", "gelu"),
          bias: true,
          key: "cls.predictions.transform.dense",
          prefixed: false,
          norm: "cls.predictions.transform.LayerNorm",
        }
      : POOLER,
  lastMap: (_config, kind) =>
    kind === "tokens"
      ? { key: "cls.predictions.decoder", bias: ["cls.predictions.bias", "cls.predictions.decoder.bias"] }
      : { key: "classifier", bias: ["classifier.bias"] },
  // Checkpoints of masked language models may have the heads of both of BERT's tasks.
  ignored: (kind) =>
    kind === "tokens"
      ? ["pooler.dense.{w}", "cls.seq_relationship.{w}"]
      : kind === "sentences"
        ? ["pooler.dense.{w}"]
        : [],
  keys: () => BERT_KEYS,
};

export const BERT_FAMILIES: readonly Family[] = [bert];
