// Long reductions, argmax, softmax and cross-entropy by every number of lanes agree with the reference, on two devices.
import { beforeAll, describe, expect, it } from "vitest";
import type { OpName } from "../../src/compiler/ir/vocabulary.js";
import type { Target } from "../../src/runtime/program/target.js";
import type { Device } from "../../src/runtime/index.js";
import { candidates, tuningsFor, type Tunings } from "../../src/compiler/schedule/tunings/index.js";
import { testDevice } from "../device.js";
import { Bench, type Case } from "../compiler/ops/bench.js";
import { byTurns, thinned } from "../soak.js";
import { compareOnDevice, runOnDevice } from "./operators.js";

const SOME = ["one invocation", "4 lanes", "8 lanes", "256 lanes", "32 lanes, wide"];
const tuningsOf = (target: Target): readonly Tunings[] =>
  candidates("reductions", target).flatMap(({ name, tunings }) =>
    SOME.includes(name) ? [{ ...tuningsFor(target), reductions: tunings }] : [],
  );

const bench = (): Bench => new Bench({ batch: 3, tokens: 700, lengths: [700, 0, 651] }, 13);
const made = (make: (b: Bench) => ReturnType<Bench["node"]>): Case => {
  const b = bench();
  return b.finish(make(b), "reduction");
};
const often = (value: number) => (r: { below(n: number): number; normal(): number }) =>
  r.below(5) < 3 ? value : r.normal();

const CASES: readonly (readonly [string, OpName, Case])[] = [
  ["columns of packed rows", "sum", made((b) => b.node("sum", [b.rows([], [19])], { axes: [0], keep: false }))],
  [
    "columns of packed rows behind heads",
    "reduce_max",
    made((b) => b.node("reduce_max", [b.rows([3], [5])], { axes: [1], keep: true })),
  ],
  [
    "columns of many rows",
    "reduce_min",
    made((b) => b.node("reduce_min", [b.data("f32", [1500, 33])], { axes: [0], keep: false })),
  ],
  [
    "all but a dimension between",
    "sum",
    made((b) => b.node("sum", [b.data("u32", [40, 3, 50])], { axes: [0, 2], keep: false })),
  ],
  ["a matrix, in parts", "sum", made((b) => b.node("sum", [b.data("f32", [128, 96])], { axes: [0, 1], keep: false }))],
  [
    "squares, in parts",
    "sum",
    made((b) =>
      b.node("sum", [b.node("powi", [b.data("f32", [4, 64, 64])], { exponent: 2 })], { axes: [0, 1, 2], keep: true }),
    ),
  ],
  [
    "halves, in parts",
    "sum",
    made((b) => b.node("sum", [b.data("f16", [64, 256], (r) => r.below(3) - 1)], { axes: [0, 1], keep: false })),
  ],
  [
    "the largest, in parts",
    "reduce_max",
    made((b) => b.node("reduce_max", [b.data("i32", [64, 256])], { axes: [0, 1], keep: false })),
  ],
  [
    "the least, of an odd number",
    "reduce_min",
    made((b) => b.node("reduce_min", [b.data("f32", [71, 201])], { axes: [0, 1], keep: false })),
  ],
  ["long rows", "sum", made((b) => b.node("sum", [b.data("f32", [3, 5000])], { axes: [1], keep: false }))],
  ["rows of odd lengths", "softmax", made((b) => b.node("softmax", [b.data("f32", [5, 1003])], { axis: 1 }))],
  ["rows shorter than the lanes", "softmax", made((b) => b.node("softmax", [b.data("f32", [70, 3])], { axis: 1 }))],
  [
    "rows that are mostly −∞",
    "softmax",
    made((b) => b.node("softmax", [b.data("f32", [7, 517], often(-Infinity))], { axis: 1 })),
  ],
  [
    "rows whose largest values come last",
    "softmax",
    made((b) => b.node("softmax", [b.data("f32", [2, 300], ascending())], { axis: 1 })),
  ],
  ["along a dimension between", "softmax", made((b) => b.node("softmax", [b.data("f32", [3, 130, 5])], { axis: 1 }))],
  [
    "classes of which some are −∞",
    "cross_entropy",
    made((b) =>
      b.node("cross_entropy", [b.rows([], [777], "f32", often(-Infinity)), b.rows([], [], "i32", () => -1)], {}),
    ),
  ],
  [
    "few classes of many rows",
    "cross_entropy",
    made((b) => b.node("cross_entropy", [b.rows([], [10]), b.rows([], [], "u32", (r) => r.below(10))], {})),
  ],
  [
    "the first of equals in long rows",
    "argmax",
    made((b) => b.node("argmax", [b.data("f32", [3, 5001], (r) => r.below(40))], { axis: 1, keep: false })),
  ],
  [
    "no numbers in long rows",
    "argmax",
    made((b) => b.node("argmax", [b.data("f32", [3, 2000], often(NaN))], { axis: 1, keep: false })),
  ],
  [
    "the last of a long row",
    "argmax",
    made((b) => b.node("argmax", [b.data("i32", [1, 1100], counting())], { axis: 1, keep: true })),
  ],
  [
    "along a dimension between",
    "argmax",
    made((b) => b.node("argmax", [b.data("f32", [2, 1300, 7])], { axis: 1, keep: false })),
  ],
  [
    "many classes",
    "cross_entropy",
    made((b) => b.node("cross_entropy", [b.data("f32", [9, 20_001]), b.data("u32", [9], (r) => r.below(20_001))], {})),
  ],
];

/** −5, −4, … */
function counting(): () => number {
  let i = -5;
  return () => i++;
}

/** −150, −149, … : each value is e times the one before it. */
function ascending(): () => number {
  let i = 0;
  return () => (i++ % 300) - 150;
}

describe.each(["default", "swiftshader"] as const)("reductions on the %s device", (which) => {
  let device: Device;
  beforeAll(async () => {
    device = await testDevice(which);
  });
  it.each(CASES.map((c, i) => [...c, i] as const))("%s: %s", async (_name, op, c, i) => {
    // In the short run half of the tunings for each case, in turn, and on SwiftShader a quarter.
    for (const tunings of thinned(which, byTurns(tuningsOf(device.target), 2, i), 2, Math.floor(i / 2)))
      await compareOnDevice(device, op, c, device.target, tunings);
  });

  it("keep six digits of a sum of half a million terms", { tags: "long" }, async () => {
    const b = new Bench({}, 3);
    const n = 500_000;
    const c = b.finish(
      b.node("sum", [b.data("f32", [n], (r) => r.uniform(0, 1))], { axes: [0], keep: false }),
      "many terms",
    );
    const exact = c.options.inputs.get("x1")!.data.reduce((sum, v) => sum + v, 0);
    for (const tunings of tuningsOf(device.target)) {
      const { y0 } = await runOnDevice(device, c, device.target, tunings);
      expect(Math.abs(y0!.data[0]! / exact - 1), JSON.stringify(tunings.reductions)).toBeLessThan(5e-7);
    }
  });
});
