// The kernel graph, the result of fusion before memory is assigned: the kernels with their nodes, reads and writes, and
// the layouts of values.
import { isOp, type Graph, type GraphOutput, type Node } from "../../ir/graph.js";
import { PORTABLE, type Target } from "../../../runtime/program/target.js";
import { printSize } from "../../../ground/size/size.js";
import { capabilitiesOf } from "../analysis/capabilities.js";
import { viewsOf } from "../addressing/views.js";
import { Consumers, type RowProduct } from "../analysis/consumers.js";
import { Extents, widthOf } from "../analysis/extents.js";
import { keptRows, sharedRows } from "../analysis/shared-rows.js";
import { isCheap } from "./inline.js";
import type { Layouts } from "../addressing/layouts.js";
import { orderOf } from "../analysis/order.js";
import { ownPrologues } from "../analysis/own-prologues.js";
import { partition, sumsReadWhole, type Partition, type PartitionOptions } from "./partition.js";
import { routedStatistics } from "../analysis/routed-statistics.js";
import { packedAtLoad } from "../analysis/side-by-side.js";
import { unreadRows } from "../analysis/unread-rows.js";
import { Sources } from "../analysis/sources.js";
import { split, splitStacks } from "../split/split.js";
import { tuningsFor, type Tunings } from "../tunings/index.js";
import type { FusedKernel } from "../kernels/fused-kernel.js";
import { kernelsOf } from "./fused-kernels.js";
import { shiftsAsRows } from "../analysis/shifted.js";
import { mapGraph } from "../../passes/rewrite.js";

export interface KernelGraph {
  /** The scheduled graph: values too large for a binding are split. */
  readonly graph: Graph;
  readonly extents: Extents;
  /** Nodes in the order of computation. */
  readonly order: readonly Node[];
  readonly results: ResultNodes;
  /** Storages that the caller or the runtime fills. */
  readonly sources: Sources;
  readonly partition: Partition;
  /** The kernels in order, without memory. */
  readonly kernels: readonly FusedKernel[];
  readonly layouts: Layouts;
  /** Concatenations of weights that are packed at load instead of computed. */
  readonly packed: ReadonlySet<Node>;
}

/** Nodes whose values outlive the kernels. */
export interface ResultNodes {
  /** Concatenations that the caller's side performs: their inputs are the stored results. */
  readonly joined: ReadonlySet<Node>;
  /** Row offsets (starts) of axes whose counts only the device knows. */
  readonly starts: readonly Node[];
  /** Nodes that must be stored row-major: results, new values of states, starts of axes. */
  readonly required: ReadonlySet<Node>;
}

/** Fuses a graph into kernels for a device, by default with the tunings of its class. Linear in its nodes. */
export function fuse(graph: Graph, target: Target = PORTABLE, tunings: Tunings = tuningsFor(target)): KernelGraph {
  const prepared = prepare(graph, target, tunings);
  const extents = new Extents(prepared.axes);
  const nodes = orderOf(prepared, extents);
  const results = resultsOf(prepared, nodes, extents);
  const order = nodes.filter((n) => !results.joined.has(n));
  const { required } = results;
  const kept = new Set([...keptRows(order), ...sharedRows(order)]);
  const sources = new Sources(extents);
  const isGiven = (node: Node): boolean => sources.of(node) !== null;
  const views = viewsOf(order, required, kept, extents);
  const uses = new Consumers(order, required, new Set([...kept, ...views.opaque]), views.written);
  const capabilities = (product: RowProduct) => capabilitiesOf(product, tunings.products, extents);
  const options = {
    uses,
    extents,
    limits: target.limits,
    required,
    views,
    scores: tunings.scores,
    isGiven,
    capabilities,
  };
  const fused = partitionOf(order, options);
  const packed = packedAtLoad(order, required);
  const updates = new Map(prepared.states.map((s) => [s.next, s.name]));
  const { kernels, layouts } = kernelsOf(order, required, {
    extents,
    tunings,
    partition: fused,
    isGiven,
    packedAtLoad: packed,
    updates,
  });
  return { graph: prepared, extents, order, results, sources, partition: fused, kernels, layouts, packed };
}

/**
 * A partition in which no kernel reads partial sums as if they were whole. A second round is needed if the kernel that
 * sets a route's sums is not the product that computes them: then the old sums are stored whole.
 */
function partitionOf(order: readonly Node[], options: Omit<PartitionOptions, "whole">): Partition {
  const unpacked = new Set<Node>();
  for (;;) {
    const draft = partition(order, { ...options, whole: unpacked });
    const more = sumsReadWhole(order, draft);
    if (more.length === 0) return draft;
    for (const sum of more) unpacked.add(sum);
  }
}

/**
 * The graph rewritten for kernels: shifts as rows of an index, split to fit the limits, contractions as products,
 * norms computed by each product of a mixture that reads them, row sums where products can compute them, and products
 * of groups that leave out rows.
 */
function prepare(graph: Graph, target: Target, tunings: Tunings): Graph {
  const parted = splitStacks(contractionsAsProducts(shiftsAsRows(graph)), target.limits);
  const splitGraph = split(parted, target.limits);
  const extents = new Extents(splitGraph.axes);
  const summed = routedStatistics(splitGraph, (product) => capabilitiesOf(product, tunings.products, extents));
  // `ownPrologues` makes equal nodes, which must stay apart; `unreadRows` only marks products.
  return unreadRows(ownPrologues(summed, isCheap));
}

function resultsOf(graph: Graph, order: readonly Node[], extents: Extents): ResultNodes {
  const joined = joinedByReader(graph, order);
  const starts = [...graph.starts].flatMap(([axis, node]) => (extents.onDevice(axis) ? [node] : []));
  const required = new Set([
    ...graph.outputs.flatMap((o) => piecesOf(o, joined)),
    ...graph.states.map((s) => s.next),
    ...starts,
  ]);
  return { joined, starts, required };
}

/** The nodes that an output consists of. */
export const piecesOf = ({ node }: GraphOutput, joined: ReadonlySet<Node>): readonly Node[] =>
  joined.has(node) ? node.inputs : [node];

/**
 * The states that are read when a node is read: the node itself, or the states it concatenates, which may be read in
 * its place.
 */
export const statesBehind = (node: Node): readonly Node<"state">[] =>
  isOp(node, "state") ? [node] : isOp(node, "concat") ? node.inputs.filter((n) => isOp(n, "state")) : [];

/** Dimensions of an output, in the caller's shape, whose extents only the device knows. */
export const deviceDims = (
  { shape }: GraphOutput,
  extents: Extents,
): readonly { readonly dim: number; readonly axis: string }[] =>
  shape.flatMap((size, dim) => {
    const axis = printSize(size);
    return extents.onDevice(axis) ? [{ dim, axis }] : [];
  });

/** Concatenations along the last dimension that only the caller reads. */
function joinedByReader(graph: Graph, order: readonly Node[]): ReadonlySet<Node> {
  const read = new Set([
    ...order.flatMap((n) => n.inputs),
    ...graph.states.map((s) => s.next),
    ...graph.starts.values(),
  ]);
  const results = graph.outputs.map((o) => o.node);
  return new Set(
    results.filter(
      (n) =>
        isOp(n, "concat") &&
        n.attrs.axis === n.types[0]!.shape.length - 1 &&
        n.inputs.every((i) => widthOf(i) > 0) &&
        !read.has(n),
    ),
  );
}

/**
 * The graph with each `contract` replaced by a product of the permuted a. Product kernels read the permutation in
 * place.
 */
export const contractionsAsProducts = (graph: Graph): Graph =>
  mapGraph(graph, (node, emitFrom) => {
    if (!isOp(node, "contract")) return node;
    const [a, b] = node.inputs;
    const emit = emitFrom(node);
    return emit("matmul", [emit("permute", [a], { order: [1, 0] }), b], { transposed: false, ...node.attrs });
  });
