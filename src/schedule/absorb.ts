// What a kernel can compute by itself of what it reads: pointwise operators that nothing else reads, down to what lies in memory by then.
import { isOp, type Node } from "../ir/graph.js";
import { isFloat } from "../size/dtype.js";
import type { Demand } from "./demand.js";
import { isPointwise, isStructure } from "./demand.js";

/** A kernel's text grows with its operations, and compiling it more so. */
export const MOST_OPERATIONS = 24;

export interface Absorbed {
  /** Pointwise operators computed within. */
  readonly operations: ReadonlySet<Node>;
  /** What is read from memory: bases behind structure, and the rows of routes. */
  readonly reads: ReadonlySet<Node>;
}

export interface AbsorbOptions {
  readonly demand: Demand;
  /** The place in the order before which everything read must be computed. */
  readonly before: number;
  /** The place at which a node that is stored is computed. */
  readonly readyAt: (node: Node) => number;
  /** Pointwise operators that some other kernel computes. */
  readonly isTaken: (node: Node) => boolean;
  /** Whether an operator may be computed here, again for each use of an element. */
  readonly allows: (node: Node) => boolean;
}

/** What computing `node` within a kernel for `reader` takes; null where something it needs is not there in time, or it is too much. */
export function absorb(node: Node, reader: Node, options: AbsorbOptions): Absorbed | null {
  const { demand } = options;
  const operations = new Set<Node>();
  const reads = new Set<Node>();
  const within = (n: Node): boolean => {
    const readers = demand.readers(n);
    return readers.every((r) => r.mode === "element" && r.node !== null && (r.node === reader || operations.has(r.node)));
  };
  const stack = [node];
  for (let n = stack.pop(); n; n = stack.pop()) {
    if (isOp(n, "constant") || operations.has(n) || reads.has(n)) continue;
    if (isStructure(n) && !demand.isCopied(n)) {
      stack.push(n.inputs[0]!);
      if (isOp(n, "take")) {
        if (options.readyAt(n.inputs[1]!) >= options.before) return null;
        reads.add(n.inputs[1]!);
      }
      continue;
    }
    if (isPointwise(n) && !options.isTaken(n) && within(n) && options.allows(n) && operations.size < MOST_OPERATIONS) {
      operations.add(n);
      stack.push(...n.inputs);
      continue;
    }
    if (options.readyAt(n) >= options.before) return null;
    reads.add(n);
  }
  return { operations, reads };
}

const CHEAP: ReadonlySet<string> = new Set(["add", "sub", "mul", "neg", "cast", "where", "relu", "min", "max", "abs", "powi"]);

/** Whether it costs little to compute an element again: for a whole row at once anything does. */
export const isCheap = (node: Node): boolean => {
  const { shape, dtype } = node.types[0]!;
  return (shape.at(-1) ?? 1) === 1 || (CHEAP.has(node.op) && (isFloat(dtype) || dtype === "bool"));
};
