// In training, how often a predictor says what its route does.
import { expect, it } from "vitest";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { lowered } from "../autodiff/models.js";

const source = `model M() {
  objective(score: f32[B, T], guess: f32[B, T]) {
    chosen = top(score, 2)
    loss p = bce(guess, chosen.mask)
  }
}`;

const inputs = new Map([
  ["score", { shape: [2, 4], data: Float64Array.of(5, 1, 4, 2, 9, 8, 0, 0) }],
  ["guess", { shape: [2, 4], data: Float64Array.of(1, -1, -2, 0.5, 3, -0.1, 7, 7) }],
]);

it("is an observed share of the tokens that exist", () => {
  const { graph } = lowered(source);
  expect(graph.outputs.map((o) => `${o.role} ${o.name}`)).toContain("observe agreement");
  const { outputs } = evaluate(graph, { inputs, weights: new Map(), lengths: [4, 3] });
  // of the first sequence tokens 0 and 1, of the second 0 only
  expect(outputs.get("agreement")!.data[0]).toBeCloseTo(3 / 7, 12);
});

it("does not stand in the way of inference", () => {
  const { graph } = lowered(source, { phase: "infer" });
  expect(graph.outputs.map((o) => o.name)).not.toContain("agreement");
});
