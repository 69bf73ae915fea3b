// Updates of states in a step that is split into micro-batches: reductions over the batch are accumulated over the
// micro-batches, and the values derived from them are computed once, in the last micro-batch.
import { bug } from "../../ground/base/invariant.js";
import type { Emit } from "../ir/build.js";
import { isOp, nodesReaching, typeOf, type Node, type State } from "../ir/graph.js";
import { algebra } from "../ops/algebra.js";
import type { Axis } from "../../ground/size/axes.js";
import { addsUp, atomsOf, type Size } from "../../ground/size/size.js";

/** The new value of each updated state, by the state's path. */
export type Updates = ReadonlyMap<string, Node>;

/**
 * The states of every micro-batch except the last: the step's accumulated reductions. `continues`: true except in the
 * first micro-batch.
 */
export function accumulateReductions(
  emit: Emit,
  updates: Updates,
  axes: readonly Axis[],
  continues: Node,
): readonly State[] {
  return reductionsOf(updates, axes).map((reduction, i) => {
    const before = accumulator(emit, reduction, i);
    const { where } = algebra(emit.node, before);
    const first = stored(emit, reduction);
    return kept(i, before, where(continues, merged(emit, reduction, before), first));
  });
}

/**
 * The updates of the last micro-batch, with reductions over all micro-batches, and the states of the reductions,
 * unchanged.
 */
export function wholeUpdates(
  emit: Emit,
  updates: Updates,
  axes: readonly Axis[],
): { readonly updates: Updates; readonly states: readonly State[] } {
  const now = new Map<Node, Node>();
  const states = reductionsOf(updates, axes).map((reduction, i) => {
    const before = accumulator(emit, reduction, i);
    const total = merged(emit, reduction, before);
    const { dtype } = typeOf(reduction);
    now.set(reduction, typeOf(total).dtype === dtype ? total : emit.node("cast", [total], { dtype }));
    return kept(i, before, before);
  });
  const above = new Set(aboveReductions(updates, axes));
  for (const node of nodesReaching([...updates.values()])) {
    if (!above.has(node)) continue;
    const inputs = node.inputs.map((n) => now.get(n) ?? n);
    if (inputs.some((n, i) => n !== node.inputs[i])) now.set(node, { ...node, inputs });
  }
  return { updates: new Map([...updates].map(([path, node]) => [path, now.get(node) ?? node])), states };
}

/** How a reduction over all sequences is merged from the reductions over two micro-batches. */
const MERGES = { sum: "add", size: "add", reduce_max: "max", reduce_min: "min" } as const;
type Merging = keyof typeof MERGES;
const merges = (node: Node): node is Node<Merging> => node.op in MERGES;

/** The reductions over the batch from which the updates are computed, in a fixed order. */
function reductionsOf(updates: Updates, axes: readonly Axis[]): readonly Node<Merging>[] {
  const counted = countedIn(axes);
  const above = new Set(aboveReductions(updates, axes));
  const reductions = nodesReaching([...updates.values()]).filter((node) => above.has(node) && reduces(node, counted));
  return reductions.map((node) => {
    if (!merges(node)) return bug(`an update reduces the batch by ${node.op}, which parts do not add up to`);
    if (isOp(node, "size") && !addsUp(node.attrs.size, counted)) bug("an update reads a size that does not add up");
    // Other values of the whole batch, such as the first rows of experts, determine row positions, not values.
    const reducedAgain = nodesReaching(node.inputs).find((n) => n.op !== "size" && merges(n) && reduces(n, counted));
    if (reducedAgain) bug(`an update reduces the batch twice, by ${reducedAgain.op} and by ${node.op}`);
    return node;
  });
}

/** The nodes from the updates down to the reductions over the batch, both included. */
function aboveReductions(updates: Updates, axes: readonly Axis[]): Iterable<Node> {
  const counted = countedIn(axes);
  const above = new Set<Node>(updates.values());
  // A set also iterates the elements that are added during iteration.
  for (const node of above) if (!reduces(node, counted)) for (const input of node.inputs) above.add(input);
  return above;
}

/** Selects the factors of a size that differ between micro-batches. */
type Counted = (atom: { readonly axis: string }) => boolean;
const countedIn = (axes: readonly Axis[]): Counted => {
  const free = new Set(axes.flatMap((a) => (a.role === "free" ? [a.name] : [])));
  return ({ axis }) => !free.has(axis);
};
const mentions = (size: Size, counted: Counted): boolean =>
  [...atomsOf(size)].some((a) => a.kind !== "live" && counted(a));
const ofBatch = (node: Node, counted: Counted): boolean =>
  node.types.some((type) => type.shape.some((size) => mentions(size, counted)));

/** Whether the node has one value for all sequences and reads values with one entry per sequence, or counts them. */
const reduces = (node: Node, counted: Counted): boolean =>
  !ofBatch(node, counted) &&
  (node.inputs.some((input) => ofBatch(input, counted)) || (isOp(node, "size") && mentions(node.attrs.size, counted)));

/** The accumulated form of a reduction: in f32 if it is a float. */
const stored = (emit: Emit, reduction: Node): Node =>
  typeOf(reduction).dtype === "f16" ? emit.node("cast", [reduction], { dtype: "f32" }) : reduction;

const merged = (emit: Emit, reduction: Node<Merging>, before: Node): Node =>
  emit.node(MERGES[reduction.op], [before, stored(emit, reduction)], {});

const stateName = (i: number): string => `update.${i}`;
/** Whether a state accumulates a reduction over the micro-batches of a step. */
export const isAccumulatedReduction = (name: string): boolean => /^update\.\d+$/.test(name);

function accumulator(emit: Emit, reduction: Node, i: number): Node<"state"> {
  const { dtype, shape } = typeOf(stored(emit, reduction));
  return emit.node("state", [], { name: stateName(i), dtype, shape });
}

const kept = (i: number, before: Node, next: Node): State => ({
  name: stateName(i),
  type: typeOf(before),
  init: { kind: "zeros" },
  next,
});
