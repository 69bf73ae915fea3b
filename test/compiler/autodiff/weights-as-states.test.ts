// Weights that became states: the same values, and a program that keeps them.
import { describe, expect, it } from "vitest";
import { weightsAsStates } from "../../../src/compiler/autodiff/train-step.js";
import { isOp, nodesOf } from "../../../src/compiler/ir/graph.js";
import { verify } from "../../../src/compiler/ir/verify.js";
import { ops } from "../../../src/compiler/ops/index.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { caseOf, samples } from "../ops/samples.js";
import { parseGraph } from "../../../src/compiler/ir/parse.js";
import { printGraph } from "../../../src/compiler/ir/print.js";
import { exampleGraph } from "./models.js";

describe("weights as states", () => {
  it("leave no weight, and each state begins as one and keeps its value", () => {
    const graph = exampleGraph("moby.mod", "train");
    const made = weightsAsStates(graph);
    const nodes = nodesOf(made);
    expect(nodes.filter((n) => isOp(n, "weight"))).toEqual([]);
    const before = new Set(nodesOf(graph).flatMap((n) => (isOp(n, "weight") ? [n.attrs.path] : [])));
    expect(new Set(made.states.map((s) => s.name))).toEqual(before);
    for (const s of made.states) {
      expect(s.init).toEqual({ kind: "weight", path: s.name });
      expect(isOp(s.next, "state") && s.next.attrs.name === s.name).toBe(true);
    }
    expect(verify(made, ops)).toEqual([]);
    expect(printGraph(parseGraph(printGraph(made), ops))).toBe(printGraph(made));
  });

  it.each(samples.matmul.list)("compute what weights do: matmul, $name", (sample) => {
    const { graph, options } = caseOf("matmul", sample);
    const made = weightsAsStates(graph);
    expect(evaluate(made, options).outputs).toEqual(evaluate(graph, options).outputs);
  });
});
