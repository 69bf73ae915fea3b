// Products by weights that are states: packed on the device in every run, or read where they lie, they compute what the
// same weights loaded do.
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { weightsAsStates } from "../../src/compiler/autodiff/train-step.js";
import { emit } from "../../src/compiler/codegen/emit.js";
import { optimize } from "../../src/compiler/passes/index.js";
import type { Precision, Target } from "../../src/runtime/program/target.js";
import { evaluate } from "../../src/compiler/reference/evaluate.js";
import { load, type Device } from "../../src/runtime/index.js";
import type { Plan } from "../../src/compiler/schedule/plan/plan.js";
import { schedule } from "../../src/compiler/schedule/schedule.js";
import { candidates, tuningsFor } from "../../src/compiler/schedule/tunings/index.js";
import { testDevice } from "../device.js";
import { Bench, type Case } from "../compiler/ops/bench.js";
import { expectAgreement } from "../end-to-end/agree.js";
import { compiled, onDevice, randomLengths, randomTokens, randomWeights, reference } from "../end-to-end/model.js";
import { expectClose } from "../close.js";
import { thinned } from "../soak.js";

const packs = (plan: Plan): number =>
  plan.steps.filter((s) => s.kind === "dispatch" && s.kernel.file.startsWith("panels")).length;

/** Rows by states. */
function product(rows: number, depth: number, columns: number, transposed: boolean): Case {
  const b = new Bench({ batch: 2, tokens: rows, lengths: [rows, Math.floor(rows / 3)] }, 11);
  return b.finish(
    b.node("matmul", [b.rows([], [depth]), b.weight("w", "f32", transposed ? [columns, depth] : [depth, columns])], {
      transposed,
    }),
    "product",
  );
}

/** The same with states that hold the weights, and what it must give, run by its weights' values. */
async function compareAsStates(
  device: Device,
  { graph, options }: Case,
  target: Target,
  tunings = tuningsFor(target),
  precision: Precision = {},
): Promise<void> {
  const session = await load(emit(schedule(weightsAsStates(graph), target, tunings, precision)), device);
  try {
    await session.writeStates(
      new Map([...options.weights].map(([path, { data }]) => [path, { data: Float32Array.from(data) }])),
    );
    const inputs = new Map([...options.inputs].map(([name, { shape, data }]) => [name, { shape, data: [...data] }]));
    const results = await session.run(inputs, options.lengths === undefined ? {} : { lengths: options.lengths });
    const { outputs } = evaluate(graph, options);
    for (const [name, { data }] of outputs)
      expectClose(results[name]!.data, data, (v) => 6e-6 + 2e-6 * Math.abs(v), name);
  } finally {
    session.dispose();
  }
}

describe.each(["default", "swiftshader"] as const)("on the %s device", (which) => {
  let device: Device;
  beforeAll(async () => {
    device = await testDevice(which);
  });

  it.each([
    [1, 67, 131],
    [35, 68, 140],
    [9, 64, 32],
    [5, 12, 3],
  ])("%i rows, depth %i, %i columns", async (rows, depth, columns) => {
    for (const transposed of [true, false])
      await compareAsStates(device, product(rows, depth, columns, transposed), device.target);
  });

  it("by every way to compute a product", { tags: "long" }, async () => {
    const every = candidates("products", device.target).filter((_, i) => i % 5 === 0);
    for (const { tunings } of thinned(which, every, 2))
      for (const transposed of [true, false])
        await compareAsStates(device, product(5, 36, 72, transposed), device.target, {
          ...tuningsFor(device.target),
          products: tunings,
        });
  });

  it.each([
    [40, [64, 32]],
    [24, [20, 40, 4]],
    [37, [16, 21]],
    [8, [2, 3]],
  ])("side by side: depth %i, columns %j", async (depth, widths) => {
    for (const transposed of [true, false]) {
      const b = new Bench({}, 7);
      const weights = widths.map((n, i) => b.weight(`w${i}`, "f32", transposed ? [n, depth] : [depth, n]));
      const joint = b.node("concat", weights, { axis: transposed ? 0 : 1 });
      const of = b.finish(b.node("matmul", [b.data("f32", [9, depth]), joint], { transposed }), "side by side");
      // States are words, however weights and activations are stored.
      const precisions: readonly Precision[] = [{}, { weights: "bf16" }, { activations: "f16" }];
      for (const precision of precisions)
        if (precision.activations !== "f16" || device.target.f16)
          await compareAsStates(device, of, device.target, tuningsFor(device.target), precision);
    }
  });
});

/** A third of the example's width: heads of 64, three per key head, as in the example. */
const LLAMA = { depth: "2", vocab: "512", dim: "192", heads: "3", kv_heads: "1", hidden: "512" };

describe.each(["moby", "llama"])("examples/%s.mod with its weights as states", (name) => {
  const vocab = name === "moby" ? 256 : 512;
  const source = readFileSync(new URL(`../../examples/${name}.mod`, import.meta.url), "utf8");
  it("computes what the reference does, heads turned and gates paired", { tags: "long" }, async () => {
    const device = await testDevice();
    const { program, graph } = compiled(source, name === "moby" ? {} : { set: LLAMA });
    const weights = randomWeights(program, 3);
    const plan = schedule(optimize(weightsAsStates(graph)), device.target);
    expect(packs(plan)).toBeGreaterThan(4);
    const given = { inputs: { tokens: randomTokens([2, 33], vocab, 5) }, lengths: randomLengths(2, 33, 6) };
    const session = await load(emit(plan), device);
    try {
      const read = new Set(session.program.states.map((s) => s.name));
      await session.writeStates(new Map([...weights].filter(([path]) => read.has(path))));
      const results = await onDevice(session, given);
      expectAgreement(
        graph,
        weights,
        given,
        results,
        { atol: 3e-5, rtol: 3e-5 },
        { choices: 0, forced: 0 },
        reference(graph, weights, given),
      );
    } finally {
      session.dispose();
    }
  });
});

describe("a weight that is a state", () => {
  const asStates = ({ graph }: Case) => weightsAsStates(graph);
  it("is packed once for all products that read it transposed, and read where it lies by the others", () => {
    const b = new Bench({ tokens: 9 }, 3);
    const w = b.weight("w", "f32", [32, 32]);
    const h = b.node("matmul", [b.rows([], [32]), w], { transposed: true });
    const again = b.node("matmul", [b.node("tanh", [h], {}), w], { transposed: true });
    const back = b.node("matmul", [again, w], { transposed: false });
    expect(packs(schedule(asStates(b.finish(back, "thrice"))))).toBe(1);
  });
  it("of one column gives scores as sums over rows", () => {
    const b = new Bench({ tokens: 9 }, 3);
    const score = b.node("matmul", [b.rows([], [32]), b.weight("w", "f32", [1, 32])], { transposed: true });
    const plan = schedule(optimize(asStates(b.finish(score, "score"))));
    expect(plan.steps.map((s) => s.kind === "dispatch" && s.kernel.file)).toEqual(["row_sums_wide"]);
  });
  it("is merged with others that are multiplied by the same rows, though gradients read each alone", () => {
    const b = new Bench({ tokens: 9 }, 3);
    const x = b.rows([], [32]);
    const weights = ["u", "v"].map((path) => b.weight(path, "f32", [32, 32]));
    const [u, v] = weights.map((w) =>
      b.node("matmul", [b.node("tanh", [b.node("matmul", [x, w], { transposed: true })], {}), w], {
        transposed: false,
      }),
    );
    const plan = schedule(optimize(asStates(b.finish(b.node("add", [u!, v!], {}), "two"))));
    expect(
      plan.steps.filter(
        (s) => s.nodes[0]!.op === "matmul" && s.kind === "dispatch" && s.kernel.file.startsWith("matmul"),
      ),
    ).toHaveLength(3);
  });
});
