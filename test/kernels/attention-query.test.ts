// Attention with few queries, by subgroups and by workgroup memory, agrees with the reference. Samples: plain
// attention, attention that keeps statistics for its gradient, attention over paged keys, with and without keys
// divided among workgroups, and attention that reads pairs of tokens. The number of queries decides which kernel
// runs, and the number of visible keys how the keys are divided.
import { beforeAll, describe, expect, it } from "vitest";
import type { Node } from "../../src/compiler/ir/graph.js";
import type { OpName } from "../../src/compiler/ir/vocabulary.js";
import { PORTABLE, type Target } from "../../src/runtime/program/target.js";
import type { Device } from "../../src/runtime/index.js";
import { schedule } from "../../src/compiler/schedule/schedule.js";
import { queryWorkload } from "../../src/tools/tune/attention.js";
import { boundOf } from "../../src/tools/tune/bound.js";
import { queryName, type QueryAttention } from "../../src/compiler/schedule/tunings/attention-query.js";
import { tuningsFor, type Tunings } from "../../src/compiler/schedule/tunings/index.js";
import { testDevice } from "../device.js";
import { Bench, type Case } from "../compiler/ops/bench.js";
import { caseOf, samples, type Sample } from "../compiler/ops/samples.js";
import { byTurns } from "../soak.js";
import { compareOnDevice, runOnDevice } from "./operators.js";

/** Whatever the number of queries. */
const ANY = 65_536;

const tuningsOf = (target: Target, few: QueryAttention): Tunings => {
  const own = tuningsFor(target);
  return { ...own, attention: { ...own.attention, few } };
};
/** The kernels that a case may run. */
const filesOf = ({ graph }: Case, target: Target, tunings: Tunings): readonly string[] =>
  schedule(graph, target, tunings).steps.flatMap((s) => (s.kind === "dispatch" ? [s.kernel.file] : []));

const WAYS: readonly QueryAttention[] = [
  { lanes: 64, least: null, most: ANY, part: null },
  { lanes: 64, least: 4, most: ANY, part: null },
  { lanes: 256, least: null, most: ANY, part: 16 },
  { lanes: 256, least: 8, most: ANY, part: 24 },
  { lanes: 64, least: null, most: ANY, part: 1 },
  { lanes: 64, least: 4, most: ANY, part: 2 },
];

/** One head of each width, and values of another, over several blocks of keys. */
const WIDTHS: readonly (readonly [number, number])[] = [
  [1, 3],
  [6, 20],
  [64, 64],
  [80, 96],
  [128, 132],
  [36, 288],
];
const widths = WIDTHS.map(([width, values]): Sample<"attention"> => {
  const heads = (b: Bench, n: number, w: number): Node => b.rows([n], [w]);
  return {
    name: `heads of ${width} and ${values}`,
    setting: { batch: 2, tokens: 150, lengths: [150, 9] },
    build: (b) =>
      b.node(
        "attention",
        [
          heads(b, 4, width),
          heads(b, 2, width),
          heads(b, 2, values),
          b.starts("T"),
          b.starts("T"),
          b.positions("T"),
          b.positions("T"),
        ],
        { causal: true, window: 0, scale: 1 / Math.sqrt(width) },
      ),
  };
});

interface Tried {
  readonly op: OpName;
  readonly name: string;
  readonly of: Case;
}
const TRIED: readonly Tried[] = [
  ...widths.map((s): Tried => ({ op: "attention", name: s.name, of: caseOf("attention", s) })),
  ...(["attention", "attention_kept", "paged_attention", "pair_attention"] as const).flatMap((op) =>
    samples[op].list.map((s): Tried => ({ op, name: `${op}: ${s.name}`, of: caseOf(op, s as Sample<typeof op>) })),
  ),
].filter(({ op, name }) => op === "pair_attention" || !/weight/.test(name));

let device: Device;
beforeAll(async () => {
  device = await testDevice("default");
});

describe.each(WAYS.map((few, turn) => [queryName(few), few, turn] as const))("%s", (_name, few, turn) => {
  it.each(byTurns(TRIED, 7, turn).map((tried) => [tried.name, tried] as const))(
    "%s",
    { tags: "long" },
    async (name, { op, of }) => {
      if (few.least !== null && few.least > (device.target.subgroups?.[0] ?? 0)) return;
      const tunings = tuningsOf(device.target, few);
      const files = filesOf(of, device.target, tunings).filter((f) => f.startsWith("attention"));
      const family = op === "pair_attention" ? "attention_pairs_" : "attention_";
      const file = `${family}${few.least === null ? "query_shared" : "query"}`;
      expect(files[0]).toBe(file);
      if (few.part !== null && widths.some((w) => w.name === name))
        expect(files.slice(0, 3)).toEqual([file, file, "attention_parts"]);
      await compareOnDevice(device, op, of, device.target, tunings);
    },
  );
});

/** Attention in which the rows of each sequence see each other. */
function attended(lengths: readonly number[]): Case {
  const b = new Bench({ batch: lengths.length, tokens: Math.max(...lengths), lengths }, 5);
  const of = (n: number, width: number): Node => b.rows([n], [width], "f32", (r) => 3 * r.normal());
  const [starts, positions] = [b.starts("T"), b.positions("T")];
  const inputs = [of(3, 24), of(1, 24), of(1, 12), starts, starts, positions, positions];
  return b.finish(b.node("attention", inputs, { causal: true, window: 0, scale: 0.4 }), "attended");
}

it.each([
  [[8], true],
  [[5, 0, 3], true],
  [[9], false],
  [[8, 1], false],
] as const)("of sequences of %j: computed by the kernel for few queries is %s", async (lengths, isFew) => {
  const of = attended(lengths);
  const bitsOf = async (attention: Tunings["attention"]): Promise<readonly number[]> => {
    const found = await runOnDevice(device, of, device.target, { ...tuningsFor(device.target), attention });
    return [...found["y0"]!.data];
  };
  // On no target's default are both kernels in a program of this device.
  const own = { kind: "workgroup", lanes: 8, tile: 8 } as const;
  const few = { lanes: 64, least: null, part: null } as const;
  const chosen = await bitsOf({ ...own, few: { ...few, most: 8 } });
  const [byQuery, byTiles] = [await bitsOf({ ...own, few: { ...few, most: ANY } }), await bitsOf(own)];
  expect(byQuery).not.toEqual(byTiles);
  expect(chosen).toEqual(isFew ? byQuery : byTiles);
});

/**
 * Attention with two heads in sequences of these lengths. The first sequence has the same values for every choice of
 * the others.
 */
function besides(lengths: readonly number[], window: number): Case {
  const tokens = Math.max(...lengths);
  const b = new Bench({ batch: lengths.length, tokens, lengths }, 5);
  const of = (n: number, width: number): Node => {
    let i = 0;
    return b.rows([n], [width], "f32", () => {
      const [c, t, at] = [i % width, Math.floor(i / width) % tokens, Math.floor(i++ / width / tokens)];
      return 3 * Math.sin(1 + 7 * c + 13 * t * t + 31 * at + n + width);
    });
  };
  const [starts, positions] = [b.starts("T"), b.positions("T")];
  const inputs = [of(2, 12), of(1, 12), of(1, 8), starts, starts, positions, positions];
  return b.finish(b.node("attention", inputs, { causal: true, window, scale: 0.4 }), "besides");
}

it.each([null, 4] as const)(
  "the bits of a query hang on the keys it sees alone, by subgroups of %s",
  { tags: "long" },
  async (least) => {
    const few: QueryAttention = { lanes: 64, least, most: ANY, part: 8 };
    const tunings = tuningsOf(device.target, few);
    for (const window of [0, 40]) {
      const firstOf = async (lengths: readonly number[]): Promise<readonly number[]> => {
        const of = besides(lengths, window);
        const [head, all] = [8 * Math.max(...lengths), await runOnDevice(device, of, device.target, tunings)];
        const y = [...all["y0"]!.data];
        return [0, 1].flatMap((h) => y.slice(h * head, h * head + 8 * lengths[0]!));
      };
      // 32 keys are one workgroup's, whatever the room for more; 50 are parts of 8, however many there may be.
      expect(await firstOf([32, 7])).toEqual(await firstOf([32, 90]));
      expect(await firstOf([50, 7])).toEqual(await firstOf([50, 200]));
    }
    const by = async (part: number | null): Promise<readonly number[]> => {
      const found = await runOnDevice(
        device,
        besides([90], 0),
        device.target,
        tuningsOf(device.target, { ...few, part }),
      );
      return [...found["y0"]!.data];
    };
    expect(await by(8)).not.toEqual(await by(null));
  },
);

it("a run divides keys where a sequence has room for many, and has no second dispatch where not", () => {
  const tunings = tuningsOf(PORTABLE, { lanes: 64, least: null, most: 8, part: 1024 });
  const kernelsAt = (keys: number): readonly string[] => {
    const shape = { heads: 2, groups: 1, width: 8, valueWidth: 8, causal: true, window: 0 };
    const best = { flops: 1, reads: [{ bytes: 1, seconds: 1 }], dispatchSeconds: 1 };
    const { kernels } = boundOf(queryWorkload(shape, [keys]), keys, { target: PORTABLE, tunings, seconds: 1 }, best);
    return kernels.map((kernel) => kernel.split(" ")[0]!);
  };
  for (const keys of [1, 512, 4096]) expect(kernelsAt(keys)).toEqual(["attention_query_shared"]);
  for (const keys of [4097, 65_536]) expect(kernelsAt(keys)).toEqual(["attention_query_shared", "attention_parts"]);
});

it("keys are divided where a query may see many alone", () => {
  const few: QueryAttention = { lanes: 64, least: null, most: 8, part: 16 };
  const target = { ...PORTABLE };
  const stepsOf = (window: number, causal: boolean, most = 8): readonly string[] => {
    const b = new Bench({ tokens: 9 }, 5);
    const [starts, positions] = [b.starts("T"), b.positions("T")];
    const of = (width: number): Node => b.rows([2], [width]);
    const inputs = [of(8), of(8), of(8), starts, starts, positions, positions];
    const of1 = b.finish(b.node("attention", inputs, { causal, window, scale: 1 }), "attention");
    return filesOf(of1, target, tuningsOf(target, { ...few, most })).filter((f) => f.startsWith("attention"));
  };
  const parts = (files: readonly string[]): boolean => files.includes("attention_parts");
  // No more queries than these, which are keys too.
  expect(parts(stepsOf(0, true))).toBe(false);
  expect(parts(stepsOf(0, true, ANY))).toBe(true);
  expect(parts(stepsOf(64, true, ANY))).toBe(false);
  expect(parts(stepsOf(65, true, ANY))).toBe(true);
  expect(parts(stepsOf(32, false, ANY))).toBe(false);
  expect(parts(stepsOf(33, false, ANY))).toBe(true);
});

it("is the default of GPUs alone, by subgroups where they are wide enough, in as many lanes as there may be", () => {
  const fewOf = (given: Partial<Target>): QueryAttention | undefined =>
    tuningsFor({ ...PORTABLE, ...given }).attention.few;
  const large = { ...PORTABLE.limits, invocationsPerWorkgroup: 1024 };
  expect(fewOf({})).toEqual({ lanes: 256, least: null, most: 8, part: 1024 });
  expect(fewOf({ device: "discrete", subgroups: [32, 64], limits: large })).toEqual({
    lanes: 512,
    least: 32,
    most: 8,
    part: 1024,
  });
  expect(fewOf({ device: "integrated", subgroups: [8, 32], limits: large })).toEqual({
    lanes: 512,
    least: 8,
    most: 8,
    part: 1024,
  });
  expect(fewOf({ device: "integrated", subgroups: [2, 4] })).toEqual({ lanes: 256, least: null, most: 8, part: 1024 });
  expect(fewOf({ device: "mesa-software", subgroups: [8, 8] })).toBeUndefined();
  expect(fewOf({ device: "swiftshader", subgroups: [4, 4] })).toBeUndefined();
});
