// A part of a graph with its inputs. Values computed before the part become inputs: the reference's values, rounded to
// f32.
import type { Graph, Node } from "../../compiler/ir/graph.js";
import type { Tensor } from "../../compiler/ops/define.js";
import type { RunInputs } from "./compare.js";
import { endingIn, type Cut } from "./extract.js";
import { evaluateGraph, type Weights } from "./machine.js";

export interface Part {
  readonly graph: Graph;
  readonly given: RunInputs;
}

/** The reference's values of nodes with one result, in the caller's shape. */
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

/** The part with the cut values as inputs, rounded to f32, so that device and reference start from equal values. */
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
