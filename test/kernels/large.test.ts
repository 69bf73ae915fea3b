// Sizes beyond the samples: long reductions stay accurate, long sequences are routed right, and grids fold where they
// must.
import { beforeAll, describe, it } from "vitest";
import type { OpName } from "../../src/compiler/ir/vocabulary.js";
import { evaluate } from "../../src/compiler/reference/evaluate.js";
import type { Device } from "../../src/runtime/index.js";
import { testDevice } from "../device.js";
import { Bench, type Case, type Setting } from "../compiler/ops/bench.js";
import { compareOnDevice, runOnDevice } from "./operators.js";
import { expectClose } from "../close.js";
import { byTurns } from "../soak.js";

let device: Device;
beforeAll(async () => {
  device = await testDevice();
});

const bench = (setting: Setting = {}): Bench => new Bench(setting, 7);
const finish = (b: Bench, node: Parameters<Bench["finish"]>[0]) => b.finish(node, "large");

/** Samples bound T at 4096. */
const bounded = (c: Case, bound: number | null): Case => ({
  ...c,
  graph: { ...c.graph, axes: c.graph.axes.map((a) => ({ ...a, bound })) },
});

describe("sums", () => {
  it.each([
    ["a million values into one", [1 << 20], [0]],
    ["the rows of a long table", [100_003, 3], [0]],
    ["a row just short enough for one invocation", [5, 1024], [1]],
    ["a row just too long for one", [5, 1025], [1]],
  ] as const)("%s keep six digits", async (_name, shape, axes) => {
    // The values are positive and nearly equal: rounding errors of a running sum would all have one sign too.
    const b = bench();
    const c = finish(
      b,
      b.node("sum", [b.data("f32", shape, (r) => 0.1 + r.uniform(0, 0.01))], { axes: [...axes], keep: false }),
    );
    const { data } = (await runOnDevice(device, c))["y0"]!;
    const expected = evaluate(c.graph, c.options).outputs.get("y0")!.data;
    expectClose(data, expected, (e) => 1e-6 * e);
  });
  it("of products keep six digits over a depth of 10,000", async () => {
    const b = bench();
    const positive = (r: { uniform(a: number, b: number): number }): number => r.uniform(0.5, 1);
    const c = finish(
      b,
      b.node("matmul", [b.data("f32", [3, 10_000], positive), b.data("f32", [5, 10_000], positive)], {
        transposed: true,
      }),
    );
    const { data } = (await runOnDevice(device, c))["y0"]!;
    const expected = evaluate(c.graph, c.options).outputs.get("y0")!.data;
    expectClose(data, expected, (e) => 1e-6 * e);
  });
});

describe("long rows", () => {
  const cases: readonly (readonly [string, OpName, () => ReturnType<typeof finish>])[] = [
    [
      "softmax over 70,001 values",
      "softmax",
      () => {
        const b = bench();
        return finish(b, b.node("softmax", [b.data("f32", [2, 70_001])], { axis: 1 }));
      },
    ],
    [
      "cross entropy over 50,257 classes",
      "cross_entropy",
      () => {
        const b = bench();
        return finish(
          b,
          b.node("cross_entropy", [b.data("f32", [3, 50_257]), b.data("u32", [3], (r) => r.below(50_257))], {}),
        );
      },
    ],
  ];
  it.each(cases)("%s", async (_name, op, make) => {
    await compareOnDevice(device, op, make());
  });
});

describe("top", () => {
  const scores: readonly (readonly [string, (r: { normal(): number; below(n: number): number }) => number])[] = [
    ["random scores", (r) => r.normal()],
    ["scores with many ties", (r) => r.below(5) - 2],
    ["NaN and infinities among them", (r) => [NaN, Infinity, -Infinity, 0, -0, 1][r.below(6)]!],
    ["scores that differ in the last bit", (r) => 1 + r.below(7) * 2 ** -23],
  ];
  it.each(scores.map((s, i) => [...s, i] as const))("of 65,536 tokens: %s", async (_name, values, i) => {
    for (const k of byTurns([8192, 1, 65_535], 3, i)) {
      const b = bench({
        batch: 2,
        tokens: 65_536,
        lengths: [65_536, 300],
        axes: { K: { kind: "top", parent: "T", k } },
      });
      await compareOnDevice(device, "top", bounded(finish(b, b.top("K", b.rows([], [], "f32", values))), null));
    }
  });
  it.each([1000, 4000, 5000])("of 700 tokens, of at most %i: as many invocations as suit the most", async (bound) => {
    for (const values of scores.map(([, v]) => v)) {
      const b = bench({
        batch: 3,
        tokens: 700,
        lengths: [700, 0, 333],
        axes: { K: { kind: "top", parent: "T", k: 99 } },
      });
      await compareOnDevice(device, "top", bounded(finish(b, b.top("K", b.rows([], [], "f32", values))), bound));
    }
  });
});

it("more workgroups than one dimension holds are folded", async () => {
  // A workgroup for each output: 70,000 workgroups; a dimension has at most 65,535.
  const b = bench();
  await compareOnDevice(device, "softmax", finish(b, b.node("softmax", [b.data("f32", [70_000, 3])], { axis: 1 })));
});
