// Sampling of the next token, and the set of tokens that occur in a sequence. Filters apply in the order of Hugging
// Face transformers (`_get_logits_processor`): bias, repetition penalty, temperature, top-k, top-p, min-p. Each filter
// keeps all tokens from some logit upwards, so it keeps or drops several equal logits together, and always keeps the
// largest.
import { exactly } from "../../ground/base/collections.js";
import { packedAxis, printType } from "../ir/typing.js";
import { addSizes, equalSizes, multiplySizes, type Size } from "../../ground/size/size.js";
import { SAMPLING_COLUMNS, sampleWord, seenWords, type SamplingColumn } from "../../ground/numerics/sampling.js";
import type { OpTable, Tensor } from "./define.js";
import { bytesOf, elements, expectDtype, expectPacked, expectType, mismatch, startsShape } from "./shapes.js";
import { at, tensor } from "./tensors.js";

export type SamplingSettings = { readonly [C in SamplingColumn]: number };

/** The inputs of `sample` for one sequence. */
export interface SampleRow {
  readonly logits: Float64Array;
  readonly settings: SamplingSettings;
  readonly seed: readonly [number, number];
  readonly position: number;
  readonly bias: Float64Array;
  /** A bit set over the tokens. */
  readonly seen: Float64Array;
}

export const sampling: Pick<OpTable, "sample" | "mark"> = {
  sample: {
    doc: "the next token of each sequence and, where asked for, its log-probability under the logits as they came",
    infer(inputs) {
      const logits = expectDtype(inputs, 0, "f32");
      const [sequences, vocabulary] = logits.shape;
      if (logits.shape.length !== 2 || typeof vocabulary !== "number" || vocabulary === 0 || vocabulary > MAX_TOKENS)
        mismatch(`logits must be f32[sequences, vocabulary], found ${printType(logits)}`);
      const [rows, tokens] = [sequences!, vocabulary as number]; // both were checked above
      expectType(inputs, 1, "f32", [rows, SAMPLING_COLUMNS.length]);
      expectType(inputs, 2, "u32", [rows, 2]);
      expectType(inputs, 3, "u32", [rows]);
      expectType(inputs, 4, "f32", [rows, tokens]);
      expectType(inputs, 5, "u32", [rows, seenWords(tokens)]);
      return [
        { dtype: "u32", shape: [rows] },
        { dtype: "f32", shape: [rows] },
      ];
    },
    // The maximum, exponentials and their sum over all logits; the filters then process a few large ones.
    cost: (inputs, _attrs, results) => ({
      flops: multiplySizes(6, elements(inputs[0]!)),
      bytes: addSizes(bytesOf(inputs), bytesOf(results)),
    }),
    evaluate(inputs) {
      const rows = sampleRows(inputs);
      const tokens = tensor("u32", [rows.length]);
      const logProbabilities = tensor("f32", [rows.length]);
      rows.forEach((row, b) => {
        const token = drawToken(row);
        tokens.data[b] = token;
        logProbabilities.data[b] = logProbabilityOf(row, token);
      });
      return [tokens, logProbabilities];
    },
    rows: null,
    tokens: "own",
    columns: null,
    grad: null,
    lower: { kind: "kernel" },
  },
  mark: {
    doc: "a set of tokens for each sequence, a bit a token, with those of the sequence's rows added",
    infer(inputs, _attrs, context) {
      const packed = inputs.length === 3;
      const seen = expectDtype(inputs, 0, "u32");
      if (seen.shape.length !== 2 || typeof seen.shape[1] !== "number")
        mismatch(`a set must be u32[sequences, words], found ${printType(seen)}`);
      const tokens = expectDtype(inputs, 1, "u32");
      if (packed) {
        expectPacked(tokens.shape, 0);
        expectType(inputs, 2, "u32", startsShape(context));
        if (!equalSizes(seen.shape[0]!, context.batch) && packedAxis(seen.shape[0]!) === null)
          mismatch(`a set must be one for each sequence, found ${printType(seen)}`);
      } else expectType(inputs, 1, "u32", [seen.shape[0]!]);
      if (tokens.shape.length !== 1) mismatch(`tokens must be numbers in a row, found ${printType(tokens)}`);
      return [seen];
    },
    cost: (inputs) => {
      const tokens: Size = elements(inputs[1]!);
      return { flops: 0, bytes: multiplySizes(12, tokens) };
    },
    evaluate(inputs) {
      const seen = at(inputs, 0);
      const tokens = at(inputs, 1).data;
      const words = seen.shape[1]!;
      const out = tensor("u32", seen.shape, seen.data.slice());
      const starts = inputs.length === 3 ? at(inputs, 2).data : null;
      for (let b = 0; b < (starts ? Math.min(seen.shape[0]!, starts.length - 1) : seen.shape[0]!); b++)
        for (let row = starts ? starts[b]! : b; row < (starts ? starts[b + 1]! : b + 1); row++) {
          const token = tokens[row]!;
          const word = b * words + (token >>> 5);
          if (token >>> 5 < words) out.data[word] = (out.data[word]! | (1 << (token & 31))) >>> 0;
        }
      return [out];
    },
    rows: null,
    tokens: "all",
    columns: null,
    grad: null,
    lower: { kind: "kernel", inPlace: [0] },
  },
};

/**
 * Masses are sums of values of at most 1 in fixed point with 24 integer bits and 8 fractional bits, and kernels store
 * token numbers in 24 bits.
 */
const MAX_TOKENS = 2 ** 24;

/** The inputs of `sample` for each sequence. */
export function sampleRows(inputs: readonly Tensor[]): readonly SampleRow[] {
  const [sequences, vocabulary] = exactly(2, at(inputs, 0).shape);
  const row = (input: number, b: number, width: number): Float64Array =>
    at(inputs, input).data.subarray(b * width, (b + 1) * width);
  return Array.from({ length: sequences }, (_, b) => {
    const settings = row(1, b, SAMPLING_COLUMNS.length);
    const [low, high] = exactly(2, [...row(2, b, 2)]);
    return {
      logits: row(0, b, vocabulary),
      // has every column of the settings
      settings: Object.fromEntries(SAMPLING_COLUMNS.map((name, i) => [name, settings[i]!])) as SamplingSettings,
      seed: [low, high],
      position: at(inputs, 3).data[b]!,
      bias: row(4, b, vocabulary),
      seen: row(5, b, seenWords(vocabulary)),
    };
  });
}

/** Logits with bias and repetition penalty; greedy decoding takes the largest of them. */
export function adjustedLogits({ logits, settings, bias, seen }: SampleRow): Float64Array {
  return logits.map((logit, token) => {
    const x = settings.biased > 0 ? logit + bias[token]! : logit;
    const penalised = settings.repetitionPenalty !== 1 && ((seen[token >>> 5]! >>> (token & 31)) & 1) === 1;
    if (!penalised || !Number.isFinite(x)) return x;
    return x < 0 ? x * settings.repetitionPenalty : x / settings.repetitionPenalty;
  });
}

/** Index of the first maximum; NaN is larger than any number, as in `argmax`. */
function largest(x: Float64Array): number {
  let best = 0;
  for (let i = 1; i < x.length; i++) if (!Number.isNaN(x[best]) && (Number.isNaN(x[i]) || x[i]! > x[best]!)) best = i;
  return best;
}

/**
 * Whether a token is drawn at random: not for temperature 0, and not if the maximum is not finite, which is then
 * chosen.
 */
export const draws = (x: Float64Array, { temperature }: SamplingSettings): boolean =>
  temperature > 0 && Number.isFinite(x[largest(x)]);

function drawToken(row: SampleRow): number {
  const x = adjustedLogits(row);
  if (!draws(x, row.settings)) return largest(x);
  const weights = keptWeights(x, row.settings);
  const goal = (sampleWord(row.seed, row.position) / 2 ** 32) * weights.reduce((s, w) => s + w, 0);
  let sum = 0;
  let last = 0;
  for (let token = 0; token < weights.length; token++) {
    if (weights[token] === 0) continue;
    last = token;
    sum += weights[token]!;
    if (sum > goal) break;
  }
  return last;
}

/** Sampling weights: exp((x − max x) / temperature) of the tokens that the filters keep, 0 for the others. */
export function keptWeights(x: Float64Array, settings: SamplingSettings): Float64Array {
  const { temperature, topK, topP, minP } = settings;
  const max = x[largest(x)]!;
  const weights = x.map((v) => Math.exp((v - max) / temperature));
  const sorted = x.toSorted((a, b) => b - a);
  const k = Math.floor(topK);
  const least = k > 0 && k < x.length ? sorted[k - 1]! : -Infinity;
  // Top-p keeps a value if the larger values that top-k kept have less mass than the share.
  let bound = least;
  if (topP < 1) {
    const among = x.reduce((s, v, i) => (v >= least ? s + weights[i]! : s), 0);
    let above = 0;
    for (let i = 0; i < sorted.length && sorted[i]! >= least && (i === 0 || above < topP * among);) {
      bound = sorted[i]!;
      while (i < sorted.length && sorted[i] === bound) above += Math.exp((sorted[i++]! - max) / temperature);
    }
  }
  const shortfall = minP > 0 ? Math.min(Math.log(minP), 0) : -Infinity;
  return weights.map((w, i) => (x[i]! >= bound && (x[i]! - max) / temperature >= shortfall ? w : 0));
}

/**
 * ln softmax(logits)[token] without bias, penalty and temperature; NaN if the maximum is not finite; 0 if not
 * requested.
 */
function logProbabilityOf({ logits, settings }: SampleRow, token: number): number {
  const max = logits[largest(logits)]!;
  if (!Number.isFinite(max)) return NaN;
  if (!(settings.logProbability > 0)) return 0;
  return logits[token]! - max - Math.log(logits.reduce((s, v) => s + Math.exp(v - max), 0));
}
