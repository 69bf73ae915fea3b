// A part of a graph with what it is run with: values that it takes from before it are inputs, as the reference gives
// them, in 32 bits.
import type { Graph, Node } from "../ir/graph.js";
import type { Tensor } from "../ops/define.js";
import type { RunInputs } from "./compare.js";
import { endingIn, type Cut } from "./extract.js";
import { evaluateGraph, type Weights } from "./machine.js";

export interface Part {
  readonly graph: Graph;
  readonly given: RunInputs;
}

/** The values of nodes with one result, as a caller sees them. */
export function valuesOf(
  graph: Graph,
  cuts: readonly Pick<Cut, "node">[],
  given: RunInputs,
  weights: Weights,
): ReadonlyMap<Node, Tensor> {
  if (cuts.length === 0) return new Map();
  const nodes = cuts.map((c) => c.node);
  const { outputs } = evaluateGraph(
    endingIn(graph, nodes, (n) => `v${n}`),
    given,
    weights,
  );
  return new Map(nodes.map((node, n) => [node, outputs.get(`v${n}`)!]));
}

/** The values rounded to 32 bits, so that a device and the reference begin with the same. */
export const withCuts = (
  { graph, cuts }: { readonly graph: Graph; readonly cuts: readonly Cut[] },
  given: RunInputs,
  values: ReadonlyMap<Node, Tensor>,
): Part => ({
  graph,
  given: {
    ...given,
    inputs: new Map([
      ...given.inputs,
      ...cuts.map(({ name, node }) => {
        const { shape, data } = values.get(node)!;
        return [name, { shape, data: Float32Array.from(data) }] as const;
      }),
    ]),
  },
});
