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

/** Bare models, with their poolers if they have one. */
export const ENCODERS = {
  "BERT-base": { config: BERT, depth: 12, parameters: 109_482_240 },
} as const;
