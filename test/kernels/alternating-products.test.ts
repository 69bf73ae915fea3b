// Tiles whose two sides take blocks of k in turns have the bits of tiles that do not, with what is fused into them, for
// every encoding of weights: blocks one by one and in pairs, the last cut short, fewer rows than a tile and more.
import { beforeAll, describe, expect, it } from "vitest";
import { compile, programFor } from "../../src/compiler/compile.js";
import { evaluate } from "../../src/compiler/reference/evaluate.js";
import { type Device, initialValues, load } from "../../src/runtime/index.js";
import { asStored } from "../../src/runtime/weights/stored.js";
import type { Precision } from "../../src/runtime/program/target.js";
import { tuningsFor } from "../../src/compiler/schedule/tunings/index.js";
import type { ProductTuning } from "../../src/compiler/schedule/tunings/index.js";
import { testDevice } from "../device.js";
import { random } from "../random.js";
import { soaking } from "../soak.js";

let device: Device;
beforeAll(async () => {
  device = await testDevice();
});

/** A norm before the product, and what is added and multiplied behind it. */
const source = (depth: number, columns: number, transposed: boolean): string => `model Product() {
  weight g: f32[${depth}] = normal(1)
  weight w: f32[${transposed ? `${columns}, ${depth}` : `${depth}, ${columns}`}] = normal(0.3)
  weight c: f32[${columns}] = normal(1)
  forward(x: f32[B, T, ${depth}], r: f32[B, T, ${columns}]) -> f32[B, T, ${columns}] {
    h = x * rsqrt(mean(x ^ 2, axis: -1, keep: true) + 1e-6) * g
    r + gelu(h @ ${transposed ? "transpose(w)" : "w"}) * c
  }
}`;

const PRODUCTS: readonly (readonly [depth: number, columns: number, transposed: boolean, Precision])[] = [
  [1, 3, false, {}],
  [64, 64, true, {}],
  [128, 68, false, {}],
  [150, 130, true, {}],
  [205, 65, false, { weights: "f16" }],
  [96, 70, true, { weights: "q8" }],
  [160, 64, false, { weights: "q4" }],
  ...(soaking
    ? ([
        [256, 200, false, { weights: "q8" }],
        [128, 61, true, { weights: "q4" }],
        [192, 129, false, { activations: "f16" }],
        [63, 36, true, { weights: "bf16" }],
      ] as const)
    : []),
];

describe("tiles whose sides take turns", () => {
  it.each(PRODUCTS)(
    "have the bits of other tiles: depth %i, %i columns, transposed: %s, %o",
    { timeout: 120_000 },
    async (depth, columns, transposed, precision) => {
      const { target } = device;
      const { graph, model, sources, diagnostics } = compile(source(depth, columns, transposed), { target, precision });
      if (!graph || !model) throw new Error(diagnostics.map((d) => d.message).join());
      const rng = random(depth + columns);
      const programOf = (tuning: ProductTuning) => {
        const cases = [{ most: null, tuning }];
        const { products, ...others } = tuningsFor(target);
        const own = { ...products, panel: 64, byWeight: cases, byWeightAnyRows: cases, leastColumns: 1, shapes: [] };
        const { quantized: _q, buffered: _b, ...bare } = own;
        return programFor({ graph, model, sources }, target, { ...others, products: bare }, precision);
      };
      const [alternating, tiled] = [8, 4].map((rows) => programOf({ kind: "tiled", rows, vectors: 1 }));
      const files = [alternating!, tiled!].map(({ kernels }) =>
        kernels.map(({ name }) => name.replace(/\.\d+$/, "")).find((name) => name.startsWith("matmul")),
      );
      expect(files).toEqual(["matmul_alternating", "matmul_tiled"]);
      const weights = new Map(
        tiled!.weights.map((w) => [w.path, { shape: w.shape, data: asStored(w, initialValues(w, 3) as Float32Array) }]),
      );
      const sessions = await Promise.all(
        [alternating!, tiled!].map((program) => load(program, device, (w) => initialValues(w, 3))),
      );
      for (const rows of [1, 5, 131]) {
        const values = (width: number) => ({
          shape: [1, rows, width],
          data: Float32Array.from({ length: rows * width }, () => rng.normal()),
        });
        const inputs = { x: values(depth), r: values(columns) };
        const [found, wanted] = await Promise.all(sessions.map(async (s) => (await s.run(inputs))["output"]!.data));
        expect([...found!], `${rows} rows`).toEqual([...wanted!]);
        if (rows !== 5) continue;
        const exact = evaluate(graph, { inputs: new Map(Object.entries(inputs)), weights }).outputs.get("output")!.data;
        const largest = Math.max(...Array.from(exact, Math.abs));
        const worst = Math.max(...Array.from(exact, (v, i) => Math.abs(v - found![i]!)));
        expect(worst / largest).toBeLessThan("activations" in precision ? 2 ** -8 : 1e-5);
      }
      for (const session of sessions) session.dispose();
    },
  );
});
