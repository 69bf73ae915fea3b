// Parts of a graph as graphs of their own: what leads to a node, or the node with what it reads as inputs.
import { createEmit } from "../ir/build.js";
import {
  isSource,
  isAlias,
  isOp,
  nodesReaching,
  type Graph,
  type GraphInput,
  type GraphOutput,
  type Node,
  producerOf,
} from "../ir/graph.js";
import { packedAxis, plainAxis } from "../ir/typing.js";
import type { TensorType } from "../ir/types.js";
import { reachedStarts } from "../ir/reach.js";
import { substituteNodes } from "../ir/replace.js";
import { ops } from "../ops/index.js";
import { axisSize, type Size } from "../size/size.js";

/** The name of result i of the node a part ends in. */
export const resultName = (i: number): string => `y${i}`;

/** How a caller sees values of a type; null where it does not unfold: rows counted otherwise than one by one. */
function unfolded({ axes }: Graph, { shape }: TensorType): Pick<GraphOutput, "shape" | "packing"> | null {
  const batch = axes.find((a) => a.role === "batch");
  const packed = shape.flatMap((size, d) => (packedAxis(size) === null ? [] : [d]));
  const [dim, more] = packed;
  if (shape.some((size, d) => !packed.includes(d) && mentionsRows(size))) return null;
  if (dim === undefined) return { shape, packing: null };
  if (!batch || more !== undefined) return null;
  const axis = packedAxis(shape[dim]!)!; // as it was found
  const own = shape.map((size, d): Size => (d === dim ? axisSize(axis) : size));
  return { shape: [axisSize(batch.name), ...own], packing: { axis, batchDim: 0, tokenDim: dim + 1 } };
}

/** Neither a number, nor an axis, nor rows of one, as in a product of two. */
const mentionsRows = (size: Size): boolean =>
  typeof size !== "number" &&
  plainAxis(size) === null &&
  size.terms.some((t) => t.atoms.some((a) => a.atom.kind === "rows"));

/** Whether the results of a node can be looked at. */
export const isShown = (graph: Graph, node: Node): boolean =>
  node.types.every((type) => unfolded(graph, type) !== null);

/**
 * The graph whose results are those of the nodes, one after the other, and whatever of its observed routes lies on the
 * way to them.
 */
export function endingIn(
  graph: Graph,
  nodes: readonly Node[],
  name: (node: number, result: number) => string = (_, r) => resultName(r),
): Graph {
  const emit = createEmit(ops, graph.axes);
  const outputs = nodes.flatMap((node, n) =>
    node.types.map((type, r): GraphOutput => ({
      name: name(n, r),
      role: "result",
      node: node.types.length === 1 ? node : emit.pick(node, r),
      ...unfolded(graph, type)!,
    })),
  );
  const reached = new Set(nodesReaching(nodes));
  const routes = graph.outputs.filter((o) => o.role === "observe" && reached.has(producerOf(o.node)));
  const all = [...outputs, ...routes.filter(({ node }) => reached.has(node))];
  return {
    ...graph,
    outputs: all,
    states: [],
    starts: reachedStarts({ outputs: all, states: [] }, (axis) => graph.starts.get(axis) ?? null),
  };
}

/** What a cut-off value is called, as an input. */
export interface Cut {
  readonly name: string;
  readonly node: Node;
}

/**
 * The graph that computes a node from what stands `depth` steps before it, and those values, which are inputs of it.
 * What cannot be given is computed: whole numbers, such as routes, and rows of routes, whose number no input tells.
 */
export function partOf(
  graph: Graph,
  node: Node,
  depth: number,
): { readonly graph: Graph; readonly cuts: readonly Cut[] } {
  const cuts: Cut[] = [];
  const seen = new Set<Node>([node]);
  for (let ring: readonly Node[] = [node], distance = 1; ring.length > 0; distance++) {
    const next: Node[] = [];
    for (const reader of ring)
      for (const input of reader.inputs) {
        if (seen.has(input)) continue;
        seen.add(input);
        if (distance >= depth && isCut(graph, input)) cuts.push({ name: `cut${cuts.length}`, node: input });
        else next.push(input);
      }
    ring = next;
  }
  const ended = endingIn(graph, [node]);
  const emit = createEmit(ops, graph.axes);
  const inputs: GraphInput[] = [];
  const others = new Map<Node, Node>();
  for (const { name, node: cut } of cuts) {
    const [type] = cut.types;
    const given = emit.node("input", [], { name, dtype: type!.dtype, shape: type!.shape });
    inputs.push({ name, node: given, ...unfolded(graph, type!)!, least: 0, below: null });
    others.set(cut, given);
  }
  return { graph: substituteNodes({ ...ended, inputs: [...graph.inputs, ...inputs] }, others), cuts };
}

/** Floats computed by some operator, a row for each of the caller's. */
function isCut(graph: Graph, node: Node): boolean {
  const [type, more] = node.types;
  if (!type || more || (type.dtype !== "f32" && type.dtype !== "f16") || isGiven(node) || !isShown(graph, node))
    return false;
  const axis = type.shape.map(packedAxis).find((a) => a !== null);
  return (
    axis === undefined || graph.axes.some((a) => a.name === axis && a.role === "sequence" && a.count.kind === "input")
  );
}

/** Read from somewhere, or the same at every run. */
/** Given, or a literal: nothing computes it. */
const isGiven = (node: Node): boolean => isSource(node) || isOp(node, "constant");

/** Every node whose results some operator computes, in order. */
export const computedNodes = (graph: Graph, roots: readonly Node[]): readonly Node[] =>
  nodesReaching(roots).filter((n) => !isGiven(n) && !isAlias(n) && isShown(graph, n));
