// Samples for choosing the next token, and for the set of seen tokens.
import type { Node } from "../../../src/compiler/ir/graph.js";
import { axisSize } from "../../../src/ground/size/size.js";
import { SAMPLING_COLUMNS, seenWords } from "../../../src/ground/numerics/sampling.js";
import type { SamplingSettings } from "../../../src/compiler/ops/sampling.js";
import type { Bench, Random } from "./bench.js";
import type { Sample, Samples } from "./samples.js";
import { exact, within } from "./tolerance.js";

type Values = readonly number[] | ((random: Random) => number);

/** Settings that change nothing. */
export const PLAIN: SamplingSettings = {
  temperature: 1,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  biased: 0,
  logProbability: 1,
};

/** Inputs of `sample` for sequences of these settings, with random seeds and positions. */
export function sampleInputs(
  b: Bench,
  vocabulary: number,
  settings: readonly Partial<SamplingSettings>[],
  {
    logits = (r) => 3 * r.normal(),
    bias = (r) => r.normal(),
  }: { readonly logits?: Values; readonly bias?: Values } = {},
): readonly Node[] {
  const rows = settings.length;
  const word = (r: Random): number => r.below(2 ** 16) * 2 ** 16 + r.below(2 ** 16);
  return [
    b.data("f32", [rows, vocabulary], logits),
    b.data(
      "f32",
      [rows, SAMPLING_COLUMNS.length],
      settings.flatMap((own) => SAMPLING_COLUMNS.map((name) => own[name] ?? PLAIN[name])),
    ),
    b.data("u32", [rows, 2], word),
    b.data("u32", [rows], (r) => r.below(5000)),
    b.data("f32", [rows, vocabulary], bias),
    b.data("u32", [rows, seenWords(vocabulary)], word),
  ];
}

const draws = (
  name: string,
  vocabulary: number,
  settings: readonly Partial<SamplingSettings>[],
  values: Parameters<typeof sampleInputs>[3] = {},
): Sample<"sample"> => ({
  name,
  build: (b) => b.node("sample", sampleInputs(b, vocabulary, settings, values), {}),
});

const by = (...settings: readonly Partial<SamplingSettings>[]): readonly Partial<SamplingSettings>[] => settings;
/** Few values, so that many tokens are tied, at every bound. */
const tied = (r: Random): number => r.below(6) / 2;

const FILTERS = by(
  {},
  { temperature: 0.7 },
  { topK: 1 },
  { topK: 5, temperature: 1.5 },
  { topK: 60 },
  { topK: 120 },
  { topK: 700 },
  { topP: 0 },
  { topP: 0.5 },
  { topP: 0.95, temperature: 0.8 },
  { topP: 0.999 },
  { minP: 0.1 },
  { minP: 1 },
  { minP: 0.001, temperature: 2 },
  { topK: 50, topP: 0.9, minP: 0.05, temperature: 0.9 },
  { topP: 0.8, minP: 0.3, repetitionPenalty: 1.3 },
  { temperature: 0, repetitionPenalty: 1.7, biased: 1 },
  { temperature: 1.2, repetitionPenalty: 0.8, biased: 1, topK: 40 },
);

export const samplingSamples: Samples<"sample" | "mark"> = {
  sample: within(
    {
      relative: 2e-6,
      absolute: 2e-6,
      why: "log-probabilities: exp of a difference, an exact sum and a logarithm; tokens are whole numbers, and exact",
    },
    [
      {
        ...draws("greedy takes the first of equals, and knows its probability", 4, by({ temperature: 0 }), {
          logits: [0, 1, 1, 0],
        }),
        expected: [[1], [1 - Math.log(2 + 2 * Math.E)]],
      },
      {
        ...draws(
          "bias before penalty, none where it is not asked for",
          2,
          by({ temperature: 0, biased: 1, logProbability: 0 }),
          {
            logits: [1, 2],
            bias: [3, 0.5],
          },
        ),
        expected: [[0], [0]],
      },
      {
        ...draws(
          "NaN is taken first, infinity next, and nothing is the first token",
          3,
          [{ temperature: 0 }, {}, { topK: 2 }, { topP: 0.5 }],
          {
            logits: [1, NaN, NaN, 5, 1, Infinity, -Infinity, -Infinity, -Infinity, -Infinity, 7, -Infinity],
          },
        ),
        expected: [
          [1, 2, 0, 1],
          [NaN, NaN, NaN, 0],
        ],
      },
      draws("a byte's vocabulary, every filter", 256, FILTERS),
      draws("ties at every bound", 300, FILTERS, { logits: tied }),
      draws("more tokens than are held", 3000, FILTERS),
      draws("more ties than are held", 5000, FILTERS, { logits: tied }),
      draws("flat: top-p needs nearly all", 2000, by({ topP: 0.95 }, { topP: 0.5, minP: 0.99 }), {
        logits: (r) => r.normal() / 100,
      }),
      draws(
        "banned tokens and a wished one",
        70,
        by({ biased: 1 }, { biased: 1, topK: 9, repetitionPenalty: 2 }, { biased: 1, temperature: 0 }),
        {
          bias: (r) => (r.below(3) === 0 ? -Infinity : r.below(5)),
        },
      ),
      draws("one token", 1, by({}, { temperature: 0 }, { topK: 3, topP: 0.1, minP: 0.5 })),
      draws("very cold", 500, by({ temperature: 1e-6 }, { temperature: 1e-30, topP: 0.5 })),
    ],
  ),
  mark: within(exact, [
    {
      name: "worked by hand",
      build: (b) => b.node("mark", [b.data("u32", [2, 2], [1, 0, 0, 2 ** 31]), b.data("u32", [2], [33, 63])], {}),
      expected: [[1, 2, 0, 2 ** 31]],
    },
    {
      name: "tokens beyond the set are none",
      build: (b) => b.node("mark", [b.data("u32", [2, 1], [4, 5]), b.data("u32", [2], [32, 2 ** 32 - 1])], {}),
      expected: [[4, 5]],
    },
    {
      name: "rows of unequal lengths, bits of one word at once",
      setting: { batch: 4, tokens: 150, lengths: [150, 1, 0, 70] },
      build: (b) => {
        // The set is as long as the batch.
        const seen = b.node("broadcast", [b.data("u32", [1, 3], [0, 8, 2 ** 31])], { shape: [axisSize("B"), 3] });
        return b.node("mark", [seen, b.rows([], [], "u32", (r) => r.below(100)), b.starts("T")], {});
      },
    },
  ]),
};
