// RoBERTa and XLM-RoBERTa: as BERT, but the position of the first token follows the position of padding.
import type { Family } from "../description/family.js";
import { bert } from "./bert.js";

export const roberta: Family = {
  ...bert,
  type: "roberta",
  model: "RoBERTa",
  architecture: "RobertaModel",
  // Row pad_token_id of the positions belongs to padding, and those before it to nothing.
  learned(config, sizes) {
    const table = bert.learned(config, sizes)!;
    return { ...table, offset: (config.whole("pad_token_id", 0) ?? 1) + 1 };
  },
  transform: (config, kind) =>
    kind === "features"
      ? bert.transform(config, kind)
      : kind === "labels"
        ? { activation: "tanh", bias: true, key: "classifier.dense", prefixed: false, norm: null }
        : { activation: "gelu", bias: true, key: "lm_head.dense", prefixed: false, norm: "lm_head.layer_norm" },
  lastMap: (_config, kind) =>
    kind === "tokens"
      ? { key: "lm_head.decoder", bias: ["lm_head.bias", "lm_head.decoder.bias"] }
      : { key: "classifier.out_proj", bias: ["classifier.out_proj.bias"] },
  ignored: (kind) => (kind === "features" ? [] : ["pooler.dense.{w}"]),
  keys: (config) => ({ ...bert.keys(config), prefixes: ["roberta."], head: "lm_head.decoder", olderNorms: false }),
};

export const xlmRoberta: Family = {
  ...roberta,
  type: "xlm-roberta",
  model: "XLMRoBERTa",
  architecture: "XLMRobertaModel",
};

export const ROBERTA_FAMILIES: readonly Family[] = [roberta, xlmRoberta];
