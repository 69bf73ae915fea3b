// The supported families, one record for each `model_type`.
import type { Family } from "./description/family.js";
import { GEMMA_FAMILIES } from "./records/gemma.js";
import { GPT2_FAMILIES } from "./records/gpt2.js";
import { LLAMA_FAMILIES } from "./records/llama.js";
import { MIXTURE_FAMILIES } from "./records/mixtures.js";

/** The supported families by `model_type`. */
export const families: ReadonlyMap<string, Family> = new Map(
  [...LLAMA_FAMILIES, ...MIXTURE_FAMILIES, ...GEMMA_FAMILIES, ...GPT2_FAMILIES].map((family) => [family.type, family]),
);

/** The reason why modc cannot read a popular family, by `model_type`. */
export const beyond: ReadonlyMap<string, string> = new Map([
  [
    "gpt_oss",
    "modc supports neither its attention sinks (a learned number for each head in the softmax) nor its stacked experts",
  ],
]);
