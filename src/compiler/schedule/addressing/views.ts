// Addressability analysis: decides by shapes and strides, before fusion, which structure can be read in place and which
// must be copied.
import { readersOf } from "../../../ground/base/collections.js";
import { isGather, isSameView, isView, isOp, type Node } from "../../ir/graph.js";
import { kernelOf } from "../../ops/traits.js";
import type { Size } from "../../../ground/size/size.js";
import { broadcastCoordinates, coordinatesOf, inputCoordinates, type Coordinate } from "./access.js";
import { isSingleProduct, modeOf, type Consumers } from "../analysis/consumers.js";
import type { Extents } from "../analysis/extents.js";
import { isRowMajor, rowMajor, viewed, type Layout } from "./layout.js";

/** The result of the analysis. */
export interface Views {
  readonly extents: Extents;
  /** Structure without an affine access function: it is copied, and the copy is read row-major. */
  readonly opaque: ReadonlySet<Node>;
  /** Permutations whose input's kernel writes directly in the permuted order. */
  readonly written: ReadonlySet<Node>;
  /** Structure that is a strided view of memory, whichever structure below it is copied. */
  readonly strided: ReadonlySet<Node>;
}

/** The end of a chain of structure operators. */
export interface Descent {
  /** The node that the chain views: not structure, or structure that is copied. */
  readonly base: Node;
  /** Coordinates in the base, for inlining it; null where they are not affine. */
  readonly computed: readonly Coordinate[] | null;
  /**
   * Coordinates in the first strided view of memory in the chain, or else in the base; null where memory cannot be
   * addressed.
   */
  readonly read: readonly Coordinate[] | null;
}

/**
 * Analyses the structure of a graph, in linear time. `required`: nodes the caller reads row-major; `kept`: structure
 * that is always copied.
 */
export function viewsOf(
  order: readonly Node[],
  required: ReadonlySet<Node>,
  kept: ReadonlySet<Node>,
  extents: Extents,
): Views {
  const { memory, view } = neededBy(order, new Set([...required, ...kept]));
  const { written, permuted } = writtenPermutes(order, memory, extents);
  /** Structure that is copied regardless of this analysis. */
  const isCopied = (n: Node): boolean => memory.has(n) || (isGather(n) && view.has(n));
  const opaque = new Set<Node>();
  const strided = new Set<Node>();
  const views = { extents, opaque, written, strided };
  /** The possible layouts of structure: in the memory it views, and in each copy that may be made in between. */
  const layouts = new Map<Node, readonly Layout[]>();
  const refuse = (node: Node): void => {
    opaque.add(node);
    strided.add(node);
    layouts.set(node, [ownLayout(node, extents)]);
  };
  for (const node of order) {
    const from = node.inputs[0];
    if (isSingleProduct(node) && isView(from) && indexesColumns(descend(from, identity(from), views).read!))
      refuse(from);
    if (!isView(node)) continue;
    const copied = !isSameView(node) && !written.has(node) && isCopied(node);
    if (written.has(node) || copied) layouts.set(node, [ownLayout(node, extents)]);
    else {
      const below = layouts.get(from) ?? [permuted.get(from) ?? ownLayout(from, extents)];
      const seen = below.flatMap((layout) => viewed(extents, node, layout) ?? []);
      const complete = seen.length > 0 && seen.length === below.length;
      layouts.set(node, complete && !isSameView(node) ? [...seen, ownLayout(node, extents)] : complete ? seen : []);
    }
    if (layouts.get(node)!.length > 0) strided.add(node);
    const end = blindSpot(node, copied, views);
    if (end) refuse(end);
  }
  return views;
}

/** The row-major layout in the node's own memory. */
const ownLayout = (node: Node, extents: Extents): Layout =>
  rowMajor(extents, { node, result: 0 }, node.types[0]!.shape);

const identity = (node: Node): readonly Coordinate[] => coordinatesOf(node.types[0]!.shape.length);

/** Coordinates in an input of a pointwise node; or the identity in an input that a kernel reads element by element. */
export function coordinatesIn(
  input: Node,
  reader: Node,
  at: readonly Coordinate[],
  rank: number,
): readonly Coordinate[] {
  return broadcastCoordinates(at, input.types[0]!.shape, reader.types[0]!.shape, rank);
}

/** Coordinates in the first input of structure; null where they are not affine. */
export const stepInto = (node: Node, at: readonly Coordinate[], extents: Extents): readonly Coordinate[] | null =>
  inputCoordinates(extents, node, at, at[0]?.affine.strides.length ?? 0, (index) => ({ node: index, result: 0 }));

/** Follows a chain of structure down from elements at these coordinates. */
export function descend(
  node: Node,
  from: readonly Coordinate[],
  views: Pick<Views, "extents" | "strided">,
  isCopied: (node: Node) => boolean = () => false,
): Descent {
  let [base, computed, read]: [Node, readonly Coordinate[] | null, readonly Coordinate[] | null] = [node, from, null];
  while (isView(base) && !isCopied(base)) {
    if (views.strided.has(base)) read ??= computed;
    computed = computed && stepInto(base, computed, views.extents);
    base = base.inputs[0]!;
  }
  return { base, computed, read: read ?? computed };
}

/**
 * The first structure below a node that prevents addressing memory; null if there is none. For a copied node, its own
 * memory does not count.
 */
function blindSpot(node: Node, copied: boolean, { extents, strided }: Views): Node | null {
  if (!copied && strided.has(node)) return null;
  let at = identity(node);
  const hasLayout = (n: Node): boolean => !isView(n) || (strided.has(n) && !(copied && n === node));
  for (let n = node; !hasLayout(n); n = n.inputs[0]!) {
    const next = stepInto(n, at, extents);
    if (!next) return n;
    at = next;
  }
  return null;
}

/** Whether an index depends on the last dimension of the result. */
export const indexesColumns = (at: readonly Coordinate[]): boolean =>
  at.some((c) => c.indices.length > 0 && c.affine.strides.at(-1) !== 0);

/**
 * Whether all readers of a value can read it in this layout: none needs it row-major, and its views can be strided
 * views of it.
 */
export function canLieAt(node: Node, layout: Omit<Layout, "value">, consumers: Consumers, extents: Extents): boolean {
  return (
    consumers.allowsAnyLayout(node) && viewsAllow(node, { ...layout, value: { node, result: 0 } }, extents, consumers)
  );
}

function viewsAllow(
  node: Node,
  layout: Layout,
  extents: Extents,
  consumers: Pick<Consumers, "direct" | "isCopied" | "allowsAnyLayout">,
): boolean {
  return consumers.direct(node).every((reader) => {
    if (!isView(reader) || reader.inputs[0] !== node || isGather(reader)) return true;
    const seen = viewed(extents, reader, layout);
    if (consumers.isCopied(reader)) return true; // a copy can read any strides
    if (!seen || !(consumers.allowsAnyLayout(reader) || isRowMajor(extents, seen, reader.types[0]!.shape)))
      return false;
    return viewsAllow(reader, seen, extents, consumers);
  });
}

/** The permutations whose input is written in permuted order, and the layouts of those inputs. */
function writtenPermutes(
  order: readonly Node[],
  memory: ReadonlySet<Node>,
  extents: Extents,
): { readonly written: ReadonlySet<Node>; readonly permuted: ReadonlyMap<Node, Layout> } {
  const written = new Set<Node>();
  const permuted = new Map<Node, Layout>();
  const candidates = order.filter((n): n is Node<"permute"> => isOp(n, "permute") && makesViews(n.inputs[0]));
  if (candidates.length === 0) return { written, permuted };
  const readers = readersOf(order);
  const consumers = { direct: (n: Node) => readers.get(n) ?? [], isCopied: () => false, allowsAnyLayout: () => true };
  for (const node of candidates) {
    const from = node.inputs[0];
    const others = isOp(from, "pick")
      ? consumers.direct(from.inputs[0]).filter((n) => isOp(n, "pick") && n.attrs.result === from.attrs.result)
      : [from];
    if (others.length > 1 || consumers.direct(from).filter((n) => isOp(n, "permute")).length > 1 || memory.has(from))
      continue;
    const strides: Size[] = [];
    const inputStrides = ownLayout(node, extents).strides;
    node.attrs.order.forEach((d, n) => (strides[d] = inputStrides[n]!));
    const layout = { value: { node: from, result: 0 }, strides, offset: 0, parts: 1 };
    if (!viewsAllow(from, layout, extents, consumers)) continue;
    written.add(node);
    permuted.set(from, layout);
  }
  return { written, permuted };
}

/** Whether the node's kernel can write its result at strides. */
const makesViews = (node: Node): boolean =>
  isOp(node, "pick")
    ? (kernelOf(node.inputs[0].op).writesViews?.includes(node.attrs.result) ?? false)
    : (kernelOf(node.op).writesViews?.includes(0) ?? false);

/**
 * The nodes that some reader needs row-major, and those that one needs as a strided view, seen through structure that
 * is not copied.
 */
function neededBy(
  order: readonly Node[],
  required: ReadonlySet<Node>,
): { readonly memory: ReadonlySet<Node>; readonly view: ReadonlySet<Node> } {
  const [memory, view] = [new Set<Node>(required), new Set<Node>()];
  for (const node of order.toReversed()) {
    const copied = !isSameView(node) && (memory.has(node) || (isGather(node) && view.has(node)));
    node.inputs.forEach((input, i) => {
      const seen = isView(node) && i === 0;
      if (seen ? isSameView(node) && memory.has(node) : isView(node) || modeOf(node, i) === "memory") memory.add(input);
      if (seen ? !copied && view.has(node) : !isView(node) && modeOf(node, i) === "view") view.add(input);
    });
  }
  return { memory, view };
}
