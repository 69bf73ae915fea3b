// Norms whose sums a product of one row makes itself: a row has the bits that it has among others, whose sums a kernel
// of their own makes.
import { beforeAll, describe, expect, it } from "vitest";
import { compile, programFor } from "../../src/compiler/compile.js";
import type { Precision, Target } from "../../src/runtime/program/target.js";
import type { Program } from "../../src/runtime/program/program.js";
import { evaluate } from "../../src/compiler/reference/evaluate.js";
import { type Device, initialValues, load } from "../../src/runtime/index.js";
import { asStored } from "../../src/runtime/weights/stored.js";
import { tuningsFor, type Tunings } from "../../src/compiler/schedule/tunings/index.js";
import { testDevice } from "../device.js";
import { random } from "../random.js";

/** A norm before two products, the gate and its input, which are fused as a pair. */
const source = (depth: number): string => `model Normed() {
  weight g: f32[${depth}] = normal(1)
  weight a: f32[${depth}, 40] = normal(0.3)
  weight b: f32[${depth}, 40] = normal(0.3)
  forward(x: f32[B, T, ${depth}]) -> f32[B, T, 40] {
    n = x * rsqrt(mean(x ^ 2, axis: -1, keep: true) + 1e-6) * g
    silu(n @ a) * (n @ b)
  }
}`;

let device: Device;
let target: Target;
beforeAll(async () => {
  device = await testDevice();
  target = { ...device.target, device: "discrete", subgroups: null };
});

const summed = ({ kernels }: Program): readonly string[] =>
  kernels.flatMap(({ wgsl }) => /const SUMMED = (\d+)u/.exec(wgsl)?.[1] ?? []);

// Mesa compiles these kernels in seconds, for they are written for GPUs.
describe("a product of one row", { timeout: 180_000 }, () => {
  it.each<[number, Precision, string]>([
    [130, {}, "32"],
    [2112, { weights: "q8" }, "256"],
  ])("makes the sum of its norm over %i values", async (depth, precision, lanes) => {
    const { program, graph, diagnostics } = compile(source(depth), { target, precision });
    if (!program || !graph) throw new Error(diagnostics.map((d) => d.message).join());
    expect(summed(program)).toContain(lanes);
    expect(summed(program)).toContain("0");
    const session = await load(program, device, (w) => initialValues(w, 3));
    const rng = random(4);
    const rows = Array.from({ length: 3 }, () => Float32Array.from({ length: depth }, () => rng.below(2001) / 500 - 2));
    const run = async (some: readonly Float32Array[]): Promise<readonly number[]> => {
      const data = Float32Array.from(some.flatMap((row) => [...row]));
      const { output } = await session.run({ x: { shape: [1, some.length, depth], data } });
      return [...(output!.data as Float32Array)];
    };
    const together = await run(rows);
    for (const [i, row] of rows.entries()) expect(await run([row])).toEqual(together.slice(40 * i, 40 * (i + 1)));
    session.dispose();
    const weights = new Map(
      program.weights.map((w) => [w.path, { shape: w.shape, data: asStored(w, initialValues(w, 3) as Float32Array) }]),
    );
    const x = { shape: [1, 3, depth], data: Float32Array.from(rows.flatMap((row) => [...row])) };
    const wanted = evaluate(graph, { inputs: new Map([["x", x]]), weights, lengths: [3] }).outputs.get("output")!;
    wanted.data.forEach((v, i) => expect(Math.abs(together[i]! - v)).toBeLessThan(1e-4 * Math.max(1, Math.abs(v))));
  });
});

describe("a selection of few rows", { timeout: 180_000 }, () => {
  /** Rows are chosen by a sum over each, plus a number of its own. */
  const source = (depth: number): string => `model Chosen() {
  weight w: f32[${depth}] = normal(1)
  forward(x: f32[B, T, ${depth}]) -> f32[B, T, ${depth}] {
    chosen = above(sum(silu(x) * w, axis: -1) + 0.125, 0.25, expected: 50%)
    put(x, chosen, take(x, chosen))
  }
}`;

  it.each([
    [19, "16", 64],
    [512, "64", 16],
  ])("adds up scores over %i values", { tags: "long" }, async (depth, lanes, most) => {
    const { program, graph, diagnostics } = compile(source(depth), { target });
    if (!program || !graph) throw new Error(diagnostics.map((d) => d.message).join());
    expect(summed(program)).toContain(lanes);
    const session = await load(program, device, (w) => initialValues(w, 3));
    const rng = random(5);
    const of = (batch: number, tokens: number): { shape: number[]; data: Float32Array } => ({
      shape: [batch, tokens, depth],
      data: Float32Array.from({ length: batch * tokens * depth }, () => rng.below(2001) / 500 - 2),
    });
    // Few rows, whose sums the selection computes; the most rows for that; one row more; and many rows, which are
    // counted first.
    const all = of(9, 9);
    const whole = [...((await session.run({ x: all })).output!.data as Float32Array)];
    const weights = new Map(program.weights.map((w) => [w.path, { shape: w.shape, data: initialValues(w, 3) }]));
    const lengths = Array.from({ length: 9 }, () => 9);
    const wanted = evaluate(graph, { inputs: new Map([["x", all]]), weights, lengths }).outputs.get("output")!;
    wanted.data.forEach((v, i) => expect(Math.abs(whole[i]! - v)).toBeLessThan(1e-4 * Math.max(1, Math.abs(v))));
    expect(whole.some((v, i) => v !== all.data[i])).toBe(true);
    expect(whole.some((v, i) => v === all.data[i] && v !== 0)).toBe(true);
    for (const batch of [1, Math.floor(most / 9), Math.floor(most / 9) + 1, 8]) {
      const data = all.data.slice(0, batch * 9 * depth);
      const { output } = await session.run({ x: { shape: [batch, 9, depth], data } });
      expect([...(output!.data as Float32Array)]).toEqual(whole.slice(0, data.length));
    }
    session.dispose();
  });
});

describe("the sum has its kernel for any number of rows", () => {
  const model = (weights: string, body: string): string => `model Normed() {
  weight g: f32[64] = normal(1)
${weights}
  forward(x: f32[B, T, 64]) -> f32[B, T, 64] {
    s = sum(x ^ 2, axis: -1, keep: true)
    ${body}
  }
}`;
  const weights = `  weight p: f32[64, 64] = normal(0.3)
  weight q: f32[64, 64] = normal(0.3)`;
  /** Whether a product sums over its rows itself. */
  const sums = (text: string, tunings?: Tunings): boolean => {
    const { graph, model: made, sources, diagnostics } = compile(text, { target });
    if (!graph || !made) throw new Error(diagnostics.map((d) => d.message).join());
    const program = programFor({ graph, model: made, sources }, target, tunings ?? tuningsFor(target), {});
    return summed(program).some((lanes) => lanes !== "0");
  };
  const usual = model(weights, "((x * rsqrt(s + 1e-5) * g) @ p) @ q");

  it("unless the product's weight is stored, and its cases begin with as many rows", () => {
    expect(sums(usual)).toBe(true);
    const own = tuningsFor(target);
    const [first, ...others] = own.products.byWeight;
    const products = { ...own.products, byWeightAnyRows: [{ ...first!, most: 8 }, ...others.slice(1)] };
    expect(sums(usual, { ...own, products })).toBe(false);
    expect(sums(model(weights, "(x * rsqrt(s + 1e-5) * g) @ (p * q)"))).toBe(false);
  });

  it("where the product's epilogue reads it too", () => {
    expect(sums(model(weights, "(((x * rsqrt(s + 1e-5) * g) @ p) * sqrt(s)) @ q"))).toBe(false);
  });
});
