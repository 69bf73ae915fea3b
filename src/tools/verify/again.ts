// Reruns a reproduction file: reports whether its fault persists.
import type { Pass } from "../../compiler/passes/index.js";
import { largestDifference } from "./compare.js";
import { evaluateGraph, type Machine } from "./machine.js";
import { OPERATOR_ALLOWED, trial } from "./operators.js";
import { PASS_TOLERANCE } from "./passes.js";
import { ReproductionError, type Reproduction } from "./reproduction.js";

/** The difference, in words; null if there is none. */
export async function checkReproduction(
  machine: Machine,
  { fault, graph, given, weights }: Reproduction,
  passes: readonly Pass[],
): Promise<string | null> {
  if (fault.kind === "kernel") {
    const { verdict } = await trial(machine, { graph, given }, weights, OPERATOR_ALLOWED);
    return verdict.agrees ? null : verdict.faults.join("; ");
  }
  const pass = passes.find((p) => p.name === fault.name);
  if (!pass) throw new ReproductionError(`there is no pass ${fault.name}: another version of modc wrote the file`);
  const [before, after] = [graph, pass.run(graph, null)].map((g) => evaluateGraph(g, given, weights).outputs);
  const worst = [...before!]
    .map(([name, { data }]) => [name, largestDifference(after!.get(name)!.data, data)] as const)
    .find(([, d]) => !(d <= PASS_TOLERANCE));
  return worst ? `${worst[0]} differs by ${worst[1].toExponential(1)} of its largest magnitude` : null;
}
