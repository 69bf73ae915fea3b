// The supported families, one record for each `model_type`.
import type { Family } from "./description/family.js";
import { DEEPSEEK_FAMILIES } from "./records/deepseek.js";
import { GEMMA_FAMILIES } from "./records/gemma.js";
import { GPT2_FAMILIES } from "./records/gpt2.js";
import { LLAMA4_FAMILIES } from "./records/llama4.js";
import { LLAMA_FAMILIES } from "./records/llama.js";
import { MIXTURE_FAMILIES } from "./records/mixtures.js";

/** The supported families by `model_type`. */
export const families: ReadonlyMap<string, Family> = new Map(
  [
    ...LLAMA_FAMILIES,
    ...MIXTURE_FAMILIES,
    ...LLAMA4_FAMILIES,
    ...DEEPSEEK_FAMILIES,
    ...GEMMA_FAMILIES,
    ...GPT2_FAMILIES,
  ].map((family) => [family.type, family]),
);

/** The reason why modc cannot read a popular family, by `model_type`. */
export const beyond: ReadonlyMap<string, string> = new Map([
  ["llama4", "modc reads its text model alone, saved as llama4_text"],
]);
