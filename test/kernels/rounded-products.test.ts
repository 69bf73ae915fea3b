// Products that round b as they read it agree with the reference, which rounds the same values, in every kernel that
// may make them.
import { expect, it } from "vitest";
import { REDUCED_TYPES } from "../../src/ground/base/dtype.js";
import { tuningsFor, type ProductTuning } from "../../src/compiler/schedule/tunings/index.js";
import { schedule } from "../../src/compiler/schedule/schedule.js";
import { testDevice } from "../device.js";
import { Bench, type Case } from "../compiler/ops/bench.js";
import { compareOnDevice } from "./operators.js";

const product = (make: (b: Bench) => ReturnType<Bench["node"]>): Case => {
  const b = new Bench({ batch: 2, tokens: 60, lengths: [60, 21] }, 17);
  return b.finish(make(b), "product");
};

const CASES = REDUCED_TYPES.flatMap((roundsB): (readonly [string, Case])[] => [
  [
    `rows by a weight in ${roundsB}`,
    product((b) =>
      b.node("matmul", [b.rows([], [67]), b.weight("w", "f32", [140, 67])], { transposed: true, roundsB }),
    ),
  ],
  [
    `rows by a value in ${roundsB}`,
    product((b) => b.node("matmul", [b.rows([], [67]), b.data("f32", [67, 140])], { transposed: false, roundsB })),
  ],
  [
    `matrices in ${roundsB}`,
    product((b) =>
      b.node("matmul", [b.data("f32", [3, 13, 67]), b.data("f32", [3, 41, 67])], { transposed: true, roundsB }),
    ),
  ],
  [
    `one row in ${roundsB}`,
    product((b) =>
      b.node("matmul", [b.data("f32", [1, 96]), b.weight("w", "f32", [96, 64])], { transposed: false, roundsB }),
    ),
  ],
  [`over tokens in ${roundsB}`, product((b) => b.node("contract", [b.rows([], [70]), b.rows([], [68])], { roundsB }))],
]);
const KINDS: readonly (ProductTuning | null)[] = [
  null,
  { kind: "vectors", rows: 4, vectors: 2 },
  { kind: "tiled", rows: 8, vectors: 1 },
  { kind: "tiled", rows: 8, vectors: 2 },
];

it.each(CASES)("%s", { tags: "long" }, async (_name, of) => {
  const device = await testDevice("default");
  const own = tuningsFor(device.target);
  for (const byValue of KINDS) {
    const tunings = byValue ? { ...own, products: { ...own.products, byValue, workgroups: 1 } } : own;
    await compareOnDevice(device, "matmul", of, device.target, tunings);
    const { steps } = schedule(of.graph, device.target, tunings);
    const text = steps
      .flatMap((s) => (s.kind === "dispatch" ? [JSON.stringify(s.kernel.declarations)] : []))
      .join("\n");
    expect(text).toMatch(/reducedB\(x\)|modc_(bf16|f16)\(loadBStored/);
  }
});
