// Verifies states: every state that is read is declared, and its next value can reuse the memory of its old value.
import { readersOf } from "../../ground/base/collections.js";
import { isOp, isSameView, type Graph, type Node, type State, producerOf } from "./graph.js";
import { equalTypes, printType } from "./typing.js";
import { duplicates } from "./verify-interface.js";

/** Problems of the graph's states. */
export function stateProblems(graph: Graph, nodes: readonly Node[]): string[] {
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
