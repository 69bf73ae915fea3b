// Weights that are concatenated for one product lie side by side from the start: nothing is copied when the program
// runs.
import { describe, expect, it } from "vitest";
import type { Node } from "../../src/compiler/ir/graph.js";
import { PORTABLE, type Target } from "../../src/runtime/program/target.js";
import { schedule } from "../../src/compiler/schedule/schedule.js";
import { testDevice } from "../device.js";
import { Bench } from "../compiler/ops/bench.js";
import { compareOnDevice } from "./operators.js";

const device = await testDevice();

/** a · [u v …]ᵀ, or a · [u v …]. */
function product(rows: number, depth: number, widths: readonly number[], transposed: boolean) {
  const b = new Bench({}, 7);
  const weights = widths.map((n, i) => b.weight(`w${i}`, "f32", transposed ? [n, depth] : [depth, n]));
  const joint = b.node("concat", weights, { axis: transposed ? 0 : 1 });
  return { b, joint, y: b.node("matmul", [b.data("f32", [rows, depth]), joint], { transposed }) };
}

describe("a product by weights side by side", () => {
  it.each([
    ["in panels of their own", 5, 40, [64, 32]],
    ["that share a panel", 33, 24, [20, 40, 4]],
    ["narrower together than a panel", 3, 70, [2, 3]],
    ["of one row", 1, 128, [64, 64, 128]],
  ] as const)("%s agrees with the reference", async (_name, rows, depth, widths) => {
    for (const transposed of [true, false])
      for (const target of [device.target, PORTABLE] satisfies Target[]) {
        const { b, y } = product(rows, depth, widths, transposed);
        await compareOnDevice(device, "matmul", b.finish(y, "side by side"), target);
      }
  });

  it("has one step, and each weight's columns in one slot", () => {
    const { b, y } = product(5, 40, [64, 32], true);
    const plan = schedule(b.finish(y, "steps").graph);
    expect(plan.steps).toHaveLength(1);
    const [u, v] = ["w0", "w1"].map((path) => plan.weights.get(path)!);
    expect([u!.length, v!.length]).toEqual([1, 1]);
    expect(u![0]!.slot).toBe(v![0]!.slot);
  });

  it("is computed beside it where something else reads the concatenation", async () => {
    const { b, joint, y } = product(5, 40, [64, 32], true);
    const sum: Node = b.node("sum", [joint], { axes: [1], keep: false });
    const both = b.finish(b.node("add", [y, sum], {}), "read twice");
    expect(schedule(both.graph).steps.length).toBeGreaterThan(1);
    await compareOnDevice(device, "matmul", both);
  });
});
