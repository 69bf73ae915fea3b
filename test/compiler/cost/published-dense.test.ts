// Parameters of published dense decoders from their configurations, as their authors count them.
import { expect, it } from "vitest";
import { ledger } from "../../../src/compiler/cost/ledger.js";
import { lower } from "../../../src/compiler/lower/lower.js";
import { formatDiagnostics } from "../../../src/language/diagnostics/format.js";
import { check } from "../../../src/language/check/check.js";
import { parseConfig } from "../../../src/models/families/config.js";
import { decoderSource } from "../../../src/models/families/source/decoder.js";

interface Counts {
  readonly all: number;
  /** Without the table of tokens, and without the head if it is not the table. */
  readonly inner: number;
}

/** All layers are alike: the counts of one and of two layers give the counts of `depth` layers. */
function countsOf(config: Readonly<Record<string, unknown>>): Counts {
  const text = decoderSource(parseConfig(JSON.stringify(config)));
  const at = (depth: number): Counts => {
    const checked = check({ file: "m.mod", text }, { phase: "infer", set: { depth: `${depth}` }, read: () => null });
    if (!checked.model) throw new Error(formatDiagnostics(checked.diagnostics, { sources: checked.sources }));
    const found = ledger(lower(checked.model), checked.model, {
      extents: new Map([
        ["B", 1],
        ["T", 64],
      ]),
    });
    const all = found.total.parameters;
    const head = config["tie_word_embeddings"] === true ? 0 : found.headParameters;
    return { all, inner: all - found.embeddingParameters - head };
  };
  const [one, two] = [at(1), at(2)];
  const depth = config["num_hidden_layers"] as number;
  const whole = (of: (counts: Counts) => number): number => of(one) + (depth - 1) * (of(two) - of(one));
  return { all: whole(({ all }) => all), inner: whole(({ inner }) => inner) };
}

const sized = (
  model_type: string,
  [vocab_size, hidden_size, intermediate_size, num_hidden_layers]: readonly [number, number, number, number],
  [num_attention_heads, num_key_value_heads]: readonly [number, number],
  more: Readonly<Record<string, unknown>>,
) => ({
  model_type,
  vocab_size,
  hidden_size,
  intermediate_size,
  num_hidden_layers,
  num_attention_heads,
  num_key_value_heads,
  ...more,
});
const [tied, untied] = [{ tie_word_embeddings: true }, { tie_word_embeddings: false }];

it("of starcoder2-3b are 3,030,371,328", () => {
  const config = sized("starcoder2", [49152, 3072, 12288, 30], [24, 2], { sliding_window: 4096, ...tied });
  expect(countsOf(config).all).toBe(3_030_371_328);
});

it("of MiniCPM-2B without embeddings are 2,442,057,984 (arXiv 2404.06395)", () => {
  const factors = { scale_emb: 12, scale_depth: 1.4, dim_model_base: 256 };
  expect(countsOf(sized("minicpm", [122753, 2304, 5760, 40], [36, 36], { ...factors, ...tied })).inner).toBe(
    2_442_057_984,
  );
});

it.each([
  ["granite-3.1-2b-base", "2.53", sized("granite", [49155, 2048, 8192, 40], [32, 8], tied)],
  ["SmolLM3-3B", "3.08", sized("smollm3", [128256, 2048, 11008, 36], [16, 4], tied)],
  ["Seed-OSS-36B", "36.15", sized("seed_oss", [155136, 5120, 27648, 64], [80, 8], { head_dim: 128, ...untied })],
  ["Minitron-4B-Base", "4.19", sized("nemotron", [256000, 3072, 9216, 32], [24, 8], { head_dim: 128, ...untied })],
  ["ERNIE-4.5-0.3B", "0.36", sized("ernie4_5", [103424, 1024, 3072, 18], [16, 2], { head_dim: 128, ...tied })],
  ["Apertus-8B", "8.05", sized("apertus", [131072, 4096, 21504, 32], [32, 8], untied)],
  ["Hunyuan-7B", "7.50", sized("hunyuan_v1_dense", [128167, 4096, 14336, 32], [32, 8], { head_dim: 128, ...tied })],
] as const)("of %s are %s billion", (_, billions, config) => {
  expect((countsOf(config).all / 1e9).toFixed(2)).toBe(billions);
});

it.each([
  ["EXAONE-4.0-1.2B", "1.07", sized("exaone4", [102400, 2048, 4096, 30], [32, 8], { sliding_window: null, ...tied })],
  ["EXAONE-4.0-32B", "30.95", sized("exaone4", [102400, 5120, 27392, 64], [40, 8], untied)],
] as const)("of %s without embeddings are %s billion", (_, billions, config) => {
  expect((countsOf(config).inner / 1e9).toFixed(2)).toBe(billions);
});
