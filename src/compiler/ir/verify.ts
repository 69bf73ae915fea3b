// Checks the invariants stated in `graph.ts`. A violation is a bug of `lower` or of a pass.
import { bug } from "../../ground/base/invariant.js";
import { attrsProblem, sizesInAttrs } from "./attrs.js";
import { isOp, nodesOf, isSameView, producerOf, type Graph, type Node, type State } from "./graph.js";
import { equalTypes, inferContext, inferTypes, printType, TypeMismatch, type Typing } from "./typing.js";
import type { OpName } from "./vocabulary.js";
import { AxisIndex, axesProblems } from "./verify-axes.js";
import { interfaceProblems, duplicates } from "./verify-interface.js";
import { readersOf } from "../../ground/base/collections.js";

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

function stateProblems(graph: Graph, nodes: readonly Node[]): string[] {
  const problems = duplicates(graph.states.map((s) => s.name)).map((n) => `state ${n} is declared twice`);
  const byName = new Map(graph.states.map((s) => [s.name, s]));
  const reads = new Map<string, Node[]>();
  for (const node of nodes) {
    if (!isOp(node, "state")) continue;
    const state = byName.get(node.attrs.name);
    if (!state) problems.push(`state ${node.attrs.name} is read and not declared`);
    else if (!equalTypes(state.type, node.types[0]!))
      problems.push(`state ${state.name} is ${printType(state.type)}, read as ${printType(node.types[0]!)}`);
    reads.set(node.attrs.name, [...(reads.get(node.attrs.name) ?? []), node]);
  }
  for (const state of graph.states) {
    const [type] = state.next.types;
    if (!type || state.next.types.length !== 1)
      problems.push(`state ${state.name}: its next value has ${state.next.types.length} results: pick one`);
    else if (!equalTypes(type, state.type))
      problems.push(`state ${state.name} is ${printType(state.type)}, its next value ${printType(type)}`);
    if (isOp(state.next, "state") && state.next.attrs.name !== state.name)
      problems.push(`state ${state.name}: its next value is the old one of ${state.next.attrs.name}`);
  }
  problems.push(...sharedProblems(graph.states), ...takeOverProblems(graph.states, nodes, reads));
  return problems;
}

/** Two states must not have the same next value, since it cannot be in the memory of both. */
function sharedProblems(states: readonly State[]): string[] {
  const owners = new Map<Node, string>();
  return states.flatMap((s) => {
    const other = owners.get(s.next);
    owners.set(s.next, s.name);
    return other === undefined ? [] : [`states ${other} and ${s.name} have one next value`];
  });
}

/**
 * The next value may reuse the memory of the old value once every reader of the old value has run. So no reader of the
 * old value may depend on the next value. The walk covers only dependents of next values, which are few, since states
 * are computed last.
 */
function takeOverProblems(
  states: readonly State[],
  nodes: readonly Node[],
  reads: ReadonlyMap<string, readonly Node[]>,
): string[] {
  const readers = readersOf(nodes);
  return states.flatMap((state) => {
    const old = reads.get(state.name) ?? [];
    if (isOp(state.next, "state") || old.length === 0) return [];
    // An operator computes its several results together.
    const producer = producerOf(state.next);
    const after = reachedFrom([producer], (n) => readers.get(n) ?? []);
    after.delete(producer);
    if (after.size === 0) return [];
    // Views share the memory of their input.
    const memory = reachedFrom(old, (n) => (readers.get(n) ?? []).filter((r) => isSameView(r) && r.inputs[0] === n));
    const late = [...after].find((n) => n.inputs.some((i) => memory.has(i)));
    return late
      ? [`state ${state.name}: ${late.op} reads the old value and needs the next one, which takes its memory`]
      : [];
  });
}

function reachedFrom(from: readonly Node[], onward: (node: Node) => readonly Node[]): Set<Node> {
  const seen = new Set(from);
  const stack = [...from];
  for (let n = stack.pop(); n !== undefined; n = stack.pop())
    for (const next of onward(n))
      if (!seen.has(next)) {
        seen.add(next);
        stack.push(next);
      }
  return seen;
}
