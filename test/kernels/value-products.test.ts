// Products by a computed b, as gradients of weights and attention by tensors have them, have the same bits in every
// kernel that may make them, and agree with the reference.
import { expect, it } from "vitest";
import { tuningsFor, type ProductTuning } from "../../src/compiler/schedule/tunings/index.js";
import { schedule } from "../../src/compiler/schedule/schedule.js";
import { testDevice } from "../device.js";
import { Bench, type Case } from "../compiler/ops/bench.js";
import { soaking } from "../soak.js";
import { compareOnDevice, runOnDevice } from "./operators.js";

const bench = (): Bench => new Bench({ batch: 2, tokens: 60, lengths: [60, 21] }, 17);
const product = (make: (b: Bench) => ReturnType<Bench["node"]>): Case => {
  const b = bench();
  return b.finish(make(b), "product");
};

const MORE: readonly (readonly [string, Case])[] = [
  [
    "of few rows",
    product((b) => b.node("matmul", [b.data("f32", [5, 129]), b.data("f32", [129, 132])], { transposed: false })),
  ],
];
const CASES: readonly (readonly [string, Case])[] = [
  [
    "of matrices",
    product((b) => b.node("matmul", [b.data("f32", [3, 130, 67]), b.data("f32", [3, 67, 140])], { transposed: false })),
  ],
  ["over tokens", product((b) => b.node("contract", [b.rows([], [70]), b.rows([], [68])], {}))],
  ["over tokens, of many columns", product((b) => b.node("contract", [b.rows([], [130]), b.rows([], [260])], {}))],
  ...(soaking ? MORE : []),
];
const KINDS: readonly ProductTuning[] = [
  { kind: "vectors", rows: 4, vectors: 2 },
  ...(soaking ? ([4, 8] as const).map((rows) => ({ kind: "tiled" as const, rows, vectors: 1 })) : []),
  { kind: "tiled", rows: 8, vectors: 2 },
];

it.each(CASES)("%s", async (_name, of) => {
  const device = await testDevice("default");
  const own = tuningsFor(device.target);
  let expected: readonly (readonly number[])[] | null = null;
  for (const byValue of KINDS) {
    const tunings = { ...own, products: { ...own.products, byValue, workgroups: 1 } };
    const { steps } = schedule(of.graph, device.target, tunings);
    const files = steps.flatMap((s) => (s.kind === "dispatch" ? [s.kernel.file] : []));
    await compareOnDevice(device, "matmul", of, device.target, tunings);
    const bits = Object.values(await runOnDevice(device, of, device.target, tunings)).map((r) => [...r.data]);
    expected ??= bits;
    expect(bits, files.join()).toEqual(expected);
  }
});

it("a large result takes its own kernel", async () => {
  const device = await testDevice("default");
  const own = tuningsFor(device.target);
  const [small, large] = [CASES[1]![1], CASES[2]![1]];
  const tiled = { kind: "tiled", rows: 8, vectors: 2 } as const;
  const products = { ...own.products, largeByValue: { elements: 130 * 260, tuning: tiled }, workgroups: 1 };
  const files = [small, large].map(({ graph }) =>
    schedule(graph, device.target, { ...own, products }).steps.flatMap((s) =>
      s.kind === "dispatch" && s.kernel.file.startsWith("matmul") ? [s.kernel.file] : [],
    ),
  );
  expect(files[0]).not.toContain("matmul_tiled");
  expect(files[1]).toEqual(["matmul_tiled"]);
});
