// Which whole numbers the inputs of a program may hold, by what they index or label.
import { expect, it } from "vitest";
import { check } from "../../../src/language/check/check.js";
import { lower } from "../../../src/compiler/lower/lower.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";

function ranges(dtype: string, result: string) {
  const text = `model M() {
    weight table: f32[5, 3]
    weight small: f32[2, 3]
    forward(i: ${dtype}[B, T <= 8], x: f32[B, T, 7]) { ${result} } }`;
  const { model, diagnostics } = check({ file: "t.mod", text }, { phase: "infer", read: () => null });
  if (model === null) throw new Error(diagnostics[0]?.message);
  const [input] = lower(model).inputs;
  return [input?.least, input?.below];
}

it.each([
  ["u32", "table[i]", [0, 5]],
  ["u32", "table[i32(i)]", [0, 5]],
  ["u32", "mean(table[i]) + mean(small[i])", [0, 2]],
  ["i32", "table[i]", [-5, 5]],
  ["i32", 'table[rearrange(i, "b t -> b t 1")]', [-5, 5]],
  ["i32", "table[u32(i)]", [0, 5]],
  ["i32", "table[i32(u32(i))]", [0, 5]],
  ["i32", "mean(table[i]) + mean(small[i])", [-2, 2]],
  ["i32", "cross_entropy(x, i)", [-1, 7]],
  ["u32", "cross_entropy(x, i)", [0, 7]],
  ["i32", "mean(log_probability(x, i))", [-1, 7]],
  // A target of −1 means none, and so the last row would not be meant by it.
  ["i32", "mean(table[i]) + cross_entropy(x, i)", [-1, 5]],
  // What is computed has no range: it is held at the nearest row.
  ["i32", "table[i + 1]", [0, null]],
  ["u32", "table[u32(f16(i))]", [0, null]],
] as const)("an input of %s in %s", (dtype, result, range) => {
  expect(ranges(dtype, result)).toEqual(range);
});

it("counts signed indices from the end, and holds computed ones at the nearest row", () => {
  const text =
    "model M() {\n weight table: f32[5]\n forward(i: i32[B, T <= 16], by: i32[]) -> f32[B, T] { table[i + by] } }";
  const { model } = check({ file: "t.mod", text }, { phase: "infer", read: () => null });
  const run = (i: readonly number[], by: number) => [
    ...evaluate(lower(model!), {
      inputs: new Map<string, never>([
        ["i", [i] as never],
        ["by", by as never],
      ]),
      weights: new Map([["table", { shape: [5], data: [10, 11, 12, 13, 14] }]]),
    }).outputs.get("output")!.data,
  ];
  expect(run([0, 4, -1, -5, 5, 100, -6, -100, -0x80000000], 0)).toEqual([10, 14, 14, 10, 14, 14, 10, 10, 10]);
});
