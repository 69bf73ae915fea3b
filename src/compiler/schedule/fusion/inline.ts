// Producer inlining (compute_inline): pointwise operators that only this kernel reads are computed in it, down to
// values that are stored before it runs.
import { isGather, isOp, type Node, isView, isPointwise } from "../../ir/graph.js";
import { loweringOf } from "../../ops/traits.js";
import { isFloat } from "../../../ground/base/dtype.js";
import { coordinatesOf, type Coordinate } from "../addressing/access.js";
import { coordinatesIn, indexesColumns, stepInto, type Views } from "../addressing/views.js";
import type { Consumers } from "../analysis/consumers.js";

/** Limit of inlined operations: compile time grows faster than a kernel's text. */
export const MOST_OPERATIONS = 24;

export interface Inlined {
  /** Pointwise operators that are inlined. */
  readonly operations: ReadonlySet<Node>;
  /** Nodes read from memory: bases of structure, and row indices of routes. */
  readonly reads: ReadonlySet<Node>;
}

export interface InlineOptions {
  readonly consumers: Consumers;
  readonly views: Pick<Views, "extents" | "strided">;
  /** Whether indices along the columns are disallowed, because the kernel computes addresses by row. */
  readonly byRow?: boolean;
  /** The position in the order before which everything read must be computed. */
  readonly before: number;
  /** The position at which a stored node is computed. */
  readonly scheduledAt: (node: Node) => number;
  /** Whether another kernel computes the operator. */
  readonly isAssigned: (node: Node) => boolean;
  /** Whether an operator may be inlined, and so recomputed for each use of an element. */
  readonly allows: (node: Node) => boolean;
}

/** A node reached from the root, with the coordinates for inlining and for reading it, if any. */
interface Reached {
  readonly n: Node;
  readonly path: number;
  readonly computed: readonly Coordinate[] | null;
  readonly read: readonly Coordinate[] | null;
}

/**
 * The reads and operations for inlining `node` into the kernel of `reader`; null if an input is not computed in time
 * or cannot be addressed, or there are too many operations.
 */
export function inline(node: Node, reader: Node, options: InlineOptions): Inlined | null {
  const { consumers, views } = options;
  const operations = new Set<Node>();
  const reads = new Set<Node>();
  const paths = new Paths();
  // An operator reached through different structure is computed once for each.
  let count = 0;
  const within = (n: Node): boolean => consumers.isInlinedByAll(n, (r) => r === reader || operations.has(r));
  const root = isPointwise(reader) ? reader : node;
  const rank = root.types[0]!.shape.length;
  const stack: Reached[] = [
    { n: node, path: 0, computed: coordinatesIn(node, root, coordinatesOf(rank), rank), read: null },
  ];
  for (let top = stack.pop(); top; top = stack.pop()) {
    const { n, path, computed, read } = top;
    if (isOp(n, "constant") || !paths.isNew(n, path)) continue;
    if (isView(n) && !consumers.isCopied(n)) {
      const next = computed && stepInto(n, computed, views.extents);
      stack.push({
        n: n.inputs[0],
        path: paths.through(n, path),
        computed: next,
        read: read ?? (views.strided.has(n) ? computed : null),
      });
      if (isGather(n)) {
        if (options.scheduledAt(n.inputs[1]) >= options.before) return null;
        reads.add(n.inputs[1]);
      }
      continue;
    }
    const inlined = read ?? computed;
    if (!inlined || (options.byRow && indexesColumns(inlined))) return null;
    if (reads.has(n)) continue;
    if (
      computed &&
      (operations.has(n) ||
        (isPointwise(n) && !options.isAssigned(n) && within(n) && options.allows(n) && count < MOST_OPERATIONS))
    ) {
      if (++count > MOST_OPERATIONS) return null;
      operations.add(n);
      for (const input of n.inputs)
        stack.push({ n: input, path, computed: coordinatesIn(input, n, computed, rank), read: null });
      continue;
    }
    if (operations.has(n) || options.scheduledAt(n) >= options.before) return null;
    reads.add(n);
  }
  return { operations, reads };
}

/** Numbers paths through structure; 0 is the empty path. */
class Paths {
  readonly #next = new Map<number, Map<Node, number>>();
  readonly #reached = new Map<Node, Set<number>>();
  #count = 0;

  through(structure: Node, path: number): number {
    let from = this.#next.get(path);
    if (!from) this.#next.set(path, (from = new Map()));
    let to = from.get(structure);
    if (to === undefined) from.set(structure, (to = ++this.#count));
    return to;
  }
  /** Whether a node was not yet reached by this path. */
  isNew(node: Node, path: number): boolean {
    let paths = this.#reached.get(node);
    if (!paths) this.#reached.set(node, (paths = new Set()));
    if (paths.has(path)) return false;
    paths.add(path);
    return true;
  }
}

/** Whether recomputing an element is cheap. Values of one element per row are always cheap. */
export const isCheap = (node: Node): boolean => {
  const { shape, dtype } = node.types[0]!;
  return (shape.at(-1) ?? 1) === 1 || (loweringOf(node).cheap === true && (isFloat(dtype) || dtype === "bool"));
};
