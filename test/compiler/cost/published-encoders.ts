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

/** Bare models, with their poolers if they have one. */
export const ENCODERS = {
  "BERT-base": { config: BERT, depth: 12, parameters: 109_482_240 },
  "RoBERTa-base": { config: ROBERTA, depth: 12, parameters: 124_645_632 },
  "XLM-RoBERTa-base": { config: XLM, depth: 12, parameters: 278_043_648 },
} as const;
