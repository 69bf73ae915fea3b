// The supported families, one record for each `model_type`.
import type { Family } from "./description/family.js";
import { apertus } from "./records/apertus.js";
import { COHERE_FAMILIES } from "./records/cohere.js";
import { DENSE_FAMILIES } from "./records/dense.js";
import { GEMMA_FAMILIES } from "./records/gemma.js";
import { GRANITE_FAMILIES } from "./records/granite.js";
import { hunyuan } from "./records/hunyuan.js";
import { LLAMA_FAMILIES } from "./records/llama.js";
import { MIXTURE_FAMILIES } from "./records/mixtures.js";
import { OLMO_FAMILIES } from "./records/olmo.js";
import { PHI_FAMILIES } from "./records/phi.js";

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
  ].map((family) => [family.type, family]),
);

/** The reason why modc cannot read a popular family, by `model_type`. */
export const beyond: ReadonlyMap<string, string> = new Map([
  [
    "gpt_oss",
    "modc supports neither its attention sinks (a learned number for each head in the softmax) nor its stacked experts",
  ],
]);
