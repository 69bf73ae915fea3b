// Sums over rows, one to four in one pass: through hooks as they may be written, in every way a device has, against the
// loop in 64 bits.
import { beforeAll, describe, expect, it } from "vitest";
import { emit } from "../../src/compiler/codegen/emit.js";
import { isOp, type Node } from "../../src/compiler/ir/graph.js";
import type { Target } from "../../src/runtime/program/target.js";
import { evaluate } from "../../src/compiler/reference/evaluate.js";
import { type Device, load } from "../../src/runtime/index.js";
import { Extents } from "../../src/compiler/schedule/analysis/extents.js";
import { rowSums } from "../../src/compiler/schedule/kernels/rows.js";
import { input, result, type KernelBuilder, type Operand } from "../../src/compiler/schedule/kernels/spec.js";
import type { Plan, PlanStep } from "../../src/compiler/schedule/plan/plan.js";
import { schedule } from "../../src/compiler/schedule/schedule.js";
import { candidates } from "../../src/compiler/schedule/tunings/index.js";
import type { RowSumsTuning } from "../../src/compiler/schedule/tunings/row-sums.js";
import { rational } from "../../src/ground/numerics/rational.js";
import { rowsSize } from "../../src/ground/size/size.js";
import { testDevice } from "../device.js";
import { Bench, type Case } from "../compiler/ops/bench.js";
import { thinned } from "../soak.js";

/** The summed rows of x: all rows, or the rows of a route, found through the route's index. */
interface Setting {
  readonly lengths: readonly number[];
  readonly depth: number;
  readonly axis: "T" | "A";
  readonly sums: number;
}

/** x · w, x², x and |x|, summed over each row: the first few of them. */
function build({ lengths, depth, axis, sums }: Setting): Case & { readonly index: Node | null } {
  const axes = { A: { kind: "above", parent: "T", expected: rational(1, 2) } } as const;
  const b = new Bench(
    { batch: lengths.length, tokens: Math.max(...lengths), lengths, ...(axis === "A" ? { axes } : {}) },
    11,
  );
  if (axis === "A") b.above("A", b.rows([], []), b.data("f32", [], [0.1]));
  const all = b.rows([], [depth]);
  const x = axis === "A" ? b.node("take", [all, b.index("A")], { dim: 0 }) : all;
  const w = b.data("f32", [depth]);
  const values = [b.node("mul", [x, w], {}), b.node("mul", [x, x], {}), x, b.node("abs", [x], {})].slice(0, sums);
  const cases = values.map((v, i) => b.finish(b.node("sum", [v], { axes: [1], keep: false }), `sum ${i}`));
  const outputs = cases.flatMap((c, i) => c.graph.outputs.map((o) => ({ ...o, name: `y${i}` })));
  const last = b.finish(values.at(-1)!, "all");
  const inputs = new Map(cases.flatMap((c) => [...c.options.inputs]));
  const used = new Map(cases.flatMap((c) => c.graph.inputs.map((i) => [i.name, i] as const)));
  return {
    graph: { ...last.graph, inputs: [...used.values()], outputs },
    options: { ...last.options, inputs },
    index: axis === "A" ? b.index("A") : null,
  };
}

const VALUES = ["v * c.weight", "v * v", "v", "abs(v)"];

/** What the core would declare: a row where its index says, and the weight of a column. */
function hooks(gathers: boolean, sums: number): (kernel: KernelBuilder) => void {
  return (kernel) => {
    kernel.read("x", "f32", input(0)).read("w", "f32", input(1));
    if (gathers) kernel.read("index", "u32", input(2));
    kernel.function(
      `struct RowX { at: u32 }\nfn rowX(row: u32) -> RowX { return RowX(${gathers ? "index[row]" : "row"} * ` +
        "depth()); }",
    );
    kernel.function("struct ColX { weight: f32 }\nfn colX(k: u32) -> ColX { return ColX(w[k]); }");
    const parts = VALUES.slice(0, sums).join(", ");
    kernel.function(`fn valueX(r: RowX, c: ColX, k: u32) -> Sums { let v = x[r.at + k]; return Sums(${parts}); }`);
  };
}

/** The plan with one step in place of those that gather, multiply and sum. */
function joined(plan: Plan, { depth, axis, sums }: Setting, index: Node | null, tuning: RowSumsTuning): Plan {
  const made = rowSums(
    {
      rows: rowsSize(axis),
      depth,
      results: Array.from({ length: sums }, (_, i) => ({ operand: result(i), dtype: "f32" as const, parts: 1 })),
      declare: hooks(index !== null, sums),
    },
    new Extents(plan.graph.axes),
    tuning,
  );
  if (made.kind !== "dispatch") throw new Error("sums are a dispatch");
  const kept = plan.steps.filter((s) => s.nodes.some((n) => n.op === "above"));
  const route = kept.at(-1);
  const slotOf = (operand: Operand): number => {
    if (operand.from === "result") return plan.outputs[operand.index]!.slot;
    if (operand.from === "starts") return written(route, "starts");
    if (operand.from === "input" && operand.index === 2) return written(route, "index");
    const names = plan.graph.inputs.flatMap(({ node }) => (isOp(node, "input") ? [node.attrs.name] : []));
    const [x, w] = names.slice(axis === "A" ? -2 : 1);
    return plan.inputs.get(operand.from === "input" && operand.index === 0 ? x! : w!)!;
  };
  const step: PlanStep = {
    ...made,
    buffers: made.buffers.map(slotOf),
    origin: null,
    nodes: plan.steps.flatMap((s) => s.nodes).filter((n) => n.op === "sum"),
  };
  return { ...plan, steps: [...kept, step] };
}

function written(step: PlanStep | undefined, name: string): number {
  if (step?.kind !== "dispatch") throw new Error("a kernel chooses the rows");
  return step.buffers[step.kernel.buffers.findIndex((b) => b.name === name)]!;
}

async function run(
  device: Device,
  setting: Setting,
  tuning: RowSumsTuning,
  found = build(setting),
): Promise<readonly (readonly number[])[]> {
  const plan = joined(schedule(found.graph, device.target), setting, found.index, tuning);
  const session = await load(emit(plan), device);
  try {
    const inputs = new Map(
      [...found.options.inputs].map(([name, { shape, data }]) => [name, { shape, data: Array.from(data) }]),
    );
    const results = await session.run(inputs, { lengths: Uint32Array.from(setting.lengths) });
    return Array.from({ length: setting.sums }, (_, i) => [...results[`y${i}`]!.data]);
  } finally {
    session.dispose();
  }
}

/** Some of all there are. */
const SOME = /^(workgroup (1|4|16|64) × [14]|subgroup [148])$/;
const tunings = (target: Target): readonly RowSumsTuning[] =>
  candidates("rowSums", target).flatMap((c) => (SOME.test(c.name) ? [c.tunings] : []));

describe.each(["default", "swiftshader"] as const)("sums over rows on the %s device", (which) => {
  let device: Device;
  beforeAll(async () => {
    device = await testDevice(which);
  });

  it.each<readonly [string, number, Setting]>([
    ["one sum", 0, { lengths: [5], depth: 70, axis: "T", sums: 1 }],
    ["two sums of more rows than a workgroup has", 1, { lengths: [67, 0, 9], depth: 67, axis: "T", sums: 2 }],
    [
      "four sums of rows that the device counts, through their index",
      2,
      { lengths: [33, 20, 0, 1], depth: 300, axis: "A", sums: 4 },
    ],
    ["three sums of one column", 3, { lengths: [3], depth: 1, axis: "T", sums: 3 }],
  ])("agree with the loop: %s", { tags: "long" }, async (_name, first, setting) => {
    const found = build(setting);
    const wanted = evaluate(found.graph, found.options).outputs;
    // On SwiftShader a quarter of the tunings for each setting, in turn.
    for (const tuning of thinned(which, tunings(device.target), 4, first)) {
      const sums = await run(device, setting, tuning, found);
      sums.forEach((values, i) => {
        const expected = [...wanted.get(`y${i}`)!.data];
        expect(values.length).toBe(expected.length);
        // Blocks of 32: a few units of the last place of the sum of the terms' sizes, some √depth · 0.8.
        const off = values.reduce((m, v, n) => Math.max(m, Math.abs(v - expected[n]!)), 0);
        expect(off, `sum ${i}, ${JSON.stringify(tuning)}`).toBeLessThan(1e-6 * setting.depth + 2e-6);
        expect(expected.some((v) => Math.abs(v) > 0.1)).toBe(true);
      });
    }
  });

  it("give a row the same bits alone and among others", { tags: "long" }, async () => {
    const many: Setting = { lengths: [45], depth: 515, axis: "T", sums: 2 };
    const all = build(many);
    const one: Setting = { ...many, lengths: [1] };
    const alone = build(one);
    const name = [...all.options.inputs].find(([, v]) => v.shape.length === 3)![0];
    const weight = [...all.options.inputs].find(([, v]) => v.shape.length === 1)!;
    for (const tuning of thinned(which, tunings(device.target), 6)) {
      const expected = await run(device, many, tuning, all);
      for (const row of [0, 17, 44]) {
        const data = all.options.inputs.get(name)!.data.slice(row * 515, (row + 1) * 515);
        const inputs = new Map([...alone.options.inputs, [name, { shape: [1, 1, 515], data }], weight]);
        const found = await run(device, one, tuning, { ...alone, options: { ...alone.options, inputs } });
        expect(found, JSON.stringify(tuning)).toEqual(expected.map((values) => [values[row]]));
      }
    }
  });
});
