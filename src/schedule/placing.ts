// Rows of a product that are set in something else as they are, as keys and values of new tokens are in a cache.
import { isView, isOp, type Node } from "../ir/graph.js";
import { isRowMajor, viewed, type Layout } from "./layout.js";
import type { RegionOptions } from "./region.js";

/**
 * The set that all of `from` goes into, through structure alone and by it alone, if each of its rows is then a row of `from` in the order in which `from` lies, and what it
 * needs is there `before`; else null.
 */
export function setBehind(from: Node, lies: Omit<Layout, "value">, options: RegionOptions, before: number): Node<"set"> | null {
  const { demand, extents, required, readyAt, isTaken } = options;
  let at = from;
  let layout: Layout | null = { value: { node: from, result: 0 }, ...lies };
  while (layout && !required.has(at)) {
    const [next, ...more] = demand.direct(at);
    if (!next || more.length > 0) return null;
    if (isOp(next, "set")) {
      const [x, index, rows] = next.inputs;
      const ready = !isTaken(next) && readyAt(x) < before && readyAt(index) < before;
      return ready && next.attrs.dim === 0 && rows === at && isRowMajor(extents, layout, at.types[0]!.shape) ? next : null;
    }
    if (!isView(next) || next.op === "take" || demand.isCopied(next)) return null;
    layout = viewed(extents, next, layout);
    at = next;
  }
  return null;
}
