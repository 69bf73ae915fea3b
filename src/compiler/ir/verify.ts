// Checks the invariants stated in `graph.ts`. A violation is a bug of `lower` or of a pass.
import { bug } from "../../ground/base/invariant.js";
import { attrsProblem, sizesInAttrs } from "./attrs.js";
import { isOp, nodesOf, type Graph, type Node } from "./graph.js";
import { equalTypes, inferContext, inferTypes, printType, TypeMismatch, type Typing } from "./typing.js";
import type { OpName } from "./vocabulary.js";
import { AxisIndex, axesProblems } from "./verify-axes.js";
import { interfaceProblems } from "./verify-interface.js";
import { stateProblems } from "./verify-states.js";

/** All problems of a graph, one sentence each, in order; empty if it is sound. Linear in the size of the graph. */
export function verify(graph: Graph, typing: Typing): readonly string[] {
  const nodes = nodesOf(graph);
  const label = labels(nodes);
  const axes = new AxisIndex(graph);
  const unknown = nodes.filter(({ op }) => !Object.hasOwn(typing, op));
  const structure = [
    ...axesProblems(graph),
    ...cycleProblems(nodes, label),
    ...unknown.map((node) => `${label(node)}: there is no operator ${node.op}`),
  ];
  // The remaining checks assume sound axes, known operators and no cycle.
  if (structure.length > 0) return structure;
  const context = inferContext(graph.axes);
  return [
    ...nodes.flatMap((node) => nodeProblems(node, typing, context, axes).map((p) => `${label(node)}: ${p}`)),
    ...nodes.flatMap((node) => startsProblems(node, graph, typing).map((p) => `${label(node)}: ${p}`)),
    ...axes.unstarted().map((name) => `sequence axis ${name} is used and has no starts`),
    ...interfaceProblems(graph, nodes, axes),
    ...stateProblems(graph, nodes),
  ];
}

/** Throws a CompilerBug with the stage that produced the graph and all its problems. */
export function assertSound(graph: Graph, typing: Typing, stage: string): void {
  const problems = verify(graph, typing);
  if (problems.length === 0) return;
  const more = problems.length > 20 ? `\n  … and ${problems.length - 20} more` : "";
  bug(`${stage} made a malformed graph:\n  ${problems.slice(0, 20).join("\n  ")}${more}`);
}

/** Labels a node like the printed graph, with its call path: `%5 = top`. */
function labels(nodes: readonly Node[]): (node: Node) => string {
  const ids = new Map(nodes.map((n, i) => [n, i]));
  return (node) => `%${ids.get(node)} = ${node.op}${node.origin?.path ? ` (${node.origin.path})` : ""}`;
}

/** In a sound graph every input precedes its readers. */
function cycleProblems(nodes: readonly Node[], label: (node: Node) => string): string[] {
  const done = new Set<Node>();
  const problems: string[] = [];
  for (const node of nodes) {
    const late = node.inputs.find((i) => !done.has(i));
    if (late) problems.push(`${label(node)}: reads ${label(late)}, which depends on it`);
    done.add(node);
  }
  return problems;
}

function nodeProblems(
  node: Node,
  typing: Typing,
  context: Parameters<typeof inferTypes>[4],
  axes: AxisIndex,
): string[] {
  const attrs = attrsProblem(node.op, node.attrs);
  if (attrs !== null) return [attrs];
  const mentioned = sizesInAttrs(node.op, node.attrs);
  const problems = [
    ...mentioned.axes.flatMap((a) => axes.name(a)),
    ...mentioned.sizes.flatMap((s) => axes.size(s)),
    ...node.types.flatMap((t) => t.shape.flatMap((s) => axes.size(s))),
  ];
  if (node.op === "pick" && node.inputs.length !== 1) problems.push(`reads one node, found ${node.inputs.length}`);
  if (node.op === "pick" && node.inputs[0]?.types.length === 1) problems.push("picks from a node with one result");
  if (isOp(node, "live") && !axes.isLive(node.attrs.name))
    problems.push(`there is no live parameter ${node.attrs.name}`);
  if (isOp(node, "size") && !axes.onHost(node.attrs.size))
    problems.push("the size depends on counts that only the device knows");
  if (problems.length > 0) return problems;
  try {
    const inferred = inferTypes(typing, node.op, node.inputs, node.attrs, context);
    if (inferred.length !== node.types.length || inferred.some((t, i) => !equalTypes(t, node.types[i]!)))
      return [`states ${node.types.map(printType).join(" ")}, inferred ${inferred.map(printType).join(" ")}`];
  } catch (error) {
    if (error instanceof TypeMismatch) return [error.message];
    throw error;
  }
  return [];
}

/**
 * An input that must be the starts of an axis must be that axis's own starts node: the types alone do not show that.
 */
function startsProblems<K extends OpName>(node: Node<K>, graph: Graph, typing: Typing): string[] {
  if (node.inputs.some((n) => n.types.length !== 1)) return [];
  const read = typing[node.op].starts?.(node, graph.axes) ?? [];
  const wrong = read.filter(
    ([axis, index]) =>
      axis !== null &&
      graph.starts.has(axis) &&
      node.inputs[index] !== undefined &&
      graph.starts.get(axis) !== node.inputs[index],
  );
  return wrong.map(([axis, index]) => `input ${index} must be the starts of ${axis}`);
}
