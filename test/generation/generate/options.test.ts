// Options of sampling become the tables the device reads, and what is no option is refused by name.
import { describe, expect, it } from "vitest";
import {
  perSequence,
  samplingTables,
  type SamplingOptions,
  type SamplingTables,
} from "../../../src/generation/sampling/options.js";
import { InputError } from "../../../src/runtime/index.js";

const tables = (
  options: SamplingOptions | readonly SamplingOptions[],
  sequences = 1,
  vocabulary = 100,
): readonly SamplingTables[] => perSequence(options, sequences).map((own) => samplingTables(own, vocabulary));
const rows = (options: SamplingOptions): readonly number[] => [...samplingTables(options, 100).settings];
const message = (options: SamplingOptions | readonly SamplingOptions[], sequences = 1): string => {
  try {
    tables(options, sequences);
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    return (error as InputError).message; // just seen
  }
  return "";
};

describe("sampling options", () => {
  it("are greedy by default, and draw where something is asked that only a draw can give", () => {
    expect(rows({})).toEqual([0, 0, 1, 0, 1, 0, 0]);
    expect(rows({ topK: 5 })).toEqual([1, 5, 1, 0, 1, 0, 0]);
    expect(rows({ seed: 5 })[0]).toBe(1);
    expect(rows({ repetitionPenalty: 2 })).toEqual([0, 0, 1, 0, 2, 0, 0]);
    expect(rows({ temperature: 0, topP: 0.5, minP: 0.25, logprobs: true })).toEqual([0, 0, 0.5, 0.25, 1, 0, 1]);
  });

  it("keep no more tokens than there are", () => expect(rows({ topK: 1e9 })[1]).toBe(100));

  it("give each sequence its seed, by two words", () => {
    const seeds = (...given: Parameters<typeof tables>): readonly number[] =>
      tables(...given).flatMap((own) => [...own.seeds]);
    expect(seeds({ seed: 2 ** 32 - 1 }, 3, 9)).toEqual([2 ** 32 - 1, 0, 0, 1, 1, 1]);
    expect(seeds([{ seed: 7 }, {}, { seed: 7 }], 3, 9)).toEqual([7, 0, 0, 0, 7, 0]);
    expect(seeds({ temperature: 1 }, 3, 9)).toEqual([0, 0, 1, 0, 2, 0]);
  });

  it("add biases to the sequences that have them", () => {
    const all = tables([{}, { logitBias: { 2: -Infinity } }, { logitBias: new Map([[0, 1.5]]) }], 3, 3);
    expect(all.map(({ bias }) => bias && [...bias])).toEqual([null, [0, 0, -Infinity], [1.5, 0, 0]]);
    expect(all.map(({ settings }) => settings[5])).toEqual([0, 1, 1]);
    expect(samplingTables({ logitBias: {} }, 3).bias).toBeNull();
  });

  it("say whether seen tokens matter", () => {
    expect(samplingTables({ repetitionPenalty: 1 }, 3).penalised).toBe(false);
    expect(samplingTables({ repetitionPenalty: 1.1 }, 3).penalised).toBe(true);
  });

  it.each<[string, SamplingOptions]>([
    ["temperature must be 0, or from 0.0001 to 10000, found -1", { temperature: -1 }],
    ["temperature must be 0, or from 0.0001 to 10000, found NaN", { temperature: NaN }],
    ["topK must be a whole number, 0 for all tokens, found 1.5", { topK: 1.5 }],
    ["topP must be from 0 to 1, found 1.01", { topP: 1.01 }],
    ["minP must be from 0 to 1, found NaN", { minP: NaN }],
    ["repetitionPenalty must be from 0.0001 to 10000, found 0", { repetitionPenalty: 0 }],
    ["seed must be a whole number from 0 to 2^53 − 1, found -3", { seed: -3 }],
    ["logitBias must be of tokens from 0 to 99, found 100", { logitBias: { 100: 1 } }],
    ["logitBias must be a number up to 1000000 in size, or −Infinity, found Infinity", { logitBias: { 1: Infinity } }],
    ["there is no sampling option top_k", { top_k: 3 } as SamplingOptions],
  ])("%s", (expected, options) => expect(message(options)).toBe(expected));

  it("are as many as there are sequences", () =>
    expect(message([{}, {}], 3)).toBe("there are 3 sequences, and options for 2"));
});
