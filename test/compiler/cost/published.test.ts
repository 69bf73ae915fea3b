// Parameters of published models from their configurations; of mixtures of experts also those active for a token.
import { afterAll, describe, expect, it } from "vitest";
import { check } from "../../../src/language/check/check.js";
import { ledger, type Ledger } from "../../../src/compiler/cost/ledger.js";
import { formatDiagnostics } from "../../../src/language/diagnostics/format.js";
import { parseConfig } from "../../../src/models/families/config.js";
import { decoderSource } from "../../../src/models/families/source/decoder.js";
import { lower } from "../../../src/compiler/lower/lower.js";
import { byTurns } from "../../soak.js";
import { DECODERS } from "./published-decoders.js";
import { ENCODERS } from "./published-encoders.js";
import { PUBLISHED } from "./published-folders.js";

/** By text and depth: most are asked for again. */
const known = new Map<string, Ledger>();
afterAll(() => known.clear());

function ledgerOf(text: string, depth: number): Ledger {
  const key = `${depth} ${text}`;
  const found = known.get(key) ?? countedOf(text, depth);
  known.set(key, found);
  return found;
}

function countedOf(text: string, depth: number): Ledger {
  const checked = check({ file: "m.mod", text }, { phase: "infer", set: { depth: String(depth) }, read: () => null });
  if (!checked.model) throw new Error(formatDiagnostics(checked.diagnostics, { sources: checked.sources }));
  // What is read of a weight is the same before the passes and after them.
  return ledger(lower(checked.model), checked.model, {
    extents: new Map([
      ["B", 1],
      ["T", 64],
    ]),
  });
}

interface Counts {
  readonly all: number;
  readonly active: number;
  readonly tables: number;
  readonly heads: number;
  readonly states: number;
}

const countsOf = ({ total, active, embeddingParameters, headParameters, stateValues }: Ledger): Counts => ({
  all: total.parameters,
  active: active.total,
  tables: embeddingParameters,
  heads: headParameters,
  states: stateValues,
});

/** The counts for a model whose layers after the first `front` are equal, extrapolated from one and two such layers. */
function countsAt(text: string, depth: number, front = 0): Counts {
  const [one, two] = [countsOf(ledgerOf(text, front + 1)), countsOf(ledgerOf(text, front + 2))];
  const at = (of: (c: Counts) => number): number => of(one) + (depth - front - 1) * (of(two) - of(one));
  return {
    all: at((c) => c.all),
    active: at((c) => c.active),
    tables: at((c) => c.tables),
    heads: at((c) => c.heads),
    states: at((c) => c.states),
  };
}

const sourceOf = (name: keyof typeof PUBLISHED): string => decoderSource(parseConfig(JSON.stringify(PUBLISHED[name])));
const billions = (n: number, digits: number): string => (n / 1e9).toFixed(digits);

describe("published parameters", () => {
  it.each([
    ["Mixtral-8x7B", 32, 46_702_792_704, 12_879_925_248],
    ["Qwen3-30B-A3B", 48, 30_532_122_624, 3_353_032_704],
    ["Qwen3-235B-A22B", 94, 235_093_634_560, 22_190_763_520],
    ["OLMoE-1B-7B", 16, 6_919_161_856, 1_282_017_280],
    ["Qwen1.5-MoE-A2.7B", 24, 14_315_784_192, 2_689_173_504],
  ] as const)("of %s", (name, depth, all, active) => {
    expect(countsAt(sourceOf(name), depth)).toMatchObject({ all, active, states: 0 });
  });

  it.each([
    ["GPT-2", 12, 124_439_808],
    ["OPT-125m", 12, 125_239_296],
    ["BLOOM-560m", 24, 559_214_592],
    ["Falcon-7B", 32, 6_921_720_704],
    ["MPT-7B", 32, 6_649_286_656],
    ["DBRX", 40, 131_596_523_520],
  ] as const)("of %s", (name, depth, all) => {
    expect(countsAt(sourceOf(name), depth).all).toBe(all);
  });

  it("are those of whole models, whose layers are as alike as two of them", () => {
    // The short run has the one of few experts.
    for (const [name, depth] of byTurns([["Mixtral-8x7B", 32] as const, ["Qwen3-30B-A3B", 48] as const], 2))
      expect(countsOf(ledgerOf(sourceOf(name), depth))).toEqual(countsAt(sourceOf(name), depth));
  });

  it("of Qwen3-30B-A3B without embeddings are 29.9 billion: without table and head", () => {
    const { all, tables, heads } = countsAt(sourceOf("Qwen3-30B-A3B"), 48);
    expect(billions(all - tables - heads, 2)).toBe("29.91");
  });

  it("of DeepSeek-V3, whose published number counts the biases that lift scores", () => {
    const { all, active, tables, states } = countsAt(sourceOf("DeepSeek-V3"), 61, 3);
    expect(states).toBe(58 * 256);
    expect(all + states).toBe(671_026_419_200);
    expect([billions(active, 2), billions(active - tables, 2)]).toEqual(["37.55", "36.63"]);
  });

  it("of DeepSeek-V2-Lite", () => {
    const { all, active, tables } = countsAt(sourceOf("DeepSeek-V2-Lite"), 27, 1);
    expect(all).toBe(15_706_484_224);
    expect(billions(active - tables, 2)).toBe("2.45");
  });

  it("of LongCat-Flash, of whose 12 experts a token takes 8 with weights on average", () => {
    const text = sourceOf("LongCat-Flash");
    const { all, active, tables } = countsAt(text, 28);
    const expert = 28 * 3 * 6144 * 2048;
    expect(billions(all, 1)).toBe("560.7");
    const least = active - tables - 8 * expert;
    expect([0, 8, 12].map((n) => billions(least + n * expert, 2))).toEqual(["18.69", "27.15", "31.38"]);
  });

  it.each(Object.entries(DECODERS))("of %s, a dense decoder", (_, { config, depth, parameters }) => {
    expect(countsAt(decoderSource(parseConfig(JSON.stringify(config))), depth).all).toBe(parameters);
  });

  it.each(Object.entries(ENCODERS))("of %s, an encoder", (_, { config, depth, front, parameters }) => {
    expect(countsAt(decoderSource(parseConfig(JSON.stringify(config))), depth, front).all).toBe(parameters);
  });

  it.each([
    ["gpt-oss-20b", 24, 20_914_757_184, "3.608"],
    ["gpt-oss-120b", 36, 116_829_156_672, "5.133"],
  ] as const)("of %s", (name, depth, all, active) => {
    const found = countsAt(sourceOf(name), depth);
    expect(found.all).toBe(all);
    expect(billions(found.active - found.tables, 3)).toBe(active);
  });
});
