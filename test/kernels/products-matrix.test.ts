// Products on matrix units agree with the reference, with what is fused into them, at sizes that fill no tile; they are
// used only where operands may be rounded to f16. Runs where Mesa's software device has matrix units.
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, it, type TestContext } from "vitest";
import { roundToF16 } from "../../src/ground/base/f16.js";
import { compile, programFor } from "../../src/compiler/compile.js";
import type { Program, ProgramWeight } from "../../src/runtime/program/program.js";
import { parseProgram, printProgram } from "../../src/runtime/program/serialize.js";
import type { Precision } from "../../src/runtime/program/target.js";
import { evaluate } from "../../src/compiler/reference/evaluate.js";
import { initialValues, load, type Device } from "../../src/runtime/index.js";
import { checkRequirements } from "../../src/runtime/run/load.js";
import { asStored } from "../../src/runtime/weights/stored.js";
import { tuningsFor, type Tunings } from "../../src/compiler/schedule/tunings/index.js";
import { attentionOnUnits } from "../../src/compiler/schedule/tunings/attention.js";
import { matrixTunings, type MatrixTuning } from "../../src/compiler/schedule/tunings/matrix.js";
import { tuningName } from "../../src/compiler/schedule/tunings/products.js";
import { matrixDevice } from "../device.js";
import { random } from "../random.js";
import { byTurns, soaking } from "../soak.js";

let device: Device;
let missing: string | null = null;
beforeAll(async () => {
  const found = await matrixDevice();
  if (typeof found === "string") missing = found;
  else device = found;
});

/** Skips a test, with the reason, where there is no such device. */
const needsUnits = (context: TestContext): void => {
  if (missing !== null) context.skip(missing);
};

/** All products by matrix units that may be, in this way. */
function forced(tuning: MatrixTuning): Tunings {
  const cases = [{ most: null, tuning }];
  const tunings = tuningsFor(device.target);
  const own = { panel: 32, byWeight: cases, byWeightAnyRows: cases };
  return {
    ...tunings,
    attention: attentionOnUnits(device.target)[0]!,
    products: { ...own, subgroupSize: device.target.subgroups![0], leastColumns: 1, shapes: [], byValue: tuning },
  };
}

/**
 * One subgroup with tiles of vectors and four with tiles of halves, in a soak all tiles and those too: Mesa takes a
 * second to compile a matrix kernel of few sums, and several for one of many.
 */
const ways = (): readonly MatrixTuning[] => {
  const all = matrixTunings(device.target).filter(({ depth }) => soaking || depth === 32);
  const inHalves = { ...all.find(({ down }) => down === 2)!, vectors: false };
  return soaking ? [...all, inHalves] : [all[0]!, inHalves];
};

function programOf(
  source: string,
  tuning: MatrixTuning,
  precision: Precision,
  set: Record<string, number> = {},
): { readonly program: Program; readonly graph: NonNullable<ReturnType<typeof compile>["graph"]> } {
  const { graph, model, sources, diagnostics } = compile(source, { set, target: device.target, precision });
  if (!graph || !model) throw new Error(diagnostics.map((d) => d.code).join());
  return { program: programFor({ graph, model, sources }, device.target, forced(tuning), precision), graph };
}

const onMatrices = ({ kernels }: Program): number =>
  kernels.filter(({ wgsl }) => wgsl.includes("subgroupMatrixMultiplyAccumulate")).length;

const initial = (w: ProgramWeight): Float32Array => initialValues(w, 3) as Float32Array;
const storedBy =
  ({ weights }: Program) =>
  (w: { readonly path: string }): Float32Array => {
    const own = weights.find(({ path }) => path === w.path)!;
    return asStored(own, initial(own)) as Float32Array;
  };

/** Products with nothing fused: sizes that no tile divides, in both orders. */
const PRODUCT = (depth: number, columns: number, transposed: boolean): string => `model Product() {
  weight w: f32[${transposed ? `${columns}, ${depth}` : `${depth}, ${columns}`}] = normal(1)
  forward(x: f32[B, T, ${depth}]) -> f32[B, T, ${columns}] { x @ ${transposed ? "transpose(w)" : "w"} }
}`;
const SHAPES: readonly (readonly [depth: number, columns: number, transposed: boolean, Precision])[] = [
  [1, 33, false, { weights: "f16" }],
  [72, 36, true, { weights: "f16" }],
  [130, 61, false, { weights: "f16" }],
  [13, 8, true, { activations: "f16" }],
  [96, 40, false, { weights: "q8" }],
  [64, 100, true, { weights: "q4" }],
];

/** Products by weights, including a transposed weight, and a product of two values, on routed rows. */
const TRAINED = `import { MoD } from "std"
block Inner() {
  weight w: f32[24, 40] = normal(0.2)
  weight v: f32[24, 40] = normal(0.2)
  forward(x: f32[..., 24]) -> f32[..., 24] { gelu(x @ w) @ transpose(v) }
}
model Trained() {
  layer: MoD(Inner(), 24, 50%)
  weight s: f32[36, 24] = normal(0.2)
  weight m: f32[24, 36] = normal(0.2)
  forward(x: f32[B, T <= 32, 24]) -> f32[B, T, 24] { layer(x) @ (m @ s) }
  objective(x: f32[B, T <= 32, 24]) { loss square = mean(forward(x) ^ 2) }
}`;

/** Models, and how many kernels of each are products on matrix units. */
const MOBY = { dim: 32, depth: 2, heads: 4, vocab: 97, context: 64 };
const MODELS = [
  { name: "moby", set: MOBY, precision: { activations: "f16" }, least: 8 },
  { name: "moe", set: { dim: 32, depth: 1, vocab: 50 }, precision: { weights: "f16" }, least: 3 },
  ...(soaking
    ? ([
        { name: "moby", set: MOBY, precision: { weights: "f16" }, least: 8 },
        { name: "moby", set: MOBY, precision: { weights: "q8" }, least: 8 },
      ] as const)
    : []),
] as const;

describe("products on matrix units", () => {
  it.for(SHAPES)(
    "are sums in f32 of operands rounded to f16: depth %i, %i columns, transposed: %s, %o",
    async ([depth, columns, transposed, precision], context) => {
      needsUnits(context);
      const rng = random(depth);
      for (const tuning of byTurns(ways(), 2, Number(transposed))) {
        const { program } = programOf(PRODUCT(depth, columns, transposed), tuning, precision);
        expect(onMatrices(program)).toBe(1);
        const w = Float32Array.from(storedBy(program)({ path: "w" }), roundToF16);
        const session = await load(program, device, initial);
        for (const rows of [1, 7, 17, 65]) {
          const x = Float32Array.from({ length: rows * depth }, () => rng.normal());
          const y = (await session.run({ x: { shape: [1, rows, depth], data: x } }))["output"]!.data;
          let worst = 0;
          for (let i = 0; i < rows; i++)
            for (let j = 0; j < columns; j++) {
              let [sum, size] = [0, 0];
              for (let k = 0; k < depth; k++) {
                const term = roundToF16(x[i * depth + k]!) * w[transposed ? j * depth + k : k * columns + j]!;
                sum += term;
                size += Math.abs(term);
              }
              // One rounding for each addition, of sums no larger than the sum of magnitudes.
              worst = Math.max(worst, Math.abs(y[i * columns + j]! - sum) / (size * (depth + 2) * 2 ** -24));
            }
          expect(worst, `${rows} rows by ${tuningName(tuning)}`).toBeLessThan(1);
        }
        session.dispose();
      }
    },
  );

  it.for(MODELS)(
    "carry prologues and epilogues, of $name in $precision",
    { tags: "long", timeout: 200_000 },
    async (model, context) => {
      needsUnits(context);
      const { name, set, precision, least } = model;
      const source = readFileSync(new URL(`../../examples/${name}.mod`, import.meta.url), "utf8");
      const { program, graph } = programOf(source, ways()[0]!, precision, set);
      expect(onMatrices(program)).toBeGreaterThanOrEqual(least);
      const stored = storedBy(program);
      const weights = new Map(program.weights.map((w) => [w.path, { shape: w.shape, data: stored(w) }]));
      const session = await load(program, device, initial);
      const rng = random(4);
      for (const lengths of [[1], [17, 0, 9]]) {
        const shape = [lengths.length, Math.max(...lengths)];
        const tokens = Uint32Array.from({ length: shape[0]! * shape[1]! }, () => rng.below(set["vocab"]));
        const { data } = (
          await session.run({ tokens: { shape, data: tokens } }, { lengths: Uint32Array.from(lengths) })
        )["output"]!;
        const wanted = evaluate(graph, { inputs: new Map([["tokens", { shape, data: tokens }]]), weights, lengths });
        const expected = wanted.outputs.get("output")!.data;
        const largest = Math.max(...Array.from(expected, Math.abs));
        const worst = Math.max(...Array.from(expected, (x, i) => Math.abs(x - data[i]!)));
        // Each product rounds to eleven bits what it multiplies, once a layer and more.
        expect(worst / largest, `${lengths.join()} tokens`).toBeLessThan(2 ** -8);
      }
      session.dispose();
    },
  );

  it("compute what training needs, of weights in f32 that may be rounded", { timeout: 200_000 }, async (context) => {
    needsUnits(context);
    const precision = { products: "f16" } as const;
    const compiled = compile(TRAINED, { target: device.target, precision, program: "gradients" });
    const { graph, model, sources } = compiled;
    if (!graph || !model) throw new Error(compiled.diagnostics.map((d) => d.message).join());
    const program = programFor({ graph, model, sources }, device.target, forced(ways()[0]!), precision);
    // Forward x · w, h · vᵀ, s · y; backward as many by each operand; but the scores of the choice and their gradient.
    const run = program.steps.flatMap((s) => (s.kind === "dispatch" ? [program.kernels[s.kernel]!.name] : []));
    expect(run.filter((name) => name.startsWith("matmul_matrix")).length).toBeGreaterThanOrEqual(9);
    expect(program.kernels.filter(({ name }) => /^matmul_(?!matrix)/.test(name))).toEqual([]);
    const weights = new Map(program.weights.map((w) => [w.path, { shape: w.shape, data: initial(w) }]));
    const session = await load(program, device, initial);
    const rng = random(8);
    const shape = [2, 21, 24];
    const x = { shape, data: Float32Array.from({ length: 2 * 21 * 24 }, () => rng.normal()) };
    const lengths = [21, 10];
    const found = await session.run({ x }, { lengths: Uint32Array.from(lengths) });
    session.dispose();
    const { outputs } = evaluate(graph, { inputs: new Map([["x", x]]), weights, lengths });
    expect(Object.keys(found).filter((name) => name.startsWith("grad.")).length).toBe(program.weights.length);
    for (const [name, own] of Object.entries(found)) {
      // The gradient of a bias is no product, but a sum whose parts cancel.
      if (name.endsWith(".bias")) continue;
      const { data } = outputs.get(name)!;
      const size = Math.hypot(...data) / Math.sqrt(data.length);
      const worst = Math.max(...Array.from(data, (v, i) => Math.abs(v - own.data[i]!)));
      // Up to six products in a row round their operands to eleven bits; sums of many such differ by less.
      expect(worst / size, name).toBeLessThan(2 ** -7);
    }
  });

  it("round no operand that is stored in f32 or bf16", (context) => {
    needsUnits(context);
    for (const weights of ["f32", "bf16"] as const) {
      const { program } = programOf(PRODUCT(72, 36, false), ways()[0]!, { weights });
      expect([onMatrices(program), program.requires.matrices]).toEqual([0, undefined]);
    }
  });

  it("say what a device must have, in a program that reads back", (context) => {
    needsUnits(context);
    const { program } = programOf(PRODUCT(72, 36, false), ways()[0]!, { weights: "f16" });
    expect(program.requires).toEqual({
      features: [
        "chromium-experimental-subgroup-matrix",
        "readonly_and_readwrite_storage_textures",
        "shader-f16",
        "subgroup_matrix_vectors",
        "subgroups",
      ],
      subgroupSize: 8,
      matrices: [{ m: 8, n: 8, k: 8, input: "f16", output: "f32" }],
    });
    expect(parseProgram(printProgram(program))).toEqual(program);
    const { info, target } = device;
    const none = { info, target: { ...target, matrices: [] } } as unknown as Device;
    expect(() => checkRequirements(program, none)).toThrow(/matrix units of 8 × 8 × 8 of f16 in f32/);
  });
});
