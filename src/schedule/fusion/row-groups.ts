// Sums over each row that read the same rows are computed together.
import { isOp, type Node, isView, isPointwise } from "../../ir/graph.js";
import { equalShapes } from "../../ir/typing.js";
import { inline, MOST_OPERATIONS, type InlineOptions } from "./inline.js";
import { storageBuffers } from "./buffers.js";
import type { Demand } from "../analysis/demand.js";
import type { Size } from "../../size/size.js";
import type { Extents } from "../analysis/extents.js";

export interface RowGroup {
  /** In order; the kernel stands where the first does. */
  readonly sums: readonly Node<"sum">[];
  readonly reads: ReadonlySet<Node>;
  readonly nodes: ReadonlySet<Node>;
}

const MOST_SUMS = 4;
/** Rows of fewer elements are summed an invocation each, as any reduction. */
const LEAST_DEPTH = 16;
/** Longer ones are shared by more lanes, and summed in more levels. */
const MOST_DEPTH = 16_384;

/** Whether it sums over the last dimension, long enough to be worth a kernel of its own. */
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

/** Sums over rows of what is computed of these values, element by element. */
export function sumsBehind(values: readonly Node[], demand: Demand): readonly Node<"sum">[] {
  const found = new Set<Node<"sum">>();
  const seen = new Set(values);
  let open = values;
  for (let steps = 0; open.length > 0 && steps < MOST_OPERATIONS; steps++) {
    const next = open.flatMap((n) => demand.direct(n)).filter((n) => !seen.has(n));
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
 * A group with one sum more; null where that is over rows of another shape or reads nothing that the others do, what it
 * reads is not there when the group is computed, or a kernel cannot bind it all.
 */
export function withSum(group: RowGroup, node: Node<"sum">, options: RowGroupOptions): RowGroup | null {
  const { sums, reads } = group;
  const { position, extents, mostBuffers } = options;
  const [first = node] = sums;
  if (sums.length >= MOST_SUMS || !equalShapes(summedShape(first), summedShape(node))) return null;
  const found = inline(node.inputs[0], node, { ...options, before: position(first), allows: () => true });
  if (!found) return null;
  const all = { sums: [...sums, node], reads: new Set([...reads, ...found.reads]) };
  const shares = sums.length === 0 || all.reads.size < reads.size + found.reads.size;
  const types = node.inputs.flatMap((n) => n.types);
  const fits = storageBuffers([{ reads: all.reads, writes: all.sums }], types, extents) <= mostBuffers;
  return shares && fits ? { ...all, nodes: new Set([...group.nodes, node, ...found.operations]) } : null;
}

export const summedShape = (sum: Node<"sum">): readonly Size[] => sum.inputs[0].types[0]!.shape;
