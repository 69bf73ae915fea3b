// The global norm of gradients. Gradients that are slices of one value are reduced together.
import { addTo } from "../../ground/base/collections.js";
import { isOp, typeOf, type Node } from "../ir/graph.js";
import type { Emit } from "../ir/build.js";
import type { Algebra } from "../ops/algebra.js";

/** √Σ g² over all gradients. */
export function normOf(emit: Emit, m: Algebra, all: readonly Node[]): Node {
  const squares = (x: Node, first = 0): Node =>
    emit.node("sum", [m.powi(x, 2)], { axes: [...typeOf(x).shape.keys()].slice(first), keep: false });
  const sums = stacksOf(all).map(({ x, parts }) => {
    if (parts === 1) return squares(x);
    const [rows, ...behind] = typeOf(x).shape;
    // First within each part, so that the device sums many values in parallel.
    const each = squares(emit.node("reshape", [x], { shape: [parts, Number(rows) / parts, ...behind] }), 1);
    return emit.node("sum", [each], { axes: [0], keep: false });
  });
  return m.sqrt(sums.reduce((sum, s) => m.add(sum, s), m.number(0)));
}

/** A gradient, or a value whose `parts` slices are all gradients. */
interface Stack {
  readonly x: Node;
  readonly parts: number;
}

/**
 * The gradients in order. If all slices of a value are gradients, as for experts, the value takes the place of its
 * first slice.
 */
function stacksOf(all: readonly Node[]): readonly Stack[] {
  const slices = new Map<Node, Node<"slice">[]>();
  for (const g of all) {
    if (!isOp(g, "slice") || g.attrs.axis !== 0) continue;
    addTo(slices, g.inputs[0], g);
  }
  const unsliced = new Set([...slices].flatMap(([x, own]) => (areWhole(x, own) ? [x] : [])));
  const stacks: Stack[] = [];
  const seen = new Set<Node>();
  for (const g of all) {
    const x = isOp(g, "slice") && unsliced.has(g.inputs[0]) ? g.inputs[0] : null;
    if (x === null) stacks.push({ x: g, parts: 1 });
    else if (!seen.has(x)) stacks.push({ x, parts: slices.get(x)!.length });
    if (x !== null) seen.add(x);
  }
  return stacks;
}

/** Whether slices of equal length cover a value, each element once. */
function areWhole(x: Node, slices: readonly Node<"slice">[]): boolean {
  const extent = typeOf(x).shape[0];
  const each = Number(extent) / slices.length;
  const starts = slices.map((s) => s.attrs.start).toSorted((a, b) => a - b);
  return (
    typeof extent === "number" &&
    slices.length > 1 &&
    starts.every((start, i) => start === i * each) &&
    slices.every((s) => s.attrs.stop - s.attrs.start === each)
  );
}
