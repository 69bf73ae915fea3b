// What a model is tried with: random weights, tokens and sequences of unlike lengths.
import { isOp, nodesOf, type Graph, type Node } from "../../../src/compiler/ir/graph.js";
import { random } from "../../random.js";
import type { Given, Values } from "./differences.js";
import { lowered } from "./models.js";
import type { ModelCase } from "./sources.js";

export interface Trial {
  readonly graph: Graph;
  readonly loss: Node;
  readonly weights: readonly Node<"weight">[];
  readonly given: Given;
}

const countOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** Vectors around 1, matrices small; three sequences, including an empty sequence. */
export function trial({ source, set }: Pick<ModelCase, "source" | "set">, seed: number): Trial {
  const { graph } = lowered(source, { set });
  const rng = random(seed);
  const weights = nodesOf(graph).filter((n) => isOp(n, "weight"));
  const values = weights.map(({ attrs: { path, shape } }): [string, Values] => {
    const value = shape.length < 2 ? () => 1 + 0.2 * rng.normal() : () => rng.normal() / Math.sqrt(shape.at(-1)!);
    return [path, { shape, data: Float64Array.from({ length: countOf(shape) }, value) }];
  });
  const [batch, tokens] = [3, 7];
  const inputs = graph.inputs.map(({ name, least }): [string, Values] => [
    name,
    {
      shape: [batch, tokens],
      data: Float64Array.from({ length: batch * tokens }, () => (least < 0 && rng.below(5) === 0 ? -1 : rng.below(11))),
    },
  ]);
  return {
    graph,
    loss: graph.outputs.find((o) => o.name === "loss")!.node,
    weights,
    given: { inputs: new Map(inputs), weights: new Map(values), lengths: [7, 0, 5], seed: 3 },
  };
}
