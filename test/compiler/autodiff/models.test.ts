// Gradients of whole models, weight by weight, against finite differences; the passes preserve gradients.
import { describe, expect, it } from "vitest";
import { layersOf, recomputing } from "../../../src/compiler/autodiff/layers.js";
import { isOp, nodesOf, type Graph } from "../../../src/compiler/ir/graph.js";
import { verify } from "../../../src/compiler/ir/verify.js";
import { ops } from "../../../src/compiler/ops/index.js";
import { optimize } from "../../../src/compiler/passes/index.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { random } from "../../random.js";
import { choicesOf, difference, differentiated, held, leafOf, outputName } from "./differences.js";
import { MODELS } from "./sources.js";
import { trial } from "./trial.js";
import { expectClose } from "../../close.js";

/** As for single operators: differences in 64 bits, extrapolated. */
const TOLERANCE = 1e-6;
const STEP = 1e-4;

describe.each(MODELS)("$name", (model) => {
  const { graph, loss, weights, given } = trial(model, 1);
  const whole = differentiated(graph, loss, weights);
  const forced = choicesOf(whole, given);
  const { outputs } = evaluate(whole, { ...given, forced });

  it("is a sound graph", () => {
    expect(verify(whole, ops)).toEqual([]);
  });

  it("has the gradient of every weight that finite differences have", { tags: "long" }, () => {
    const only = held({ ...graph, outputs: graph.outputs.filter((o) => o.name === "loss") }, given, forced);
    const rng = random(2);
    for (const weight of weights) {
      const leaf = leafOf(weight);
      const gradient = outputs.get(outputName(leaf))!.data;
      const direction = Float64Array.from(gradient, () => rng.normal());
      const found = difference(only.graph, only.given, forced, leaf, direction, STEP);
      const sum = gradient.reduce((a, g, i) => a + g * direction[i]!, 0);
      const size = gradient.reduce((a, g, i) => a + Math.abs(g * direction[i]!), 0);
      expect(found, leaf.name).not.toBeNull();
      expect(Math.abs(sum - found!), `${leaf.name}: ${sum} against ${found}`).toBeLessThanOrEqual(
        TOLERANCE * Math.max(1e-3, size),
      );
    }
  });

  // Sums of a row's 0 and of rows that are not there differ in rounding alone.
  const expectSame = (found: typeof outputs): void => {
    for (const [name, { data }] of outputs) expectClose(found.get(name)!.data, data, () => 1e-12, name);
  };

  it("has the same gradients after the passes", () => {
    expectSame(evaluate(optimize(whole, { verify: true }), { ...given, forced }).outputs);
  });

  it("has the same gradients where layers are computed again, their choices made once", () => {
    const again = differentiated(graph, loss, weights, { recompute: recomputing(new Set(layersOf(graph))) });
    expect(verify(again, ops)).toEqual([]);
    expectSame(evaluate(again, { ...given, forced }).outputs);
    const after = optimize(again, { verify: true });
    expectSame(evaluate(after, { ...given, forced }).outputs);
    const choices = (of: Graph): number => nodesOf(of).filter((n) => isOp(n, "top")).length;
    expect(choices(after)).toBe(choices(optimize(whole)));
    const products = (of: Graph): number => nodesOf(of).filter((n) => isOp(n, "matmul")).length;
    if (layersOf(graph).length > 0) expect(products(after)).toBeGreaterThan(products(optimize(whole)));
  });
});
