// Orders kernels such that a state's new value is computed after all reads of its old value, so that it can take over
// the memory.
import { invariant } from "../../../ground/base/invariant.js";
import type { Value } from "../addressing/layout.js";
import type { FusedKernel } from "../kernels/fused-kernel.js";

type OrderedKernel = Pick<FusedKernel, "nodes" | "reads" | "writes">;

export interface OrderOptions<U extends OrderedKernel> {
  /** The states whose old values are read when a value is read. */
  readonly statesOf: (value: Value) => readonly string[];
  /** The new value of each state. */
  readonly next: ReadonlyMap<string, Value>;
  /** Values that a kernel needs in addition to its reads: the counts of its rows. */
  readonly counts: (kernel: U) => readonly Value[];
}

/** For each kernel, the kernels that must run before it. */
type Edges = readonly (readonly number[])[];

/**
 * The kernels in their order, except that readers of a state's old value, with their dependences, run before the kernel
 * that computes its new value. Where such a reader depends on the new value, as fusion can cause, it stays after it:
 * the old value's memory then lives until its last read, and the new value is copied into place at the end. Dependences
 * are always kept.
 */
export function updatesAfterReaders<U extends OrderedKernel>(
  kernels: readonly U[],
  { statesOf, next, counts }: OrderOptions<U>,
): readonly U[] {
  if (next.size === 0) return kernels;
  const makers = new Map<Value, number>();
  const readers = new Map<string, number[]>();
  kernels.forEach((kernel, i) => {
    for (const { value } of kernel.writes) makers.set(value, i);
    for (const state of new Set(kernel.reads.flatMap(statesOf))) readers.set(state, [...(readers.get(state) ?? []), i]);
  });
  const needs = kernels.map((kernel, i) =>
    [...kernel.reads, ...counts(kernel)].flatMap((value) => makers.get(value) ?? []).filter((maker) => maker !== i),
  );
  const waits = kernels.map((): number[] => []);
  for (const [state, value] of next) {
    const maker = makers.get(value);
    if (maker !== undefined) waits[maker]!.push(...(readers.get(state) ?? []).filter((i) => i !== maker));
  }
  const order = topologicalOrder(withoutCycles(needs, waits));
  return order.map((i) => kernels[i]!);
}

/** The dependences, and those anti-dependences that do not close a cycle. */
function withoutCycles(needs: Edges, waits: Edges): Edges {
  const all = needs.map((needed, i) => [...needed, ...waits[i]!]);
  const component = componentsOf(all);
  const before = needs.map((needed) => [...needed]);
  // Edges between components close no cycles; within a component each edge is checked separately.
  waits.forEach((waiting, i) => before[i]!.push(...waiting.filter((reader) => component[reader] !== component[i])));
  waits.forEach((waiting, i) => {
    for (const reader of waiting)
      if (component[reader] === component[i] && !reaches(before, reader, i, (n) => component[n] === component[i]))
        before[i]!.push(reader);
  });
  return before;
}

function reaches(before: Edges, from: number, to: number, within: (kernel: number) => boolean): boolean {
  const seen = new Set([from]);
  const open = [from];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    if (at === to) return true;
    for (const next of before[at]!) {
      if (seen.has(next) || !within(next)) continue;
      seen.add(next);
      open.push(next);
    }
  }
  return false;
}

/** Numbers of strongly connected components (Tarjan 1972, without recursion). */
function componentsOf(before: Edges): Int32Array {
  const component = new Int32Array(before.length).fill(-1);
  const index = new Int32Array(before.length).fill(-1);
  const lowest = new Int32Array(before.length);
  const open: number[] = [];
  let [count, components] = [0, 0];
  const enter = (kernel: number): { readonly at: number; next: number } => {
    index[kernel] = lowest[kernel] = count++;
    open.push(kernel);
    return { at: kernel, next: 0 };
  };
  for (const root of before.keys()) {
    if (index[root]! >= 0) continue;
    const stack = [enter(root)];
    for (let top = stack.at(-1); top; top = stack.at(-1)) {
      const { at } = top;
      const other = before[at]![top.next++];
      if (other !== undefined) {
        if (index[other]! < 0) stack.push(enter(other));
        else if (component[other]! < 0) lowest[at] = Math.min(lowest[at]!, index[other]!);
        continue;
      }
      stack.pop();
      const above = stack.at(-1);
      if (above) lowest[above.at] = Math.min(lowest[above.at]!, lowest[at]!);
      if (lowest[at] !== index[at]) continue;
      for (let member = open.pop(); member !== undefined; member = open.pop()) {
        component[member] = components;
        if (member === at) break;
      }
      components++;
    }
  }
  return component;
}

const [UNSEEN, ENTERED, DONE] = [0, 1, 2];

/** A topological order, depth first in the original order. */
function topologicalOrder(before: Edges): readonly number[] {
  const order: number[] = [];
  const state = new Uint8Array(before.length);
  for (const root of before.keys()) {
    if (state[root] !== UNSEEN) continue;
    state[root] = ENTERED;
    const stack = [{ at: root, next: 0 }];
    for (let top = stack.at(-1); top; top = stack.at(-1)) {
      const needed = before[top.at]![top.next++];
      if (needed === undefined) {
        state[top.at] = DONE;
        order.push(top.at);
        stack.pop();
        continue;
      }
      invariant(state[needed] !== ENTERED, `kernels ${top.at} and ${needed} need each other`);
      if (state[needed] === DONE) continue;
      state[needed] = ENTERED;
      stack.push({ at: needed, next: 0 });
    }
  }
  return order;
}
