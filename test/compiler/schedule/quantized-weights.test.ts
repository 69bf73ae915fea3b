// Weights in blocks of integers with a scale: what devices compute is what f32 of the quantized values gives, in every
// kernel that reads them; a quarter and an eighth of the memory; and no choice depends on it.
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import { compile, type CompileOptions } from "../../../src/compiler/compile.js";
import { createGenerator } from "../../../src/generation/generate/index.js";
import type { Program, ProgramWeight } from "../../../src/runtime/program/program.js";
import { initialValues, load, type Device } from "../../../src/runtime/index.js";
import { asStored } from "../../../src/runtime/weights/stored.js";
import { sparingDevice } from "../../device.js";
import { soaking } from "../../soak.js";
import { random } from "../../random.js";

const example = (name: string): string =>
  readFileSync(new URL(`../../../examples/${name}.mod`, import.meta.url), "utf8");
const MOBY = { source: example("moby"), set: { dim: 64, depth: 2, vocab: 97, context: 64 } };
const TYPES = ["q8", "q4"] as const;
const formOf = ({ weights }: Program, path: string): readonly string[] => [
  ...new Set(weights.find((w) => w.path === path)!.slots.map((s) => s.form)),
];

describe("which weights", () => {
  it("are those of products and tables whose depth is whole blocks, whatever their number of columns", () => {
    const program = compile(MOBY.source, { set: MOBY.set, precision: { weights: "q4" } }).program!;
    // 97 rows with depth 64: the columns of the tied product.
    expect(formOf(program, "embed.table")).toEqual(["q4"]);
    expect(formOf(program, "layers.0.inner.mlp.down.weight")).toEqual(["q4"]);
    const narrow = compile(MOBY.source, { set: { ...MOBY.set, dim: 48, heads: 4 }, precision: { weights: "q4" } });
    expect(formOf(narrow.program!, "embed.table")).toEqual(["word"]);
  });

  it("are not routers, of tokens or of experts, norms, biases, or predictors", () => {
    const source = example("mode");
    const kept = /router|norm|bias|guess/;
    const programs = [
      compile(source, { precision: { weights: "q8" } }).program!,
      compileGeneration(source, { precision: { weights: "q8" } }).generation!.step,
    ];
    for (const { weights } of programs)
      for (const { path, slots } of weights)
        for (const { form } of slots) expect([path, form]).toEqual([path, kept.test(path) ? "word" : "q8"]);
  });

  it("are not those along whose rows one reader has its depth, and another has not", () => {
    const source = `model Both() { weight w: f32[64, 64] = normal(1)
      forward(x: f32[B, 64]) -> f32[B, 64] { (x @ w) @ transpose(w) } }`;
    expect(formOf(compile(source, { precision: { weights: "q8" } }).program!, "w")).toEqual(["word"]);
  });

  it("take 34 and 18 bytes for 32 values", () => {
    const bytesAs = (weights: "f32" | "q8" | "q4"): number => {
      const { slots, weights: all } = compile(MOBY.source, { set: MOBY.set, precision: { weights } }).program!;
      const own = all.filter((w) => w.path === "layers.0.inner.mlp.down.weight").flatMap((w) => w.slots);
      return own.reduce((sum, { slot }) => sum + Number(slots[slot]!.bytes), 0);
    };
    expect([bytesAs("q8") / bytesAs("f32"), bytesAs("q4") / bytesAs("f32")]).toEqual([34 / 128, 18 / 128]);
  });
});

/** Products of few and many columns, of both orders, and a table. */
const SHAPES = `model Shapes() {
  weight table: f32[7, 96] = normal(1)
  weight down: f32[96, 40] = normal(1)
  weight few: f32[96, 8] = normal(1)
  weight across: f32[40, 96] = normal(1)
  weight least: f32[5, 96] = normal(1)
  forward(t: u32[B, T <= 64]) -> f32[B, T, 93] {
    x = table[t]
    concat([x @ down, x @ few, x @ transpose(across), x @ transpose(least)], axis: -1)
  }
}`;

// Mesa compiles a kernel of few rows for GPUs in 2 to 4 s.
describe("on the device", { timeout: 180_000 }, () => {
  let device: Device;
  beforeAll(async () => void (device = await sparingDevice()));
  afterAll(() => device.destroy());

  const outputOf = async (program: Program, tokens: Uint32Array, given: (w: ProgramWeight) => Float32Array) => {
    const session = await load(program, device, given);
    const shape = [1, tokens.length];
    const output = (await session.run({ [program.inputs[0]!.name]: { data: tokens, shape } }))["output"]!.data;
    session.dispose();
    return output as Float32Array;
  };
  const initial = (w: ProgramWeight): Float32Array => initialValues(w, 3) as Float32Array;
  const largest = (values: ArrayLike<number>): number => Math.max(...Array.from(values, Math.abs));
  /** The device's own kernels, kernels for GPUs, and kernels that need no feature. */
  const targets = (): readonly CompileOptions[] => [
    { target: device.target },
    { target: { ...device.target, device: "discrete", subgroups: null } },
    { target: { ...device.target, device: "portable", subgroups: null } },
  ];
  const models = [
    { name: "moby", ...MOBY, vocab: 97 },
    { name: "shapes", source: SHAPES, set: {}, vocab: 7 },
    { name: "moe", source: example("moe"), set: { dim: 64, depth: 1, vocab: 50 }, vocab: 50 },
  ];

  it.each(TYPES)("%s gives what f32 of the quantized values gives", { tags: "long" }, async (weights) => {
    const rng = random(8);
    for (const [m, { name, source, set, vocab }] of models.entries())
      for (const [t, options] of targets().entries()) {
        // In the short run each model on one device, each device with one model of either type.
        if (!soaking && (m + t + TYPES.indexOf(weights)) % 3 !== 0) continue;
        const own = compile(source, { ...options, set, precision: { weights } }).program!;
        const whole = compile(source, { ...options, set }).program!;
        const slots = new Map(own.weights.map((w) => [w.path, w]));
        for (const length of soaking ? [1, 2, 5, 17, 33, 64] : [1 + 32 * (m % 2)]) {
          const tokens = Uint32Array.from({ length }, () => rng.below(vocab));
          const found = await outputOf(own, tokens, initial);
          const stored = (w: ProgramWeight): Float32Array => asStored(slots.get(w.path)!, initial(w)) as Float32Array;
          const wanted = await outputOf(whole, tokens, stored);
          const difference = largest(found.map((x, i) => x - wanted[i]!));
          // Sums of 32 products are scaled, where f32 sums the scaled ones.
          expect(difference / largest(wanted), `${name}, ${length} tokens`).toBeLessThan(1e-5);
          const unrounded = await outputOf(whole, tokens, initial);
          const rounding = largest(unrounded.map((x, i) => x - wanted[i]!)) / largest(wanted);
          expect(rounding, "quantization shows").toBeGreaterThan(1e-3);
        }
      }
  });

  it("a row has the same bits alone and among others, whichever kernel computes it", async () => {
    const program = compile(SHAPES, { target: device.target, precision: { weights: "q4" } }).program!;
    const tokens = Uint32Array.from({ length: 40 }, (_, i) => (i * 5) % 7);
    const all = await outputOf(program, tokens, initial);
    for (const at of [0, 7, 39]) {
      const alone = await outputOf(program, tokens.subarray(at, at + 1), initial);
      expect(alone).toEqual(all.slice(93 * at, 93 * (at + 1)));
    }
  });

  it("generates as one pass over the whole text would", { tags: "long" }, async () => {
    const { generation } = compileGeneration(MOBY.source, {
      set: MOBY.set,
      target: device.target,
      precision: { weights: "q4" },
    });
    const generator = await createGenerator(generation!, device, initial);
    const tokens = [1, 2, 3];
    for await (const { token } of generator.generate([tokens], { maxTokens: 12, sampling: { temperature: 0 } }))
      tokens.push(token);
    generator.dispose();
    const pass = compile(MOBY.source, {
      set: MOBY.set,
      target: device.target,
      phase: "generate",
      precision: { weights: "q4" },
    }).program!;
    const logits = await outputOf(pass, Uint32Array.from(tokens), initial);
    const likeliest = (at: number): number => {
      const row = logits.subarray(97 * at, 97 * (at + 1));
      return row.indexOf(Math.max(...row));
    };
    expect(tokens.slice(3)).toEqual(tokens.slice(3).map((_, i) => likeliest(i + 2)));
  });
});
