// The supported families, one record for each `model_type`.
import type { Family } from "./description/family.js";
import { COHERE_FAMILIES } from "./records/cohere.js";
import { GEMMA_FAMILIES } from "./records/gemma.js";
import { GLM_FAMILIES } from "./records/glm.js";
import { LLAMA_FAMILIES } from "./records/llama.js";
import { MIXTURE_FAMILIES } from "./records/mixtures.js";
import { NEOX_FAMILIES } from "./records/neox.js";
import { OLMO_FAMILIES } from "./records/olmo.js";
import { PHI_FAMILIES } from "./records/phi.js";

/** The supported families by `model_type`. */
export const families: ReadonlyMap<string, Family> = new Map(
  [
    ...LLAMA_FAMILIES,
    ...MIXTURE_FAMILIES,
    ...GEMMA_FAMILIES,
    ...OLMO_FAMILIES,
    ...COHERE_FAMILIES,
    ...PHI_FAMILIES,
    ...NEOX_FAMILIES,
    ...GLM_FAMILIES,
  ].map((family) => [family.type, family]),
);

/** The reason why modc cannot read a popular family, by `model_type`. */
export const beyond: ReadonlyMap<string, string> = new Map([
  [
    "gpt_oss",
    "modc supports neither its attention sinks (a learned number for each head in the softmax) nor its stacked experts",
  ],
]);
