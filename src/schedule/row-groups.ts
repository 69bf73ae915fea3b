// Sums over each row that read the same rows are computed together.
import { type Node } from "../ir/graph.js";
import { printShape } from "../ir/typing.js";
import { absorb, type Absorbed, type AbsorbOptions } from "./absorb.js";
import type { Extents } from "./extents.js";

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
  const shape = inputs[0]!.types[0]!.shape;
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
  add(node: Node<"sum">, options: Omit<AbsorbOptions, "before" | "allows">): RowGroup | null {
    const [x] = node.inputs;
    const key = printShape(x!.types[0]!.shape);
    const open = this.#open.get(key);
    const joint = open && open.sums.length < MOST_SUMS ? this.#absorb(node, open.sums[0]!, options) : null;
    if (open && joint && this.#fits(open, node, joint)) {
      this.#include(open, node, joint);
      return open;
    }
    const alone = this.#absorb(node, node, options);
    const group: RowGroup = { sums: [], reads: new Set(), nodes: new Set() };
    if (!alone || !this.#fits(group, node, alone)) return null;
    this.#include(group, node, alone);
    this.#open.set(key, group);
    this.all.push(group);
    return group;
  }
  #absorb(node: Node<"sum">, at: Node, options: Omit<AbsorbOptions, "before" | "allows">): Absorbed | null {
    return absorb(node.inputs[0]!, node, { ...options, before: this.#position(at), allows: () => true });
  }
  /** Whether it has something to read in common, and all fits into one kernel. */
  #fits({ sums, reads }: RowGroup, node: Node<"sum">, more: Absorbed): boolean {
    const all = new Set([...reads, ...more.reads]);
    const common = sums.length === 0 || all.size < reads.size + more.reads.size;
    const counted = this.#extents.countedIn([...node.inputs, ...all].flatMap((n) => n.types));
    return common && all.size + counted.size + sums.length + 1 <= this.#mostBuffers;
  }
  #include(group: RowGroup, node: Node<"sum">, { operations, reads }: Absorbed): void {
    group.sums.push(node);
    group.nodes.add(node);
    for (const n of operations) group.nodes.add(n);
    for (const n of reads) group.reads.add(n);
  }
}
