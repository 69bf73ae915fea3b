// Sums over each row that read the same rows are computed together.
import { isOp, type Node, isView, isPointwise } from "../../ir/graph.js";
import { equalShapes, printShape } from "../../ir/typing.js";
import { inline, MOST_OPERATIONS, type Inlined, type InlineOptions } from "./inline.js";
import { storageBuffers } from "./buffers.js";
import type { Demand } from "../analysis/demand.js";
import type { Extents } from "../analysis/extents.js";

export interface RowGroup {
  /** In order; the kernel stands where the first does. */
  readonly sums: Node<"sum">[];
  readonly reads: Set<Node>;
  readonly nodes: Set<Node>;
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

export class RowGroups {
  readonly all: RowGroup[] = [];
  /** The latest group over a shape. */
  readonly #open = new Map<string, RowGroup>();
  readonly #mostBuffers: number;
  readonly #extents: Extents;
  readonly #position: (node: Node) => number;

  constructor(mostBuffers: number, extents: Extents, position: (node: Node) => number) {
    this.#mostBuffers = mostBuffers;
    this.#extents = extents;
    this.#position = position;
  }

  /** Takes in a sum; returns its group, or null where it reads too much. */
  add(node: Node<"sum">, options: Omit<InlineOptions, "before" | "allows">): RowGroup | null {
    const [x] = node.inputs;
    const key = printShape(x.types[0]!.shape);
    const open = this.#open.get(key);
    if (open && this.join(open, node, options)) return open;
    const alone = this.#inline(node, node, options);
    const group: RowGroup = { sums: [], reads: new Set(), nodes: new Set() };
    if (!alone || !this.#fits(group, node, alone)) return null;
    this.#include(group, node, alone);
    this.#open.set(key, group);
    this.all.push(group);
    return group;
  }
  /**
   * Takes a sum into a group, if it is over rows of the same shape and what it reads is there when the group is
   * computed.
   */
  join(group: RowGroup, node: Node<"sum">, options: Omit<InlineOptions, "before" | "allows">): boolean {
    const [first] = group.sums;
    if (
      group.sums.length >= MOST_SUMS ||
      !equalShapes(first!.inputs[0].types[0]!.shape, node.inputs[0].types[0]!.shape)
    )
      return false;
    const joint = this.#inline(node, first!, options);
    if (!joint || !this.#fits(group, node, joint)) return false;
    this.#include(group, node, joint);
    return true;
  }
  #inline(node: Node<"sum">, at: Node, options: Omit<InlineOptions, "before" | "allows">): Inlined | null {
    return inline(node.inputs[0], node, { ...options, before: this.#position(at), allows: () => true });
  }
  /** Whether it has something to read in common, and all fits into one kernel. */
  #fits({ sums, reads }: RowGroup, node: Node<"sum">, more: Inlined): boolean {
    const all = new Set([...reads, ...more.reads]);
    const common = sums.length === 0 || all.size < reads.size + more.reads.size;
    const parts = [{ reads: all, writes: [...sums, node] }];
    const types = node.inputs.flatMap((n) => n.types);
    return common && storageBuffers(parts, types, this.#extents) <= this.#mostBuffers;
  }
  #include(group: RowGroup, node: Node<"sum">, { operations, reads }: Inlined): void {
    group.sums.push(node);
    group.nodes.add(node);
    for (const n of operations) group.nodes.add(n);
    for (const n of reads) group.reads.add(n);
  }
}
