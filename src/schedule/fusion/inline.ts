// What a kernel can compute by itself of what it reads: pointwise operators that nothing else reads, down to what lies
// in memory by then.
import { isOp, type Node, isView, isPointwise } from "../../ir/graph.js";
import { loweringOf } from "../../ops/traits.js";
import { isFloat } from "../../base/dtype.js";
import { coordinatesOf, type Coordinate } from "../addressing/access.js";
import { coordinatesIn, indexesColumns, stepInto, type Views } from "../addressing/views.js";
import type { Demand } from "../analysis/demand.js";

/** A kernel's text grows with its operations, and compiling it more so. */
export const MOST_OPERATIONS = 24;

export interface Inlined {
  /** Pointwise operators computed within. */
  readonly operations: ReadonlySet<Node>;
  /** What is read from memory: bases behind structure, and the rows of routes. */
  readonly reads: ReadonlySet<Node>;
}

export interface InlineOptions {
  readonly demand: Demand;
  readonly views: Pick<Views, "extents" | "strided">;
  /** Whether no index may run along the columns of what is computed: the kernel finds rows first. */
  readonly byRow?: boolean;
  /** The place in the order before which everything read must be computed. */
  readonly before: number;
  /** The place at which a node that is stored is computed. */
  readonly scheduledAt: (node: Node) => number;
  /** Pointwise operators that some other kernel computes. */
  readonly isAssigned: (node: Node) => boolean;
  /** Whether an operator may be computed here, again for each use of an element. */
  readonly allows: (node: Node) => boolean;
}

/** A node on the way down, with the coordinates by which it can be computed or read, if any. */
interface Reached {
  readonly n: Node;
  readonly path: number;
  readonly computed: readonly Coordinate[] | null;
  readonly read: readonly Coordinate[] | null;
}

/**
 * What computing `node` within a kernel for `reader` takes; null where something it needs is not there in time or
 * cannot be addressed, or it is too much.
 */
export function inline(node: Node, reader: Node, options: InlineOptions): Inlined | null {
  const { demand, views } = options;
  const operations = new Set<Node>();
  const reads = new Set<Node>();
  const paths = new Paths();
  // Through unlike structure an operator is computed once for each.
  let count = 0;
  const within = (n: Node): boolean => demand.isReadWithin(n, (r) => r === reader || operations.has(r));
  const root = isPointwise(reader) ? reader : node;
  const rank = root.types[0]!.shape.length;
  const stack: Reached[] = [
    { n: node, path: 0, computed: coordinatesIn(node, root, coordinatesOf(rank), rank), read: null },
  ];
  for (let top = stack.pop(); top; top = stack.pop()) {
    const { n, path, computed, read } = top;
    if (isOp(n, "constant") || !paths.isNew(n, path)) continue;
    if (isView(n) && !demand.isCopied(n)) {
      const next = computed && stepInto(n, computed, views.extents);
      stack.push({
        n: n.inputs[0],
        path: paths.through(n, path),
        computed: next,
        read: read ?? (views.strided.has(n) ? computed : null),
      });
      if (isOp(n, "take")) {
        if (options.scheduledAt(n.inputs[1]) >= options.before) return null;
        reads.add(n.inputs[1]);
      }
      continue;
    }
    const found = read ?? computed;
    if (!found || (options.byRow && indexesColumns(found))) return null;
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

/** Ways through structure, numbered from 0, which is none. */
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
  /** Whether a node was not reached in this way before. */
  isNew(node: Node, path: number): boolean {
    let paths = this.#reached.get(node);
    if (!paths) this.#reached.set(node, (paths = new Set()));
    if (paths.has(path)) return false;
    paths.add(path);
    return true;
  }
}

/** Whether it costs little to compute an element again: for a whole row at once anything does. */
export const isCheap = (node: Node): boolean => {
  const { shape, dtype } = node.types[0]!;
  return (shape.at(-1) ?? 1) === 1 || (loweringOf(node).cheap === true && (isFloat(dtype) || dtype === "bool"));
};
