// Attention of few queries, by subgroups and by workgroup memory, agrees with the reference: samples of attention, of
// that which keeps what its gradient needs, and of that whose keys lie in pages. How many queries there are decides
// which kernel runs.
import { beforeAll, describe, expect, it } from "vitest";
import type { Node } from "../../src/ir/graph.js";
import type { OpName } from "../../src/ir/vocabulary.js";
import { PORTABLE, type Target } from "../../src/program/target.js";
import type { Device } from "../../src/runtime/index.js";
import { schedule } from "../../src/schedule/schedule.js";
import { queryName, type QueryAttention } from "../../src/schedule/tunings/attention-query.js";
import { tuningsFor, type Tunings } from "../../src/schedule/tunings/index.js";
import { testDevice } from "../device.js";
import { Bench, type Case } from "../ops/bench.js";
import { caseOf, samples, type Sample } from "../ops/samples.js";
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
  { lanes: 64, least: null, most: ANY },
  { lanes: 64, least: 4, most: ANY },
  { lanes: 256, least: null, most: ANY },
  { lanes: 256, least: 8, most: ANY },
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
  ...(["attention", "attention_kept", "paged_attention"] as const).flatMap((op) =>
    samples[op].list.map((s): Tried => ({ op, name: `${op}: ${s.name}`, of: caseOf(op, s as Sample<typeof op>) })),
  ),
].filter(({ name }) => !/weight/.test(name));

let device: Device;
beforeAll(async () => {
  device = await testDevice("default");
});

describe.each(WAYS.map((few, turn) => [queryName(few), few, turn] as const))("%s", (_name, few, turn) => {
  it.each(byTurns(TRIED, 7, turn).map((tried) => [tried.name, tried] as const))("%s", async (_case, { op, of }) => {
    if (few.least !== null && few.least > (device.target.subgroups?.[0] ?? 0)) return;
    const tunings = tuningsOf(device.target, few);
    const files = filesOf(of, device.target, tunings).filter((f) => f.startsWith("attention"));
    expect(files[0]).toBe(few.least === null ? "attention_query_shared" : "attention_query");
    await compareOnDevice(device, op, of, device.target, tunings);
  });
});

/** Attention in which so many rows see each other. */
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
  const few = { lanes: 64, least: null } as const;
  const chosen = await bitsOf({ ...own, few: { ...few, most: 8 } });
  const [byQuery, byTiles] = [await bitsOf({ ...own, few: { ...few, most: ANY } }), await bitsOf(own)];
  expect(byQuery).not.toEqual(byTiles);
  expect(chosen).toEqual(isFew ? byQuery : byTiles);
});

it("is the default of GPUs alone, by subgroups where they are wide enough, in as many lanes as there may be", () => {
  const fewOf = (given: Partial<Target>): QueryAttention | undefined =>
    tuningsFor({ ...PORTABLE, ...given }).attention.few;
  const large = { ...PORTABLE.limits, invocationsPerWorkgroup: 1024 };
  expect(fewOf({})).toEqual({ lanes: 256, least: null, most: 8 });
  expect(fewOf({ device: "discrete", subgroups: [32, 64], limits: large })).toEqual({ lanes: 512, least: 32, most: 8 });
  expect(fewOf({ device: "integrated", subgroups: [8, 32], limits: large })).toEqual({ lanes: 512, least: 8, most: 8 });
  expect(fewOf({ device: "integrated", subgroups: [2, 4] })).toEqual({ lanes: 256, least: null, most: 8 });
  expect(fewOf({ device: "mesa-software", subgroups: [8, 8] })).toBeUndefined();
  expect(fewOf({ device: "swiftshader", subgroups: [4, 4] })).toBeUndefined();
});
