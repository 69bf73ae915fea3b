// Parses `generation_config.json`: the tokens that end a sequence, and the default sampling options.
import { escapedName } from "../../ground/base/shown.js";
import { Fields } from "./description/fields.js";

/** The generation defaults of a checkpoint, by the names of sampling options; unset options are absent. */
export interface GenerationDefaults {
  /** Tokens that end a sequence. */
  readonly ends: readonly number[];
  /** Maximum number of generated tokens; null if unset. */
  readonly maxTokens: number | null;
  /** Empty: greedy decoding. */
  readonly sampling: {
    readonly temperature?: number;
    readonly topK?: number;
    readonly topP?: number;
    readonly minP?: number;
    readonly repetitionPenalty?: number;
  };
  /** Fields, as `name = value`, that change Hugging Face's generation and that modc does not support. */
  readonly ignored: readonly string[];
}

/** The defaults of a folder without settings. */
export const NO_DEFAULTS: GenerationDefaults = { ends: [], maxTokens: null, sampling: {}, ignored: [] };

/** Unsupported fields that change the generated text, with the values that have no effect. */
const UNSUPPORTED: ReadonlyMap<string, readonly unknown[]> = new Map<string, readonly unknown[]>([
  ["num_beams", [1]],
  ["num_beam_groups", [1]],
  ["penalty_alpha", []],
  ["typical_p", [1]],
  ["epsilon_cutoff", [0]],
  ["eta_cutoff", [0]],
  ["no_repeat_ngram_size", [0]],
  ["encoder_repetition_penalty", [1]],
  ["min_length", [0]],
  ["min_new_tokens", [0]],
  ["bad_words_ids", []],
  ["suppress_tokens", []],
  ["begin_suppress_tokens", []],
  ["forced_bos_token_id", []],
  ["forced_eos_token_id", []],
  ["sequence_bias", []],
  ["guidance_scale", [1]],
  ["exponential_decay_length_penalty", []],
]);

/** Hugging Face's default top-k when it samples. */
const DEFAULT_TOP_K = 50;

/**
 * Parses a `generation_config.json`, or the generation fields of a `config.json`. The model has `vocab` tokens; null:
 * unknown. Throws a CheckpointError that names the field and its value.
 */
export function parseGenerationConfig(
  text: string,
  file = "generation_config.json",
  vocabulary: number | null = null,
): GenerationDefaults {
  const config = Fields.parse(text, file);
  const ends = config.wholes("eos_token_id") ?? [];
  if (vocabulary !== null && ends.some((end) => end >= vocabulary))
    config.refuse("eos_token_id", `there are ${vocabulary} tokens`);
  const share = (name: string): number | null => {
    const value = config.number(name);
    return value === null || (value >= 0 && value <= 1) ? value : config.refuse(name, "it must be a share from 0 to 1");
  };
  const penalty = config.positive("repetition_penalty");
  const drawn = config.flag("do_sample") ?? false;
  const temperature = config.number("temperature") ?? 1;
  if (temperature < 0) config.refuse("temperature", "it must be 0 or above");
  const [topK, topP, minP] = [config.whole("top_k", 0) ?? DEFAULT_TOP_K, share("top_p") ?? 1, share("min_p") ?? 0];
  return {
    ends,
    maxTokens: config.whole("max_new_tokens"),
    sampling: {
      ...(drawn ? { temperature, topK, topP, minP } : {}),
      ...(penalty === null || penalty === 1 ? {} : { repetitionPenalty: penalty }),
    },
    ignored: config.names.flatMap((name) => {
      const harmless = UNSUPPORTED.get(name);
      const value = config.raw(name);
      const idle = harmless === undefined || harmless.includes(value) || (Array.isArray(value) && value.length === 0);
      return idle ? [] : [escapedName(`${name} = ${JSON.stringify(value)}`)];
    }),
  };
}
