// Selections with many values in flight, as GPUs have them, choose what the reference does: the rows above a threshold,
// the likeliest token where every sequence is promised to have it, and the rows of a table that were looked up.
import { beforeAll, expect, it } from "vitest";
import { emit } from "../../src/compiler/codegen/emit.js";
import { createEmit } from "../../src/compiler/ir/build.js";
import type { Graph, GraphInput, Node } from "../../src/compiler/ir/graph.js";
import { ops } from "../../src/compiler/ops/index.js";
import { load, type Device } from "../../src/runtime/index.js";
import { schedule } from "../../src/compiler/schedule/schedule.js";
import { tuningsFor, type Tunings } from "../../src/compiler/schedule/tunings/index.js";
import type { Axis } from "../../src/ground/size/axes.js";
import { rational } from "../../src/ground/numerics/rational.js";
import { SAMPLING_COLUMNS, seenWords } from "../../src/ground/numerics/sampling.js";
import { axisSize, type Size } from "../../src/ground/size/size.js";
import { testDevice } from "../device.js";
import { Bench, randomFrom } from "../compiler/ops/bench.js";
import { caseOf, samples } from "../compiler/ops/samples.js";
import { compareOnDevice, runOnDevice } from "./operators.js";

let device: Device;
let wide: Tunings;
beforeAll(async () => {
  device = await testDevice("default");
  const own = tuningsFor(device.target);
  wide = { ...own, reductions: { ...own.reductions, wide: true } };
});

it.each(samples.above.list.map((s) => [s.name, s] as const))("%s", async (_name, sample) => {
  await compareOnDevice(device, "above", caseOf("above", sample), device.target, wide);
});

it.each(samples.gather_grad.list.map((s) => [s.name, s] as const))("gather_grad, %s", async (_name, sample) => {
  await compareOnDevice(device, "gather_grad", caseOf("gather_grad", sample), device.target, wide);
});

it.each([
  [1000, 7],
  [1300, 900],
])("gather_grad, of %i indices among %i rows", async (count, rows) => {
  const b = new Bench({}, 5);
  const indices = b.data("u32", [count], (r) => r.below(rows + 1));
  const of = b.finish(b.node("gather_grad", [indices, b.data("f32", [count, 8])], { rows }), "gather_grad");
  const plan = schedule(of.graph, device.target, wide);
  expect(plan.steps.some((s) => s.kind === "dispatch" && s.kernel.file === "gather_links_wide")).toBe(true);
  await compareOnDevice(device, "gather_grad", of, device.target, wide);
  const bits = async (tunings: Tunings) => (await runOnDevice(device, of, device.target, tunings))["y0"]!.data;
  expect(await bits(wide)).toEqual(await bits(tuningsFor(device.target)));
});

it("above, of more rows than lanes compare at once", async () => {
  const lengths = [2600, 0, 7, 2048, 257];
  const axes = { A: { kind: "above", parent: "T", expected: rational(1, 2) } } as const;
  const b = new Bench({ batch: lengths.length, tokens: 2600, lengths, axes }, 3);
  const node = b.above("A", b.rows([], []), b.data("f32", [], [0.1]));
  const of = b.finish(node, "above");
  const plan = schedule(of.graph, device.target, wide);
  expect(plan.steps.some((s) => s.kind === "dispatch" && s.kernel.file === "above_wide")).toBe(true);
  await compareOnDevice(device, "above", of, device.target, wide);
});

it.each([[[1]], [[20, 0, 7, 32, 5]], [[0, 0, 33]]])("above, of few rows: %j", async (lengths) => {
  const axes = { A: { kind: "above", parent: "T", expected: rational(1, 2) } } as const;
  const b = new Bench({ batch: lengths.length, tokens: Math.max(...lengths), lengths, axes }, 3);
  const of = b.finish(b.above("A", b.rows([], []), b.data("f32", [], [0.1])), "above");
  const plan = schedule(of.graph, device.target, wide);
  expect(plan.steps.some((s) => s.kind === "dispatch" && s.kernel.file === "above_few")).toBe(true);
  await compareOnDevice(device, "above", of, device.target, wide);
});

/** A program that draws a token for each of any number of sequences. */
function sampler(vocabulary: number): Graph {
  const axes: readonly Axis[] = [{ role: "batch", name: "B", bound: null }];
  const make = createEmit(ops, axes);
  const inputs: GraphInput[] = [];
  const input = (name: string, dtype: "f32" | "u32", ...widths: number[]): Node => {
    const shape: readonly Size[] = [axisSize("B"), ...widths];
    const node = make.node("input", [], { name, dtype, shape });
    inputs.push({ name, node, shape, packing: null, least: 0, below: null });
    return node;
  };
  const rows = [
    input("logits", "f32", vocabulary),
    input("settings", "f32", SAMPLING_COLUMNS.length),
    input("seeds", "u32", 2),
    input("positions", "u32"),
    input("bias", "f32", vocabulary),
    input("seen", "u32", seenWords(vocabulary)),
  ] as const;
  const node = make.node("sample", rows, {});
  const outputs = (["token", "logProbability"] as const).map((name, i) => ({
    name,
    role: "result" as const,
    node: make.pick(node, i),
    shape: [axisSize("B")],
    packing: null,
  }));
  return { name: "sampler", axes, live: [], inputs, outputs, states: [], starts: new Map() };
}

it.each([1, 3, 255, 2048, 5000])("the likeliest of %i tokens", async (vocabulary) => {
  const random = randomFrom(vocabulary);
  const rows: number[][] = Array.from({ length: 5 }, () => Array.from({ length: vocabulary }, () => random.normal()));
  const [, equal, negative, strange, largest] = rows;
  equal!.fill(1.5);
  negative!.fill(-Infinity);
  negative![vocabulary >> 1] = -1e30;
  strange![vocabulary - 1] = NaN;
  largest![vocabulary - 1] = 9;
  const plan = schedule(sampler(vocabulary), device.target, wide);
  expect(plan.steps.some((s) => s.kind === "dispatch" && s.kernel.file === "sample_greedy_wide")).toBe(true);
  const session = await load(emit(plan), device);
  const of = (...shape: number[]): { shape: number[]; data: number[] } => ({
    shape: [rows.length, ...shape],
    data: new Array<number>(shape.reduce((n, s) => n * s, rows.length)).fill(0),
  });
  const inputs = {
    logits: { shape: [rows.length, vocabulary], data: rows.flat() },
    settings: of(SAMPLING_COLUMNS.length),
    seeds: of(2),
    positions: of(),
    bias: of(vocabulary),
    seen: of(seenWords(vocabulary)),
  };
  const found = await session.run(inputs, { promises: ["greedy"] });
  session.dispose();
  // NaN is highest, of equals the first.
  const likeliest = rows.map((row) => {
    const key = (x: number): number => (Number.isNaN(x) ? Infinity : x);
    return row.reduce((best, x, i) => (key(x) > key(row[best]!) ? i : best), 0);
  });
  expect([...found["token"]!.data]).toEqual(likeliest);
  expect([...found["logProbability"]!.data]).toEqual([0, 0, 0, NaN, 0]);
});

it.each([
  [1, 256],
  [33, 256],
  [256, 256],
  [1500, 256],
  [4099, 256],
  [4099, 512],
  [4099, 1024],
  [70_001, 512],
] as const)(
  "tokens drawn from %i by %i lanes are those of one value in flight, to the bit",
  // Mesa compiles this kernel in seconds, for it is written for GPUs.
  { tags: "long", timeout: 180_000 },
  async (vocabulary, lanes) => {
    const random = randomFrom(vocabulary + lanes);
    const count = vocabulary > 10_000 ? 12 : 48;
    const word = (): number => random.below(2 ** 16) * 2 ** 16 + random.below(2 ** 16);
    const rows = Array.from({ length: count }, (_, b) => {
      const scale = [0, 1, 3, 40][b % 4]!;
      const logits = Array.from({ length: vocabulary }, () => Math.fround(scale * random.normal()));
      if (b % 11 === 3) logits[random.below(vocabulary)] = [NaN, Infinity, -Infinity][b % 3]!;
      // temperature, topK, topP, minP, repetitionPenalty, biased, logProbability
      const some = [
        random.below(6) === 0 ? 0 : random.uniform(0.3, 1.5),
        random.below(2) * random.below(b % 2 === 0 ? 100 : 2000),
        random.below(2) === 0 ? 1 : random.uniform(0, 1),
        random.below(2) * random.uniform(0, 0.3),
        random.below(2) === 0 ? 1 : random.uniform(0.8, 1.5),
        random.below(2),
        random.below(2),
      ];
      const settings = SAMPLING_COLUMNS.map((_name, i) => Math.fround(some[i]!));
      const bias = Array.from({ length: vocabulary }, () => (random.below(9) === 0 ? -Infinity : random.normal()));
      const seen = Array.from({ length: seenWords(vocabulary) }, word);
      return { logits, settings, seeds: [word(), word()], positions: random.below(4096), bias, seen };
    });
    const of = (name: keyof (typeof rows)[number], ...shape: number[]) => ({
      shape: [count, ...shape],
      data: rows.flatMap((row) => row[name]),
    });
    const inputs = {
      logits: of("logits", vocabulary),
      settings: of("settings", SAMPLING_COLUMNS.length),
      seeds: of("seeds", 2),
      positions: of("positions"),
      bias: of("bias", vocabulary),
      seen: of("seen", seenWords(vocabulary)),
    };
    const own = tuningsFor(device.target);
    const draws = async (file: string, tunings: Tunings) => {
      const plan = schedule(sampler(vocabulary), device.target, tunings);
      expect(plan.steps.some((s) => s.kind === "dispatch" && s.kernel.file === file)).toBe(true);
      const session = await load(emit(plan), device);
      const { token, logProbability } = await session.run(inputs);
      session.dispose();
      const bits = Float32Array.from(logProbability!.data as Float32Array);
      return { tokens: [...token!.data], bits: [...new Uint32Array(bits.buffer)] };
    };
    const plain = await draws("sample", { ...own, reductions: { ...own.reductions, wide: false } });
    const found = await draws("sample_wide", {
      ...own,
      reductions: { ...own.reductions, wide: true, sampling: lanes },
    });
    expect(found).toEqual(plain);
  },
);
