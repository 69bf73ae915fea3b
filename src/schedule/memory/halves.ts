// Which values lie in memory as f16: weights, and what kernels hand to kernels. All else, and all arithmetic, stays
// f32.
import { isPointwise, isView, isOp, type Node } from "../../ir/graph.js";
import { equalShapes } from "../../ir/typing.js";
import { isFloat } from "../../base/dtype.js";
import type { Value } from "../addressing/layout.js";
import type { Layouts } from "../addressing/layouts.js";
import type { FusedKernel } from "../kernels/fused-kernel.js";

export interface HalvesOptions {
  readonly order: readonly Node[];
  readonly kernels: readonly FusedKernel[];
  readonly layouts: Layouts;
  /** What the caller, a state or the runtime reads. */
  readonly required: ReadonlySet<Node>;
  /** Weights that stand side by side. */
  readonly madeWhenPacked: ReadonlySet<Node>;
  /** Whether it is there before the first step. */
  readonly isGiven: (node: Node) => boolean;
}

/**
 * Floats that every kernel which reads or writes them can read or write as f16, but for three kinds: what the caller
 * gives or is given, with states and tables; sums of values as large as themselves, such as the residual stream, in
 * which every layer's rounding would add up; and what a choice is made by, with all that is read for it, so that no
 * route depends on how the rest is stored.
 */
export function halvesOf({ order, kernels, layouts, required, isGiven }: HalvesOptions): ReadonlySet<Value> {
  const whole = new Set<Value>();
  const keep = (node: Node): void => {
    const value = layouts.of(node)?.value;
    if (value) whole.add(value);
  };
  for (const node of required) whole.add(layouts.valueOf(node));
  for (const node of order) if (accumulates(node)) keep(node);
  for (const node of readForChoices(order, required, layouts)) keep(node);
  for (const { reads, writes, halves, takesOver } of kernels) {
    reads.forEach((value, i) => {
      if (!halves.reads[i] || takesOver.includes(i)) whole.add(value);
    });
    writes.forEach(({ value }, i) => {
      if (!halves.writes[i] || (takesOver[i] ?? null) !== null) whole.add(value);
    });
  }
  const all = kernels.flatMap(({ reads, writes }) => [...reads, ...writes.map((w) => w.value)]);
  const stays = ({ node, result }: Value): boolean =>
    !isFloat(node.types[result]!.dtype) || (isGiven(node) && !isOp(node, "weight"));
  return new Set(all.filter((value) => !whole.has(value) && !stays(value)));
}

/**
 * Weights that only kernels read which take two values out of a word: those of products, and tables that rows are
 * looked up in; but none that a choice is made by, so that no route depends on how weights are stored. No device needs
 * f16 for that.
 */
export function packedWeights({
  order,
  kernels,
  layouts,
  required,
  madeWhenPacked,
}: HalvesOptions): ReadonlySet<Value> {
  const choosing = new Set(
    [...readForChoices(order, required, layouts)].flatMap((node) => layouts.of(node)?.value ?? layouts.result(node, 0)),
  );
  const [found, whole] = [new Set<Value>(), new Set<Value>(choosing)];
  for (const { reads, packs } of kernels)
    reads.forEach((value, i) => {
      const { node, result } = value;
      const isWeight = (isOp(node, "weight") || madeWhenPacked.has(node)) && node.types[result]!.dtype === "f32";
      (isWeight && packs.includes(i) && !required.has(node) ? found : whole).add(value);
    });
  return new Set([...found].filter((value) => !whole.has(value)));
}

/** Nodes whose first result lies in memory so; of weights side by side those that stand there. */
export function halfNodes(
  halves: ReadonlySet<Value>,
  { order, madeWhenPacked, layouts }: HalvesOptions,
): ReadonlySet<Node> {
  if (halves.size === 0) return new Set();
  const isHalf = (node: Node): boolean => {
    const value = madeWhenPacked.has(node) ? layouts.result(node, 0) : layouts.of(node)?.value;
    return value !== undefined && halves.has(value);
  };
  return new Set(order.filter(isHalf).flatMap((node) => (madeWhenPacked.has(node) ? node.inputs : [node])));
}

/** Rows put into others, and sums of two values of one shape; adding a bias, which is repeated, is none. */
function accumulates(node: Node): boolean {
  if (isOp(node, "put") || isOp(node, "set")) return true;
  if (!isOp(node, "add") && !isOp(node, "sub")) return false;
  return node.inputs.every(
    (n) => !isOp(n, "constant") && !isOp(n, "broadcast") && equalShapes(n.types[0]!.shape, node.types[0]!.shape),
  );
}

/**
 * Scores, whatever serves them alone, and all that kernels read from memory to compute that, with the weights of
 * products among it.
 */
function readForChoices(order: readonly Node[], required: ReadonlySet<Node>, layouts: Layouts): ReadonlySet<Node> {
  const readers = new Map<Node, Node[]>();
  const scores = new Set<Node>();
  for (const node of order) {
    for (const input of node.inputs) {
      const known = readers.get(input);
      if (known) known.push(node);
      else readers.set(input, [node]);
    }
    if (isOp(node, "top") || isOp(node, "above"))
      for (const input of node.inputs.slice(0, isOp(node, "top") ? 1 : 2)) scores.add(input);
  }
  const choosing = new Set<Node>();
  for (const node of order.toReversed()) {
    const own = readers.get(node) ?? [];
    if (scores.has(node) || (own.length > 0 && !required.has(node) && own.every((r) => choosing.has(r))))
      choosing.add(node);
  }
  const read = new Set<Node>();
  const pending = [...choosing].flatMap((node) => [node, ...node.inputs]);
  for (let node = pending.pop(); node; node = pending.pop()) {
    if (read.has(node)) continue;
    read.add(node);
    if (isOp(node, "matmul")) pending.push(node.inputs[1]);
    // What lies in no memory is computed of what does; what is a part of something is read with it.
    if (isView(node)) pending.push(node.inputs[0]);
    else if (isPointwise(node) && !layouts.of(node)) pending.push(...node.inputs);
  }
  return read;
}
