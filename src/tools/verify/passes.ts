// Checks in f64 that the passes preserve the results of a graph. If not, finds the first pass and the node that change
// them.
import { producerOf, type Graph, type Node } from "../../compiler/ir/graph.js";
import type { Pass } from "../../compiler/passes/index.js";
import { largestDifference, type RunInputs } from "./compare.js";
import { endingIn, partOf, valuesOf, type Part, withCuts } from "./extract.js";
import { evaluateGraph, type Weights } from "./machine.js";
import { bisect } from "./bisect.js";

/** The allowed relative difference. Passes reorder sums; in f64, sums of thousands of terms differ by some 1e-13. */
export const PASS_TOLERANCE = 1e-9;

export interface PassFault {
  readonly pass: string;
  /** Largest difference between results, as a share of the largest magnitude. */
  readonly difference: number;
  /** The first node whose results differ, and the smallest part of the graph that shows the difference. */
  readonly node: Node;
  readonly part: Part;
}

export interface PassesChecked {
  /** The graph after all passes. */
  readonly optimized: Graph;
  readonly difference: number;
  readonly fault: PassFault | null;
}

export async function checkPasses(
  lowered: Graph,
  passes: readonly Pass[],
  inputs: RunInputs,
  weights: Weights,
): Promise<PassesChecked> {
  const optimized = passes.reduce((graph, pass) => pass.run(graph, null), lowered);
  const difference = largestResultDifference(lowered, optimized, inputs, weights);
  if (difference <= PASS_TOLERANCE) return { optimized, difference, fault: null };
  let before = lowered;
  for (const pass of passes) {
    const after = pass.run(before, null);
    const error = largestResultDifference(before, after, inputs, weights);
    if (!(error <= PASS_TOLERANCE))
      return { optimized, difference, fault: await locateFault(before, pass, error, inputs, weights) };
    before = after;
  }
  // Each pass is within the tolerance, but all together are not: the last pass is reported.
  const last = passes.at(-1)!;
  return { optimized, difference, fault: await locateFault(lowered, last, difference, inputs, weights) };
}

/** The largest difference between the results and losses of two graphs. */
function largestResultDifference(a: Graph, b: Graph, inputs: RunInputs, weights: Weights): number {
  const [x, y] = [evaluateGraph(a, inputs, weights).outputs, evaluateGraph(b, inputs, weights).outputs];
  const all = a.outputs.map(({ name }) => largestDifference(y.get(name)!.data, x.get(name)!.data));
  return all.reduce((m, d) => (Number.isNaN(d) || d > m ? d : m), 0);
}

async function locateFault(
  before: Graph,
  pass: Pass,
  difference: number,
  inputs: RunInputs,
  weights: Weights,
): Promise<PassFault> {
  const changes = (graph: Graph, changed: RunInputs): boolean =>
    !(largestResultDifference(graph, pass.run(graph, null), changed, weights) <= PASS_TOLERANCE);
  const differing = before.outputs.map((o) => producerOf(o.node)).find((n) => changes(endingIn(before, [n]), inputs));
  const whole = { graph: before, given: inputs };
  if (!differing) return { pass: pass.name, difference, node: before.outputs[0]!.node, part: whole };
  const node = await bisect(before, differing, (n) => changes(endingIn(before, [n]), inputs));
  for (let depth = 1; depth <= 64; depth *= 2) {
    const part = withCuts(
      partOf(before, node, depth),
      inputs,
      valuesOf(before, partOf(before, node, depth).cuts, inputs, weights),
    );
    if (changes(part.graph, part.given)) return { pass: pass.name, difference, node, part };
  }
  return { pass: pass.name, difference, node, part: { graph: endingIn(before, [node]), given: inputs } };
}
