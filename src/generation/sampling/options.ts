// Sampling options: checks them, and converts them to the input tables of the operator `sample`.
import { InputError } from "../../runtime/index.js";
import { SAMPLING_COLUMNS, type SamplingColumn } from "../../ground/numerics/sampling.js";

/**
 * Sampling options, applied in the order of Hugging Face transformers: bias, repetition penalty, temperature, top-k,
 * top-p, min-p. A filter keeps or drops all of several equal logits.
 */
export interface SamplingOptions {
  /**
   * The divisor of the logits; 0: take the largest logit, without filters. Default 0, or 1 if one of `topK`, `topP`,
   * `minP`, `seed` is set.
   */
  readonly temperature?: number;
  /** Keeps the k most likely tokens. Default 0: all. */
  readonly topK?: number;
  /**
   * Keeps the most likely tokens until their total probability reaches this share, including the one that reaches it.
   * From 0, only the most likely token, to 1, the default: all.
   */
  readonly topP?: number;
  /** Keeps tokens whose probability is at least this share of the largest. From 0, the default: all, to 1. */
  readonly minP?: number;
  /**
   * Divides positive logits of tokens that occur in the prompt or the text so far, and multiplies negative ones. Above
   * 0; default 1.
   */
  readonly repetitionPenalty?: number;
  /** Subtracted from the logits of tokens that the generated text has. From −2 to 2; default 0. */
  readonly presencePenalty?: number;
  /** Subtracted from a token's logit for each time that the generated text has it. From −2 to 2; default 0. */
  readonly frequencyPenalty?: number;
  /** An integer from 0 to 2^53 − 1. Default 0. Sequence i uses seed + i, so that equal prompts give different texts. */
  readonly seed?: number;
  /** Added to the logits of tokens; −Infinity: never. */
  readonly logitBias?: ReadonlyMap<number, number> | Readonly<Record<number, number>>;
  /** Whether to compute the log-probability of each token, under the unadjusted logits. Default false. */
  readonly logprobs?: boolean;
}

/** Settings, seeds and biases of a sequence: a row of inputs 1, 2 and 4 of `sample`. */
export interface SamplingTables {
  /** f32[7] */
  readonly settings: Float32Array;
  /** u32[2] */
  readonly seeds: Uint32Array;
  /** f32[vocabulary]; null if no token has a bias: the kernel then does not read them. */
  readonly bias: Float32Array | null;
  /** Whether it takes the token with the largest unadjusted logit and needs no log-probability. */
  readonly greedy: boolean;
  /** Whether it has a repetition penalty, and so reads its set of seen tokens. */
  readonly penalised: boolean;
}

/** Builds the tables of a sequence. Throws InputError for an invalid option. */
export function samplingTables(options: SamplingOptions, vocabulary: number): SamplingTables {
  const { settings, seed, bias: entries } = validate(options, vocabulary);
  let bias: Float32Array | null = null;
  for (const [token, value] of entries) (bias ??= new Float32Array(vocabulary))[token] = value;
  const penalised = settings.repetitionPenalty !== 1;
  return {
    settings: new Float32Array(SAMPLING_COLUMNS.map((name) => settings[name])),
    seeds: Uint32Array.of(seed % 2 ** 32, Math.floor(seed / 2 ** 32)),
    bias,
    greedy: !penalised && bias === null && settings.temperature === 0 && settings.logProbability === 0,
    penalised,
  };
}

/** The options of each sequence, from shared ones or from one set for each. Throws InputError for another number. */
export function perSequence(
  options: SamplingOptions | readonly SamplingOptions[],
  sequences: number,
): readonly SamplingOptions[] {
  if (isList(options)) {
    if (options.length !== sequences)
      throw new InputError("sampling", `there are ${sequences} sequences, and options for ${options.length}`);
    for (const own of options) expectObject(own);
    return options;
  }
  const { seed } = options;
  return Array.from({ length: sequences }, (_, i) =>
    seed === undefined
      ? { ...options, ...(i > 0 && isSampled(options) && { seed: i }) }
      : { ...options, seed: seed + i },
  );
}

function expectObject(options: SamplingOptions): void {
  if (typeof options !== "object" || options === null)
    throw new InputError("sampling", `sampling options must be an object, found ${String(options)}`);
}

/** A type guard: `Array.isArray` does not narrow readonly lists. */
const isList = (options: SamplingOptions | readonly SamplingOptions[]): options is readonly SamplingOptions[] =>
  Array.isArray(options);

/** Whether tokens are drawn at random. */
export const isSampled = (options: SamplingOptions): boolean => temperatureOf(options) > 0;

const temperatureOf = ({ temperature, topK, topP, minP, seed }: SamplingOptions): number =>
  temperature ?? ([topK, topP, minP, seed].every((o) => o === undefined) ? 0 : 1);

interface ValidatedOptions {
  readonly settings: Readonly<Record<SamplingColumn, number>>;
  readonly seed: number;
  readonly bias: readonly (readonly [number, number])[];
}

function validate(options: SamplingOptions, vocabulary: number): ValidatedOptions {
  expectObject(options);
  for (const name of Object.keys(options))
    if (!NAMES.has(name))
      throw new InputError(name, `there is no sampling option ${name}`, `there are ${[...NAMES].join(", ")}`);
  const { topK = 0, topP = 1, minP = 0, repetitionPenalty = 1, seed = 0, logprobs = false } = options;
  const temperature = temperatureOf(options);
  expect(
    "temperature",
    temperature,
    temperature === 0 || (temperature >= MIN_SCALE && temperature <= MAX_SCALE),
    `0, or from ${MIN_SCALE} to ${MAX_SCALE}`,
  );
  expect("topK", topK, Number.isSafeInteger(topK) && topK >= 0, "a whole number, 0 for all tokens");
  expect("topP", topP, topP >= 0 && topP <= 1, "from 0 to 1");
  expect("minP", minP, minP >= 0 && minP <= 1, "from 0 to 1");
  expect(
    "repetitionPenalty",
    repetitionPenalty,
    repetitionPenalty >= MIN_SCALE && repetitionPenalty <= MAX_SCALE,
    `from ${MIN_SCALE} to ${MAX_SCALE}`,
  );
  for (const name of ["presencePenalty", "frequencyPenalty"] as const) {
    const value = options[name] ?? 0;
    expect(name, value, value >= -2 && value <= 2, "from -2 to 2");
  }
  expect("seed", seed, Number.isSafeInteger(seed) && seed >= 0, "a whole number from 0 to 2^53 − 1");
  expect("logprobs", logprobs, typeof logprobs === "boolean", "true or false");
  const bias = biasOf(options.logitBias, vocabulary);
  return {
    // A top-k beyond the vocabulary keeps all tokens.
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

/** Bounds of temperature and repetition penalty: beyond them f32 logits overflow or become indistinguishable. */
export const MIN_SCALE = 1e-4;
const MAX_SCALE = 1e4;

/** Total by type: an option without a name here does not compile. */
const OPTIONS: Readonly<Record<keyof SamplingOptions, true>> = {
  temperature: true,
  topK: true,
  topP: true,
  minP: true,
  repetitionPenalty: true,
  presencePenalty: true,
  frequencyPenalty: true,
  seed: true,
  logitBias: true,
  logprobs: true,
};
const NAMES: ReadonlySet<string> = new Set(Object.keys(OPTIONS));

function expect(name: string, value: unknown, holds: boolean, what: string): void {
  if (!holds) throw new InputError(name, `${name} must be ${what}, found ${String(value)}`);
}

function biasOf(biases: SamplingOptions["logitBias"], vocabulary: number): readonly (readonly [number, number])[] {
  if (biases === undefined) return [];
  const entries: Iterable<readonly [number, number]> = isMap(biases)
    ? biases
    : Object.entries(biases).map(([token, value]) => [Number(token), value] as const);
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
      value === -Infinity || (Number.isFinite(value) && Math.abs(value) <= MAX_BIAS),
      `a number up to ${MAX_BIAS} in size, or −Infinity`,
    );
    return [token, value];
  });
}

const isMap = (biases: NonNullable<SamplingOptions["logitBias"]>): biases is ReadonlyMap<number, number> =>
  biases instanceof Map;

/** Far larger than any logit, without overflow. */
const MAX_BIAS = 1e6;
