// How tokens are chosen, as a user says it, checked, and as the tables that the operator `sample` reads.
import { InputError } from "../runtime/index.js";
import { SAMPLING_COLUMNS, type SamplingColumn } from "../size/sampling.js";

/**
 * The order in which they act is that of Hugging Face transformers: bias, repetition penalty, temperature, top-k,
 * top-p, min-p. Equals stay or go together.
 */
export interface SamplingOptions {
  /**
   * What logits are divided by; 0 takes the largest, whatever the filters below. Default 0, or 1 where one of `topK`,
   * `topP`, `minP`, `seed` is given.
   */
  readonly temperature?: number;
  /** The k most likely tokens stay. Default 0: all. */
  readonly topK?: number;
  /**
   * The most likely tokens stay whose probabilities come to this share, the one that reaches it included. From 0, the
   * most likely alone, to 1, the default: all.
   */
  readonly topP?: number;
  /** Tokens stay whose probability is at least this share of the largest. From 0, the default: all, to 1. */
  readonly minP?: number;
  /**
   * Positive logits of tokens in the prompt or the text so far are divided by it, negative ones multiplied. Above 0;
   * default 1.
   */
  readonly repetitionPenalty?: number;
  /**
   * A whole number from 0 to 2^53 − 1. Default 0. Of several sequences under one seed the next one has the next seed,
   * so that equal prompts give unlike texts.
   */
  readonly seed?: number;
  /** Added to the logits of tokens; −Infinity: never. */
  readonly logitBias?: ReadonlyMap<number, number> | Readonly<Record<number, number>>;
  /**
   * Whether the log-probability of each token is computed: under the logits as they come, before any of the above.
   * Default false.
   */
  readonly logprobs?: boolean;
}

/** Settings, seeds and biases of each sequence, row after row: inputs 1, 2 and 4 of `sample`. */
export interface SamplingTables {
  /** f32[sequences, 7] */
  readonly settings: Float32Array;
  /** u32[sequences, 2] */
  readonly seeds: Uint32Array;
  /** f32[sequences, vocabulary]; null where no sequence has biases, which then are not read. */
  readonly bias: Float32Array | null;
  /** Whether every sequence takes the likeliest token, its logits as they come, and tells no log-probability. */
  readonly greedy: boolean;
  /** Whether any sequence looks at the tokens it has seen. */
  readonly penalised: boolean;
}

/**
 * Tables for so many sequences, all by the same options or each by its own. Throws InputError for an option that is
 * none.
 */
export function samplingTables(
  options: SamplingOptions | readonly SamplingOptions[],
  sequences: number,
  vocabulary: number,
): SamplingTables {
  const each = perSequence(options, sequences);
  const all = each.map((own) => checked(own, vocabulary));
  const settings = new Float32Array(all.flatMap((own) => SAMPLING_COLUMNS.map((name) => own.settings[name])));
  const seeds = new Uint32Array(all.flatMap(({ seed }) => [seed % 2 ** 32, Math.floor(seed / 2 ** 32)]));
  let bias: Float32Array | null = null;
  for (const [i, own] of all.entries())
    if (own.bias.length > 0) {
      bias ??= new Float32Array(sequences * vocabulary);
      for (const [token, value] of own.bias) bias[i * vocabulary + token] = value;
    }
  const penalised = all.some((own) => own.settings.repetitionPenalty !== 1);
  const greedy =
    !penalised &&
    bias === null &&
    all.every((own) => own.settings.temperature === 0 && own.settings.logProbability === 0);
  return { settings, seeds, bias, greedy, penalised };
}

function perSequence(
  options: SamplingOptions | readonly SamplingOptions[],
  sequences: number,
): readonly SamplingOptions[] {
  if (isList(options)) {
    if (options.length !== sequences)
      throw new InputError("sampling", `there are ${sequences} sequences, and options for ${options.length}`);
    return options;
  }
  const { seed } = options;
  return Array.from({ length: sequences }, (_, i) =>
    seed === undefined ? { ...options, ...(i > 0 && drawn(options) && { seed: i }) } : { ...options, seed: seed + i },
  );
}

/** What `Array.isArray` does not tell of readonly lists. */
const isList = (options: SamplingOptions | readonly SamplingOptions[]): options is readonly SamplingOptions[] =>
  Array.isArray(options);

/** Whether a token is drawn at all. */
const drawn = (options: SamplingOptions): boolean => temperatureOf(options) > 0;

const temperatureOf = ({ temperature, topK, topP, minP, seed }: SamplingOptions): number =>
  temperature ?? ([topK, topP, minP, seed].every((o) => o === undefined) ? 0 : 1);

interface Checked {
  readonly settings: Readonly<Record<SamplingColumn, number>>;
  readonly seed: number;
  readonly bias: readonly (readonly [number, number])[];
}

function checked(options: SamplingOptions, vocabulary: number): Checked {
  for (const name of Object.keys(options))
    if (!NAMES.has(name))
      throw new InputError(name, `there is no sampling option ${name}`, `there are ${[...NAMES].join(", ")}`);
  const { topK = 0, topP = 1, minP = 0, repetitionPenalty = 1, seed = 0, logprobs = false } = options;
  const temperature = temperatureOf(options);
  expect(
    "temperature",
    temperature,
    temperature === 0 || (temperature >= LEAST && temperature <= MOST),
    `0, or from ${LEAST} to ${MOST}`,
  );
  expect("topK", topK, Number.isSafeInteger(topK) && topK >= 0, "a whole number, 0 for all tokens");
  expect("topP", topP, topP >= 0 && topP <= 1, "from 0 to 1");
  expect("minP", minP, minP >= 0 && minP <= 1, "from 0 to 1");
  expect(
    "repetitionPenalty",
    repetitionPenalty,
    repetitionPenalty >= LEAST && repetitionPenalty <= MOST,
    `from ${LEAST} to ${MOST}`,
  );
  expect("seed", seed, Number.isSafeInteger(seed) && seed >= 0, "a whole number from 0 to 2^53 − 1");
  expect("logprobs", logprobs, typeof logprobs === "boolean", "true or false");
  const bias = biasOf(options.logitBias, vocabulary);
  return {
    // More than the vocabulary has is all of it.
    settings: {
      temperature,
      topK: Math.min(topK, vocabulary),
      topP,
      minP,
      repetitionPenalty,
      biased: Number(bias.length > 0),
      logProbability: Number(logprobs),
    },
    seed,
    bias,
  };
}

/** Beyond these a 32-bit float no longer tells logits apart, or overflows. */
const LEAST = 1e-4;
const MOST = 1e4;

/** Total by type: an option without a name here does not compile. */
const OPTIONS: Readonly<Record<keyof SamplingOptions, true>> = {
  temperature: true,
  topK: true,
  topP: true,
  minP: true,
  repetitionPenalty: true,
  seed: true,
  logitBias: true,
  logprobs: true,
};
const NAMES: ReadonlySet<string> = new Set(Object.keys(OPTIONS));

function expect(name: string, value: unknown, holds: boolean, what: string): void {
  if (!holds) throw new InputError(name, `${name} must be ${what}, found ${String(value)}`);
}

function biasOf(given: SamplingOptions["logitBias"], vocabulary: number): readonly (readonly [number, number])[] {
  if (given === undefined) return [];
  const entries: Iterable<readonly [number, number]> = isMap(given)
    ? given
    : Object.entries(given).map(([token, value]) => [Number(token), value] as const);
  return Array.from(entries, ([token, value]) => {
    expect(
      "logitBias",
      token,
      Number.isSafeInteger(token) && token >= 0 && token < vocabulary,
      `of tokens from 0 to ${vocabulary - 1}`,
    );
    expect(
      "logitBias",
      value,
      value === -Infinity || (Number.isFinite(value) && Math.abs(value) <= MOST_BIAS),
      `a number up to ${MOST_BIAS} in size, or −Infinity`,
    );
    return [token, value];
  });
}

const isMap = (given: NonNullable<SamplingOptions["logitBias"]>): given is ReadonlyMap<number, number> =>
  given instanceof Map;

/** Far beyond any logit, and far from overflow. */
const MOST_BIAS = 1e6;
