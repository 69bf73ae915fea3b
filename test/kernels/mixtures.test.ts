// Mixtures of experts give a row the same bits whichever kernel computes their products, and read encoded stacks.
import { expect, it } from "vitest";
import { emit } from "../../src/compiler/codegen/emit.js";
import { load } from "../../src/runtime/index.js";
import { schedule } from "../../src/compiler/schedule/schedule.js";
import { candidates, tuningsFor } from "../../src/compiler/schedule/tunings/index.js";
import { testDevice } from "../device.js";
import { Bench } from "../compiler/ops/bench.js";
import { mixture } from "../compiler/ops/mixture.js";
import { runOnDevice } from "./operators.js";

const device = await testDevice();

it("a mixture has the same bits with every tuning of its products", { tags: "long" }, async () => {
  const sizes = { dim: 40, hidden: 72, experts: 5, k: 2 };
  const b = new Bench({ tokens: 23 }, 9);
  const own = b.finish(mixture(b, b.rows([], [sizes.dim]), sizes), "rows");
  const all = candidates("products", device.target);
  let expected: readonly number[] | null = null;
  // Every fifth candidate has another kernel and tile. Packed candidates all run, because groups have separate packed
  // rows.
  for (const { name, tunings } of all.filter(({ name: own }, i) => i % 5 === 0 || own.startsWith("packed"))) {
    const { y0 } = await runOnDevice(device, own, device.target, { ...tuningsFor(device.target), products: tunings });
    const bits = [...(y0!.data as Float32Array)]; // of a result in f32
    expected ??= bits;
    expect(bits, name).toEqual(expected);
  }
  expect(all.length).toBeGreaterThan(20);
});

it.each(["f16", "bf16"] as const)("a mixture reads its stacks of weights in %s", async (weights) => {
  const sizes = { dim: 40, hidden: 72, experts: 5, k: 2 };
  const b = new Bench({ tokens: 23 }, 9);
  const { graph, options } = b.finish(mixture(b, b.rows([], [sizes.dim]), sizes), "rows");
  const results: (readonly number[])[] = [];
  const slots: number[] = [];
  for (const precision of [{}, { weights }]) {
    const program = emit(schedule(graph, device.target, tuningsFor(device.target), precision));
    // Values that each encoding holds exactly.
    const values = ({ path }: { readonly path: string }): Float32Array =>
      Float32Array.from(options.weights.get(path)!.data, (v) => Math.max(-1, Math.min(1, Math.round(v * 32) / 64)));
    const session = await load(program, device, values, { max: { B: 1, T: 23 } });
    const inputs = new Map([...options.inputs].map(([name, { shape, data }]) => [name, { shape, data: [...data] }]));
    const { y0 } = await session.run(inputs);
    results.push([...(y0!.data as Float32Array)]); // of a result in f32
    slots.push(session.memory.bytes);
    session.dispose();
  }
  expect(results[1]).toEqual(results[0]);
  expect(slots[1]!).toBeLessThan(0.8 * slots[0]!);
});
