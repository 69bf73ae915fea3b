// What is computed row by row around a choice of entries is one kernel, and gives what the reference gives: whatever
// the number of entries, with ties and NaN, for one row and for ragged ones.
import { describe, expect, it } from "vitest";
import { expectClose } from "../../close.js";
import type { Graph, Node } from "../../../src/compiler/ir/graph.js";
import { PORTABLE } from "../../../src/runtime/program/target.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { schedule } from "../../../src/compiler/schedule/schedule.js";
import { tuningsFor } from "../../../src/compiler/schedule/tunings/index.js";
import { testDevice } from "../../device.js";
import { runOnDevice } from "../../kernels/operators.js";
import { Bench, type Case, type Random, type Setting } from "../ops/bench.js";

const device = await testDevice();
const { NaN: nan, POSITIVE_INFINITY: inf } = Number;

const RAGGED = { batch: 3, tokens: 20, lengths: [20, 0, 13] } as const;

/** The case whose results are those of all nodes. */
function caseOf(b: Bench, nodes: readonly Node[]): Case {
  const made = nodes.map((n) => b.finish(n, "gating"));
  const outputs = made.flatMap(({ graph }, i) => graph.outputs.map((o) => ({ ...o, name: `y${i}` })));
  const inputs = [...new Set(made.flatMap(({ graph }) => graph.inputs))];
  const graph: Graph = { ...made[0]!.graph, outputs, inputs };
  const values = new Map(made.flatMap(({ options }) => [...options.inputs]));
  return { graph, options: { ...made[0]!.options, inputs: values } };
}

/** Whole numbers, so that equal scores are equal in every arithmetic. */
const tied = (r: Random): number => r.below(12) - 6;

const keptSum = (b: Bench, x: Node): Node => b.node("sum", [x], { axes: [x.types[0]!.shape.length - 1], keep: true });

/** Softmax, the k best of the scores, their share of what they sum to, and how many there are. */
function renormalised(b: Bench, score: Node, k: number): readonly Node[] {
  const index = b.node("top_entries", [score], { k, choice: "C" });
  const p = b.node("softmax", [score], { axis: score.types[0]!.shape.length - 1 });
  const gates = b.node("take_entries", [p, index], {});
  const count = b.node("constant", [], { value: k, dtype: "u32", shape: score.types[0]!.shape.slice(0, -1) });
  return [index, b.node("div", [gates, keptSum(b, gates)], {}), count];
}

/** The k best of those groups whose two best sum highest, as DeepSeek-V3 chooses. */
function ofOpenGroups(b: Bench, score: Node, groups: number, open: number, k: number): readonly Node[] {
  const [rows, among] = score.types[0]!.shape;
  const own = b.node("reshape", [score], { shape: [rows!, groups, Number(among) / groups] });
  const two = b.node("top_entries", [own], { k: 2, choice: "two" });
  const worth = b.node("sum", [b.node("take_entries", [own, two], {})], { axes: [2], keep: false });
  const best = b.node("top_entries", [worth], { k: open, choice: "open" });
  const none = b.node("constant", [], { value: 0, dtype: "u32", shape: [rows!, groups] });
  const ones = b.node("constant", [], { value: 1, dtype: "u32", shape: [rows!, open] });
  const mask = b.node("cast", [b.node("put_entries", [none, best, ones], {})], { dtype: "bool" });
  const beside = b.node("reshape", [mask], { shape: [rows!, groups, 1] });
  const low = b.node("constant", [], { value: -1e30, dtype: "f32", shape: [] });
  const kept = b.node("reshape", [b.node("where", [beside, own, low], {})], { shape: [rows!, among!] });
  const index = b.node("top_entries", [kept], { k, choice: "C" });
  const gates = b.node("take_entries", [b.node("sigmoid", [score], {}), index], {});
  return [index, gates, mask];
}

/** A ragged choice: the gates of all entries above 0, the largest, the least and the number of them. */
function thoseAbove(b: Bench, score: Node): readonly Node[] {
  const zero = b.node("constant", [], { value: 0, dtype: "f32", shape: [] });
  const mask = b.node("gt", [score, zero], {});
  const index = b.node("those_entries", [mask], { choice: "C" });
  const gates = b.node("take_entries", [score, index], {});
  const [most, least] = (["reduce_max", "reduce_min"] as const).map((op) =>
    b.node(op, [gates], { axes: [1], keep: false }),
  ) as [Node, Node];
  const count = b.node("sum", [b.node("cast", [mask], { dtype: "u32" })], { axes: [1], keep: false });
  return [index, gates, most, least, count];
}

/** Case by name: the setting, and the nodes whose values are compared. */
const CASES: Readonly<Record<string, readonly [Setting, (b: Bench) => readonly Node[]]>> = {
  "2 of 8": [RAGGED, (b) => renormalised(b, b.rows([], [8], "f32", tied), 2)],
  "one row": [{}, (b) => renormalised(b, b.rows([], [8], "f32", tied), 2)],
  "one of two": [RAGGED, (b) => renormalised(b, b.rows([], [2], "f32", tied), 1)],
  "all of 5": [RAGGED, (b) => renormalised(b, b.rows([], [5], "f32", tied), 5)],
  "3 of 37": [RAGGED, (b) => renormalised(b, b.rows([], [37], "f32", tied), 3)],
  "8 of 257": [{ tokens: 9 }, (b) => renormalised(b, b.rows([], [257], "f32", tied), 8)],
  "12 of 768": [{ tokens: 5 }, (b) => renormalised(b, b.rows([], [768], "f32", tied), 12)],
  "16 of 1024": [{ tokens: 3 }, (b) => renormalised(b, b.rows([], [1024], "f32", tied), 16)],
  "4 of 24 in 2 of 6 groups": [RAGGED, (b) => ofOpenGroups(b, b.rows([], [24], "f32", tied), 6, 2, 4)],
  "8 of 256 in 4 of 8 groups": [{ tokens: 7 }, (b) => ofOpenGroups(b, b.rows([], [256], "f32", tied), 8, 4, 8)],
  "those of 9 above 0": [RAGGED, (b) => thoseAbove(b, b.rows([], [9], "f32", tied))],
  infinities: [{ tokens: 2 }, (b) => renormalised(b, b.rows([], [4], "f32", [1, -inf, -inf, 1, 0, 1, -inf, 2]), 2)],
};

describe("what is computed around a choice of entries", () => {
  it.each(Object.entries(CASES))(
    "%s: one kernel, and what the reference gives",
    { tags: "long" },
    async (_name, [setting, build]) => {
      const b = new Bench(setting, 11);
      const own = caseOf(b, build(b));
      const tunings = tuningsFor(PORTABLE);
      const ways = [
        [device.target, tuningsFor(device.target)],
        [PORTABLE, tunings],
        [PORTABLE, { ...tunings, reductions: { lanes: 64, alone: 0 } }],
      ] as const;
      const expected = evaluate(own.graph, own.options).outputs;
      for (const [target, by] of ways) {
        const { steps } = schedule(own.graph, target, by);
        expect(steps.map((s) => (s.kind === "dispatch" ? s.kernel.file : s.kind))).toEqual(["gating"]);
        const found = await runOnDevice(device, own, target, by);
        for (const [name, { data, dtype }] of expected)
          expectClose(found[name]!.data, data, (v) => (dtype === "f32" ? 1e-7 + 2e-6 * Math.abs(v) : 0), name);
      }
    },
  );

  it("NaN ranks last and spreads over the softmax of its row", async () => {
    const b = new Bench({ tokens: 2 }, 1);
    const own = caseOf(b, renormalised(b, b.rows([], [5], "f32", [nan, 1, nan, -inf, 0, 3, 1, 2, 0, 3]), 3));
    const { y0, y1 } = await runOnDevice(device, own);
    expect([...y0!.data]).toEqual([1, 3, 4, 0, 2, 4]);
    expect([...y1!.data].slice(0, 3).every(Number.isNaN)).toBe(true);
    expectClose(
      [...y1!.data].slice(3),
      [...evaluate(own.graph, own.options).outputs.get("y1")!.data].slice(3),
      () => 1e-6,
    );
  });

  it("an operator of its own stays one where nothing is computed beside it", () => {
    const b = new Bench(RAGGED, 3);
    const own = caseOf(b, [b.node("top_entries", [b.rows([], [8])], { k: 2, choice: "C" })]);
    const { steps } = schedule(own.graph, PORTABLE);
    expect(steps.map((s) => (s.kind === "dispatch" ? s.kernel.file : s.kind))).toEqual(["top_entries"]);
  });
});
