// Multi-output reduction fusion: row sums that read the same rows share a kernel.
import { isOp, type Node, isView, isPointwise } from "../../ir/graph.js";
import { equalShapes } from "../../ir/typing.js";
import { inline, MOST_OPERATIONS, type InlineOptions } from "./inline.js";
import { storageBuffers } from "./buffers.js";
import type { Consumers } from "../analysis/consumers.js";
import type { Size } from "../../../ground/size/size.js";
import type { Extents } from "../analysis/extents.js";

export interface RowGroup {
  /** In order; the kernel runs at the position of the first. */
  readonly sums: readonly Node<"sum">[];
  readonly reads: ReadonlySet<Node>;
  readonly nodes: ReadonlySet<Node>;
}

const MOST_SUMS = 4;
/** Shorter rows are summed by one invocation each, as in any reduction. */
const LEAST_DEPTH = 16;
/** Longer rows are shared by more lanes, and summed in more levels. */
const MOST_DEPTH = 16_384;

/** Whether the sum is over a last dimension of suitable length for a row-sum kernel. */
export function sumsRows({ attrs, inputs, types }: Node<"sum">): boolean {
  const shape = inputs[0].types[0]!.shape;
  const depth = shape.at(-1);
  return (
    attrs.axes.length === 1 &&
    attrs.axes[0] === shape.length - 1 &&
    typeof depth === "number" &&
    depth >= LEAST_DEPTH &&
    depth <= MOST_DEPTH &&
    types[0]!.dtype === "f32"
  );
}

/** Row sums that read these values, directly or through pointwise operators. */
export function sumsBehind(values: readonly Node[], consumers: Consumers): readonly Node<"sum">[] {
  const found = new Set<Node<"sum">>();
  const seen = new Set(values);
  let open = values;
  for (let steps = 0; open.length > 0 && steps < MOST_OPERATIONS; steps++) {
    const next = open.flatMap((n) => consumers.direct(n)).filter((n) => !seen.has(n));
    for (const n of next) seen.add(n);
    for (const n of next) if (isOp(n, "sum") && sumsRows(n)) found.add(n);
    open = next.filter((n) => isPointwise(n) || isView(n));
  }
  return [...found];
}

export interface RowGroupOptions extends Omit<InlineOptions, "before" | "allows"> {
  readonly extents: Extents;
  readonly mostBuffers: number;
  readonly position: (node: Node) => number;
}

export const NO_SUMS: RowGroup = { sums: [], reads: new Set(), nodes: new Set() };

/**
 * The group with one more sum. Null where the sum has rows of another shape, shares no read with the others, reads a
 * value computed after the group, or exceeds the buffer limit.
 */
export function withSum(group: RowGroup, node: Node<"sum">, options: RowGroupOptions): RowGroup | null {
  const { sums, reads } = group;
  const { position, extents, mostBuffers } = options;
  const [first = node] = sums;
  if (sums.length >= MOST_SUMS || !equalShapes(summedShape(first), summedShape(node))) return null;
  const inlined = inline(node.inputs[0], node, { ...options, before: position(first), allows: () => true });
  if (!inlined) return null;
  const all = { sums: [...sums, node], reads: new Set([...reads, ...inlined.reads]) };
  const shares = sums.length === 0 || all.reads.size < reads.size + inlined.reads.size;
  const types = node.inputs.flatMap((n) => n.types);
  const fits = storageBuffers([{ reads: all.reads, writes: all.sums }], types, extents) <= mostBuffers;
  return shares && fits ? { ...all, nodes: new Set([...group.nodes, node, ...inlined.operations]) } : null;
}

export const summedShape = (sum: Node<"sum">): readonly Size[] => sum.inputs[0].types[0]!.shape;
