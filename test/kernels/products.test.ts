// Every way to compute a product agrees with the reference on two devices, and all of them, bit for bit, with one
// another.
import { beforeAll, describe, expect, it } from "vitest";
import type { Node } from "../../src/compiler/ir/graph.js";
import type { Device } from "../../src/runtime/index.js";
import { DEFAULT_LIMITS, type Target } from "../../src/runtime/program/target.js";
import { schedule } from "../../src/compiler/schedule/schedule.js";
import { candidates, tuningsFor, type Tunings } from "../../src/compiler/schedule/tunings/index.js";
import { testDevice } from "../device.js";
import { Bench, type Case } from "../compiler/ops/bench.js";
import { byTurns, thinned } from "../soak.js";
import { compareOnDevice, runOnDevice } from "./operators.js";

/** Some of all there are, by name; `tunings.test.ts` goes through them all, at fewer shapes. */
const SOME =
  /^(plain|tiled|vectors [14] × [12]|subgroup (1 × [24]|4 × 4|8 × [24]|16 × [24]|24 × 2)|packed (8 × 4|16 × [14]|24 × 2|32 × 2))(, |$)/;
const tuningsOf = (target: Target): ReadonlyMap<string, Tunings> =>
  new Map(
    candidates("products", target)
      .filter((c) => SOME.test(c.name))
      .map((c) => [c.name, { ...tuningsFor(target), products: c.tunings }]),
  );

const product = (M: number, K: number, N: number, transposed: boolean): Case => {
  const b = new Bench({}, 5);
  return b.finish(
    b.node("matmul", [b.data("f32", [M, K]), b.weight("w", "f32", transposed ? [N, K] : [K, N])], { transposed }),
    "product",
  );
};
const SHAPES: readonly (readonly [string, Case])[] = [
  ["1 × 67 × 131", product(1, 67, 131, true)],
  ["3 × 130 × 64", product(3, 130, 64, false)],
  ["8 × 8 × 8", product(8, 8, 8, true)],
  ["17 × 1 × 33", product(17, 1, 33, false)],
  ["37 × 129 × 1", product(37, 129, 1, true)],
  ["65 × 65 × 65", product(65, 65, 65, true)],
  ["64 × 64 × 128", product(64, 64, 128, false)],
  [
    "heads of rows by heads of a weight",
    (() => {
      const b = new Bench({ batch: 3, tokens: 7, lengths: [7, 0, 4] }, 5);
      return b.finish(
        b.node("matmul", [b.rows([3], [21]), b.weight("w", "f32", [3, 21, 37])], { transposed: false }),
        "heads",
      );
    })(),
  ],
  [
    "rows of halves",
    (() => {
      const b = new Bench({ batch: 2, tokens: 9 }, 5);
      return b.finish(
        b.node("matmul", [b.rows([], [19], "f16"), b.weight("w", "f16", [35, 19])], { transposed: true }),
        "halves",
      );
    })(),
  ],
];

describe.each(["default", "swiftshader"] as const)("products on the %s device", (which) => {
  let device: Device;
  beforeAll(async () => {
    device = await testDevice(which);
  });

  it.each(SHAPES.map(([name, c], i) => [name, c, i] as const))(
    "agree with the reference in every way: %s",
    { tags: "long" },
    async (_name, c, i) => {
      // In the short run a third of the ways for each shape, in turn, and on SwiftShader a sixth.
      const ways = byTurns([...tuningsOf(device.target).values()], 3, i);
      for (const tunings of thinned(which, ways, 2, Math.floor(i / 3)))
        await compareOnDevice(device, "matmul", c, device.target, tunings);
    },
  );

  it("give a row the same bits alone and among others, whatever the tuning", { tags: "long" }, async () => {
    const [M, K, N] = [21, 150, 70];
    const b = new Bench({}, 9);
    const all = b.finish(
      b.node("matmul", [b.data("f32", [M, K]), b.weight("w", "f32", [N, K])], { transposed: true }),
      "all",
    );
    const x = all.options.inputs.get("x1")!.data;
    let expected: readonly number[] | null = null;
    for (const [name, tunings] of thinned(which, [...tuningsOf(device.target)], 6)) {
      const bits = [...((await runOnDevice(device, all, device.target, tunings))["y0"]!.data as Float32Array)];
      expected ??= bits;
      expect(bits, name).toEqual(expected);
      const one = product(1, K, N, true);
      const inputs = new Map([...one.options.inputs, ["x1", { shape: [1, K], data: x.slice(13 * K, 14 * K) }]]);
      const alone = await runOnDevice(device, { ...one, options: { ...all.options, inputs } }, device.target, tunings);
      expect([...alone["y0"]!.data], `${name}, alone`).toEqual(expected.slice(13 * N, 14 * N));
    }
  });

  it("by computed values agree with the reference", async () => {
    for (const [M, K, N] of [
      [33, 70, 36],
      [1, 5, 32],
      [50, 1, 100],
    ] as const) {
      const b = new Bench({}, 5);
      const twice = (node: Node): Node => b.node("add", [node, node], {});
      await compareOnDevice(
        device,
        "matmul",
        b.finish(
          b.node("matmul", [b.data("f32", [2, M, K]), twice(b.data("f32", [2, K, N]))], { transposed: false }),
          "values",
        ),
      );
    }
  });

  it("of any number of rows take the case for so many", { tags: "long" }, async () => {
    for (const tokens of [1, 4, 5, 8, 9, 40]) {
      const b = new Bench({ tokens }, 5);
      await compareOnDevice(
        device,
        "matmul",
        b.finish(b.node("matmul", [b.rows([], [40]), b.weight("w", "f32", [96, 40])], { transposed: true }), "rows"),
      );
      const gpu: Target = { ...device.target, device: "discrete" };
      await compareOnDevice(
        device,
        "matmul",
        b.finish(b.node("matmul", [b.rows([], [40]), b.weight("v", "f32", [96, 40])], { transposed: true }), "rows"),
        gpu,
      );
    }
  });
});

describe("cases for numbers of rows", () => {
  const target: Target = {
    device: "mesa-software",
    subgroups: [8, 8],
    f16: false,
    limits: DEFAULT_LIMITS,
  };
  it("known when compiling are chosen then", () => {
    const plan = schedule(product(1, 64, 64, true).graph, target);
    expect(plan.steps).toHaveLength(1);
    expect([...plan.weights.values()].flat().map((w) => w.layout.kind)).toEqual(["panels"]);
  });
  it.each([[[16, 16]], [[8, 16]], [null]] as const)("are those of any device where subgroups are %s", (subgroups) => {
    expect(tuningsFor({ ...target, subgroups }).products).toEqual(
      tuningsFor({ ...target, device: "portable" }).products,
    );
  });
});

it("a weight that a product and a gather read is kept in both layouts", () => {
  const b = new Bench({ tokens: 3 }, 5);
  const w = b.weight("w", "f32", [64, 40]);
  const rows = b.node("gather", [w, b.data("u32", [5], [0, 63, 7, 7, 1])], {});
  const { graph } = b.finish(b.node("matmul", [rows, w], { transposed: true }), "tied");
  const plan = schedule(graph);
  expect(
    plan.weights
      .get("w")!
      .map(({ layout }) => layout.kind)
      .sort(),
  ).toEqual(["given", "panels"]);
});
