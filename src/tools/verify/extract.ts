// Extracts parts of a graph as graphs: everything that a node is computed from, or a node with nearby earlier values as
// inputs.
import { createEmit } from "../../compiler/ir/build.js";
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
} from "../../compiler/ir/graph.js";
import { packedAxis, plainAxis } from "../../compiler/ir/typing.js";
import type { TensorType } from "../../compiler/ir/types.js";
import { reachedStarts } from "../../compiler/ir/reach.js";
import { substituteNodes } from "../../compiler/ir/replace.js";
import { ops } from "../../compiler/ops/index.js";
import { axisSize, type Size } from "../../ground/size/size.js";
import type { Tensor } from "../../compiler/ops/define.js";
import type { RunInputs } from "./compare.js";
import { evaluateGraph, type Weights } from "./machine.js";

/** The output name of result i of the last node of a part. */
export const resultName = (i: number): string => `y${i}`;

/** The caller's shape and packing of a value; null if the value's rows are not the rows of one axis. */
function unfolded({ axes }: Graph, { shape }: TensorType): Pick<GraphOutput, "shape" | "packing"> | null {
  const batch = axes.find((a) => a.role === "batch");
  const packed = shape.flatMap((size, d) => (packedAxis(size) === null ? [] : [d]));
  const [dim, more] = packed;
  if (shape.some((size, d) => !packed.includes(d) && mentionsRows(size))) return null;
  if (dim === undefined) return { shape, packing: null };
  if (!batch || more !== undefined) return null;
  const axis = packedAxis(shape[dim]!)!; // a packed axis, as checked above
  const inner = shape.map((size, d): Size => (d === dim ? axisSize(axis) : size));
  return { shape: [axisSize(batch.name), ...inner], packing: { axis, batchDim: 0, tokenDim: dim + 1 } };
}

/** Whether the size mentions rows other than as the plain rows of one axis; a product of two rows does. */
const mentionsRows = (size: Size): boolean =>
  typeof size !== "number" &&
  plainAxis(size) === null &&
  size.terms.some((t) => t.atoms.some((a) => a.atom.kind === "rows"));

/** Whether the results of a node can be outputs of a graph. */
export const isShown = (graph: Graph, node: Node): boolean =>
  node.types.every((type) => unfolded(graph, type) !== null);

/** The graph that ends in these nodes. Its outputs are their results and the observed routes that they depend on. */
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

/** A cut value, which becomes an input, and its name. */
interface Cut {
  readonly name: string;
  readonly node: Node;
}

/**
 * The graph that computes a node from the values `depth` steps before it, which become its inputs (`cuts`). Values that
 * cannot be inputs are computed in the graph: integers, such as routes, and rows of routes, whose number no input
 * determines.
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

/** Whether a value can become an input: computed floats with one row for each row of the caller's. */
function isCut(graph: Graph, node: Node): boolean {
  const [type, more] = node.types;
  if (!type || more || (type.dtype !== "f32" && type.dtype !== "f16") || isGiven(node) || !isShown(graph, node))
    return false;
  // The extent of an input is a number or an axis of inputs: what has 64 patches for each picture is computed again.
  const isExtent = (size: Size): boolean => {
    if (typeof size === "number" || packedAxis(size) !== null) return true;
    const axis = graph.axes.find(({ name }) => name === plainAxis(size));
    return axis !== undefined && (axis.role !== "sequence" || axis.count.kind === "input");
  };
  if (!type.shape.every(isExtent)) return false;
  const axis = type.shape.map(packedAxis).find((a) => a !== null);
  return (
    axis === undefined || graph.axes.some((a) => a.name === axis && a.role === "sequence" && a.count.kind === "input")
  );
}

/** Whether a node is an input, weight, state or constant, which no kernel computes. */
const isGiven = (node: Node): boolean => isSource(node) || isOp(node, "constant");

/** All nodes with computed results, in order. */
export const computedNodes = (graph: Graph, roots: readonly Node[]): readonly Node[] =>
  nodesReaching(roots).filter((n) => !isGiven(n) && !isAlias(n) && isShown(graph, n));

// A part of a graph with its inputs. Values computed before the part become inputs: the reference's values, rounded to
// f32.

export interface Part {
  readonly graph: Graph;
  readonly given: RunInputs;
}

/** The reference's values of nodes with one result, in the caller's shape. */
export function valuesOf(
  graph: Graph,
  cuts: readonly Pick<Cut, "node">[],
  given: RunInputs,
  weights: Weights,
): ReadonlyMap<Node, Tensor> {
  if (cuts.length === 0) return new Map();
  const nodes = cuts.map((c) => c.node);
  const { outputs } = evaluateGraph(
    endingIn(graph, nodes, (n) => `v${n}`),
    given,
    weights,
  );
  return new Map(nodes.map((node, n) => [node, outputs.get(`v${n}`)!]));
}

/** The part with the cut values as inputs, rounded to f32, so that device and reference start from equal values. */
export const withCuts = (
  { graph, cuts }: { readonly graph: Graph; readonly cuts: readonly Cut[] },
  given: RunInputs,
  values: ReadonlyMap<Node, Tensor>,
): Part => ({
  graph,
  given: {
    ...given,
    inputs: new Map([
      ...given.inputs,
      ...cuts.map(({ name, node }) => {
        const { shape, data } = values.get(node)!;
        return [name, { shape, data: Float32Array.from(data) }] as const;
      }),
    ]),
  },
});
