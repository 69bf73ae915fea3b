// The supported families, one record for each `model_type`.
import type { Family } from "./description/family.js";
import { apertus } from "./records/apertus.js";
import { BERT_FAMILIES } from "./records/bert.js";
import { COHERE_FAMILIES } from "./records/cohere.js";
import { DEEPSEEK_FAMILIES } from "./records/deepseek.js";
import { DENSE_FAMILIES } from "./records/dense.js";
import { GEMMA_FAMILIES } from "./records/gemma.js";
import { GLM_FAMILIES } from "./records/glm.js";
import { GPT2_FAMILIES } from "./records/gpt2.js";
import { GRANITE_FAMILIES } from "./records/granite.js";
import { hunyuan } from "./records/hunyuan.js";
import { HYBRID_FAMILIES } from "./records/hybrid.js";
import { LLAMA_FAMILIES } from "./records/llama.js";
import { LLAMA4_FAMILIES } from "./records/llama4.js";
import { MAMBA_FAMILIES } from "./records/mamba.js";
import { MAMBA2_FAMILIES } from "./records/mamba2.js";
import { MIXTURE_FAMILIES } from "./records/mixtures.js";
import { modernbert } from "./records/modernbert.js";
import { NEOX_FAMILIES } from "./records/neox.js";
import { OLMO_FAMILIES } from "./records/olmo.js";
import { PHI_FAMILIES } from "./records/phi.js";
import { ROBERTA_FAMILIES } from "./records/roberta.js";

/** The supported families by `model_type`. */
export const families: ReadonlyMap<string, Family> = new Map(
  [
    ...LLAMA_FAMILIES,
    ...MIXTURE_FAMILIES,
    ...GEMMA_FAMILIES,
    ...GRANITE_FAMILIES,
    ...DENSE_FAMILIES,
    apertus,
    hunyuan,
    ...OLMO_FAMILIES,
    ...COHERE_FAMILIES,
    ...PHI_FAMILIES,
    ...LLAMA4_FAMILIES,
    ...DEEPSEEK_FAMILIES,
    ...GPT2_FAMILIES,
    ...NEOX_FAMILIES,
    ...GLM_FAMILIES,
    ...HYBRID_FAMILIES,
    ...MAMBA2_FAMILIES,
    ...MAMBA_FAMILIES,
    ...BERT_FAMILIES,
    ...ROBERTA_FAMILIES,
    modernbert,
  ].map((family) => [family.type, family]),
);

/** The reason why modc cannot read a popular family, by `model_type`. */
export const beyond: ReadonlyMap<string, string> = new Map([
  ["llama4", "modc reads its text model alone, saved as llama4_text"],
]);
