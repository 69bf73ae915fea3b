// Kernels for the matrix units of GPUs are accepted by Dawn as modules, for shapes and widths that no device here has,
// in every encoding of weights: its null backend lists no units, so no pipeline can be made of them.
import { describe, expect, it } from "vitest";
import { emit } from "../../src/compiler/codegen/emit.js";
import { compile, programFor } from "../../src/compiler/compile.js";
import { DEFAULT_LIMITS, type MatrixShape, type Precision, type Target } from "../../src/runtime/program/target.js";
import { schedule } from "../../src/compiler/schedule/schedule.js";
import { attentionOnUnits } from "../../src/compiler/schedule/tunings/attention.js";
import { tuningsFor } from "../../src/compiler/schedule/tunings/index.js";
import { matrixTunings } from "../../src/compiler/schedule/tunings/matrix.js";
import { caseOf, samples } from "../compiler/ops/samples.js";
import { openDawnModules } from "./compilers.js";

const SHAPES = [
  [16, 16, 16],
  [16, 8, 16],
  [16, 8, 8],
  [8, 16, 16],
  [8, 8, 8],
] as const;
const PRECISIONS: readonly Precision[] = [
  { weights: "f16" },
  { weights: "q8" },
  { weights: "q4" },
  { activations: "f16" },
];
const SOURCE = `model Products() {
  weight w: f32[96, 64] = normal(1)
  forward(x: f32[B, T, 64]) -> f32[B, T, 96] { gelu(x @ transpose(w)) }
}`;

const targetOf = (width: number, [m, n, k]: (typeof SHAPES)[number], matrixVectors = true): Target => {
  const shape: MatrixShape = { m, n, k, input: "f16", output: "f32" };
  const limits = { ...DEFAULT_LIMITS, workgroupStorageBytes: 32_768, invocationsPerWorkgroup: 1024 };
  return { device: "discrete", subgroups: [width, width], f16: true, matrices: [shape], matrixVectors, limits };
};

const FEATURES = ["subgroups", "shader-f16", "chromium-experimental-subgroup-matrix"];

describe.each([4, 8, 16, 32, 64])("with subgroups of %i", (width) => {
  it("products", { tags: "long" }, async () => {
    const accepts = await openDawnModules(FEATURES);
    for (const [i, shape] of SHAPES.entries()) {
      const target = targetOf(width, shape, (i + width / 4) % 3 > 0);
      const precision = PRECISIONS[(i + width / 4) % PRECISIONS.length]!;
      const { graph, model, sources } = compile(SOURCE, { target, precision });
      for (const tuning of matrixTunings(target).filter((_, j) => j % 8 === i)) {
        const cases = [{ most: null, tuning }];
        const own = { panel: 32, byWeight: cases, byWeightAnyRows: cases, shapes: [], byValue: tuning };
        const tunings = { ...tuningsFor(target), products: { ...own, subgroupSize: width, leastColumns: 1 } };
        const { kernels } = programFor({ graph: graph!, model: model!, sources }, target, tunings, precision);
        const onUnits = kernels.filter(({ wgsl }) => wgsl.includes("subgroupMatrixMultiplyAccumulate"));
        expect(onUnits.length).toBe(1);
        for (const { wgsl } of onUnits) {
          expect(await accepts(wgsl)).toBeNull();
          // The units load f16: another type would be noticed.
          expect(await accepts(wgsl.replace(/tiles: array<(f16|vec4<u32>)/, "tiles: array<bool"))).not.toBeNull();
        }
      }
    }
  });

  it("attention", { tags: "long" }, async () => {
    const accepts = await openDawnModules(FEATURES);
    const sample = samples.attention_grad.list.find(({ name }) => name === "a window over several blocks")!;
    const { graph } = caseOf("attention_grad", sample);
    for (const [i, shape] of SHAPES.entries()) {
      const target = targetOf(width, shape, (i + width / 4) % 3 > 0);
      for (const attention of attentionOnUnits(target).filter((_, j) => j % 3 === 0)) {
        const tunings = { ...tuningsFor(target), attention };
        const { kernels } = emit(schedule(graph, target, tunings, { products: "f16" }));
        const onUnits = kernels.filter(({ wgsl }) => wgsl.includes("subgroupMatrixMultiplyAccumulate"));
        expect(onUnits.length, JSON.stringify(attention)).toBe(3);
        for (const { wgsl } of onUnits) expect(await accepts(wgsl)).toBeNull();
      }
    }
  });
});
