// Published configurations of encoders, without the fields about weights and training, and their parameters.

const BERT = {
  model_type: "bert",
  architectures: ["BertModel"],
  hidden_act: "gelu",
  hidden_size: 768,
  intermediate_size: 3072,
  layer_norm_eps: 1e-12,
  max_position_embeddings: 512,
  num_attention_heads: 12,
  num_hidden_layers: 12,
  pad_token_id: 0,
  position_embedding_type: "absolute",
  type_vocab_size: 2,
  vocab_size: 30522,
};

const ROBERTA = {
  ...BERT,
  model_type: "roberta",
  architectures: ["RobertaModel"],
  layer_norm_eps: 1e-5,
  max_position_embeddings: 514,
  pad_token_id: 1,
  type_vocab_size: 1,
  vocab_size: 50265,
};
const XLM = { ...ROBERTA, model_type: "xlm-roberta", architectures: ["XLMRobertaModel"], vocab_size: 250002 };

const MODERN = {
  model_type: "modernbert",
  architectures: ["ModernBertModel"],
  attention_bias: false,
  classifier_activation: "gelu",
  classifier_bias: false,
  classifier_pooling: "mean",
  decoder_bias: true,
  global_attn_every_n_layers: 3,
  global_rope_theta: 160000.0,
  hidden_activation: "gelu",
  hidden_size: 768,
  intermediate_size: 1152,
  local_attention: 128,
  local_rope_theta: 10000.0,
  max_position_embeddings: 8192,
  mlp_bias: false,
  norm_bias: false,
  norm_eps: 1e-5,
  num_attention_heads: 12,
  num_hidden_layers: 22,
  vocab_size: 50368,
};

/** Bare models, with their poolers if they have one. */
export const ENCODERS = {
  "BERT-base": { config: BERT, depth: 12, front: 0, parameters: 109_482_240 },
  "RoBERTa-base": { config: ROBERTA, depth: 12, front: 0, parameters: 124_645_632 },
  "XLM-RoBERTa-base": { config: XLM, depth: 12, front: 0, parameters: 278_043_648 },
  "ModernBERT-base": { config: MODERN, depth: 22, front: 1, parameters: 149_014_272 },
} as const;
