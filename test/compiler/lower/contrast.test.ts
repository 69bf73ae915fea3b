// `contrast` of several sequences, against plain loops and differences: value and gradient, for any number of rows.
import { describe, expect, it } from "vitest";
import { check } from "../../../src/language/check/check.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { differentiated, floatLeaves, leafOf, outputName } from "../autodiff/differences.js";
import { lowered } from "../autodiff/models.js";
import { expectClose } from "../../close.js";
import { random } from "../../random.js";

const WIDTH = 3;
const source = (scale: string): string => `model M() {
  objective(a: f32[B, ${WIDTH}], b: f32[B, ${WIDTH}]) { loss pairs = contrast(a, b${scale}) }
}`;

/** The mean over i of −log of the share of pair i among all pairs of row i. */
function expected(a: readonly number[], b: readonly number[], rows: number, scale: number): number {
  let total = 0;
  for (let i = 0; i < rows; i++) {
    const logit = (j: number): number => {
      let product = 0;
      for (let c = 0; c < WIDTH; c++) product += a[i * WIDTH + c]! * b[j * WIDTH + c]!;
      return scale * product;
    };
    let shares = 0;
    for (let j = 0; j < rows; j++) shares += Math.exp(logit(j) - logit(i));
    total += Math.log(shares);
  }
  return total / rows;
}

describe.each([
  ["", 1],
  [", scale: 20", 20],
  [", scale: 0.07", 0.07],
] as const)("contrast(a, b%s)", (text, scale) => {
  it.each([1, 2, 5, 17])("is the cross-entropy of each of %i pairs", (rows) => {
    const { graph } = lowered(source(text));
    const rng = random(rows);
    const [a, b] = [0, 1].map(() => Array.from({ length: rows * WIDTH }, () => 0.4 * rng.normal())) as [
      number[],
      number[],
    ];
    const leaves = floatLeaves(graph);
    const whole = differentiated(graph, graph.outputs.find((o) => o.name === "loss")!.node, leaves);
    const shape = [rows, WIDTH];
    const inputs = new Map([
      ["a", { shape, data: a }],
      ["b", { shape, data: b }],
    ]);
    const { outputs } = evaluate(whole, { inputs, weights: new Map() });
    expectClose(outputs.get("loss")!.data, [expected(a, b, rows, scale)], () => 1e-12 * scale, "loss");
    const step = 1e-5;
    for (const leaf of leaves) {
      const { name } = leafOf(leaf);
      const moved = (at: number, by: number): number => {
        const of = (values: readonly number[], own: string): readonly number[] =>
          own === name ? values.with(at, values[at]! + by) : values;
        return expected(of(a, "a"), of(b, "b"), rows, scale);
      };
      const slopes = a.map((_, at) => (moved(at, step) - moved(at, -step)) / (2 * step));
      // The error of a central difference: step² times a third derivative, at most about scale³.
      const error = 1e-9 + step ** 2 * scale ** 3;
      expectClose(outputs.get(outputName(leafOf(leaf)))!.data, slopes, () => error, name);
    }
  });
});

it("has no overflow where logits are large", () => {
  const { graph } = lowered(source(", scale: 20"));
  const inputs = new Map([
    ["a", { shape: [2, WIDTH], data: [50, 0, 0, 0, 50, 0] }],
    ["b", { shape: [2, WIDTH], data: [0, 50, 0, 0, 49, 0] }],
  ]);
  // Logits [[0, 0], [50000, 49000]]: log 2, and 1000.
  const { outputs } = evaluate(graph, { inputs, weights: new Map() });
  expectClose(outputs.get("loss")!.data, [(Math.log(2) + 1000) / 2], () => 1e-9, "loss");
});

it("is refused in an update, whose parts must add up", () => {
  const text = `model M() {
    state running: f32[]
    objective(a: f32[B, 3], b: f32[B, 3]) {
      update running = contrast(a, b)
      loss pairs = contrast(b, a)
    }
  }`;
  const { model, diagnostics } = check(
    { file: "t.mod", text },
    { phase: "train", entry: "objective", read: () => null },
  );
  expect(model).toBe(null);
  expect(diagnostics.map((d) => [d.code, d.span.start])).toEqual([
    ["contrast-outside-loss", text.indexOf("contrast(a, b)")],
  ]);
});
