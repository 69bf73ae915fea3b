// Finds values too large for one binding, and where to split them: weights along the columns of their products or the
// rows of a lookup, logits along their classes.
import { countOf, readersOf } from "../../../ground/base/collections.js";
import { isPointwise, isOp, nodesOf, type Graph, type Node } from "../../ir/graph.js";
import type { Limits } from "../../../runtime/program/target.js";
import { resolveSizes, type Sizes } from "../../../ground/size/axes.js";
import type { TensorType } from "../../ir/types.js";
import { productWeights, shapeOf } from "../analysis/side-by-side.js";
import { widthOf } from "../analysis/extents.js";
import { keepsColumns, reducesColumns } from "./columns.js";
import { gradientGroups, type GradientGroup } from "./logit-gradients.js";

/** Elements `start` … `stop` − 1 along a dimension. */
export interface Range {
  readonly start: number;
  readonly stop: number;
}

export interface Cuts {
  /** Values that are computed in parts of their last dimension. */
  readonly wide: ReadonlySet<Node>;
  /** The ranges of the parts, by the size of that dimension. */
  readonly columns: ReadonlyMap<number, readonly Range[]>;
  /** Lookup tables, and the row range of each part. */
  readonly tables: ReadonlyMap<Node, readonly Range[]>;
  /** Gradients of logits that are computed in parts. */
  readonly gradients: readonly GradientGroup[];
}

/**
 * Cross-entropy over more classes is computed this many at a time, regardless of limits: logits of 4096 rows then take
 * 128 MiB instead of gigabytes, while the product of a part is still as fast as the whole.
 */
export const MOST_CLASSES = 8192;
/** Values with many rows are not split into narrower parts: products of fewer columns are too slow. */
const LEAST_COLUMNS = 1024;
/** The assumed number of rows along an axis without a bound. */
const USUAL_ROWS = 4096;
/** The most bytes of a value in memory. */
const WORD = 4;

export function findCuts(graph: Graph, limits: Limits): Cuts {
  const nodes = nodesOf(graph);
  const limit = limits.storageBindingBytes;
  const readers = readersOf(nodes);
  const required = new Set([...graph.states.map((s) => s.next), ...graph.starts.values()]);
  const results = new Set(graph.outputs.map((o) => o.node));
  const groups = gradientGroups(nodes, readers, new Set([...required, ...results]));
  const ends = endsOf(nodes, { readers, results, kept: required, groups });
  const ended = new Set(groups.flatMap((g) => g.results.map((r) => r.node)));
  const bytesOf = bytesAtBounds(graph);
  const wide = new Set<Node>();
  const most = new Map<number, number>();
  for (const node of nodes) {
    const width = ended.has(node) ? 0 : widthOf(node);
    const end = ends.get(node);
    const columns = Math.min(columnsOfWeights(node, limit), end ? columnsOfValue(node, end, limit, bytesOf) : Infinity);
    const starts = isOp(node, "matmul") && columns < width && columns > 0;
    const follows =
      node.inputs.some((n) => wide.has(n) && keepsColumns(node, n)) && (end !== undefined || joinsParts(node, wide));
    if (!starts && !follows) continue;
    wide.add(node);
    if (columns > 0) most.set(width, Math.min(most.get(width) ?? width, columns));
  }
  const gradients = groups.filter((g) => g.columns.every((n) => wide.has(n)));
  for (const { columns } of groups.filter((g) => !gradients.includes(g))) for (const node of columns) wide.delete(node);
  return {
    wide,
    columns: new Map([...most].map(([width, columns]) => [width, rangesOf(width, columns)])),
    tables: tablesOf(nodes, limit),
    gradients,
  };
}

/**
 * Whether a pointwise operator reads only split values, as the gate of a wide hidden layer does: then its result is
 * concatenated once, instead of each operand.
 */
function joinsParts(node: Node, wide: ReadonlySet<Node>): boolean {
  const repeats = (n: Node): boolean => isOp(n, "broadcast") || n.types[0]!.shape.every((s) => typeof s === "number");
  return isPointwise(node) && node.inputs.every((n) => wide.has(n) || widthOf(n) !== widthOf(node) || repeats(n));
}

/**
 * How the columns of a value are consumed: the caller reads them all, or they are reduced; `loss`: by a cross-entropy
 * among others.
 */
interface End {
  readonly loss: boolean;
}

interface Endings {
  readonly readers: ReadonlyMap<Node, readonly Node[]>;
  /** The nodes that the caller reads. */
  readonly results: ReadonlySet<Node>;
  /** Nodes that are needed whole: new values of states, starts. */
  readonly kept: ReadonlySet<Node>;
  readonly groups: readonly GradientGroup[];
}

function endsOf(nodes: readonly Node[], { readers, results, kept, groups }: Endings): ReadonlyMap<Node, End> {
  const ends = new Map<Node, End>(groups.flatMap((g) => g.columns.map((node) => [node, { loss: true }])));
  for (const node of nodes.toReversed()) {
    const nodeReaders = readers.get(node) ?? [];
    if (
      ends.has(node) ||
      isOp(node, "cross_entropy_grad") ||
      widthOf(node) < 2 ||
      kept.has(node) ||
      (nodeReaders.length === 0 && !results.has(node))
    )
      continue;
    const follow = nodeReaders.filter((r) => !reducesColumns(r, node));
    if (!follow.every((r) => ends.has(r) && keepsColumns(r, node))) continue;
    ends.set(node, { loss: nodeReaders.some((r) => isOp(r, "cross_entropy") || ends.get(r)?.loss === true) });
  }
  return ends;
}

/** The most columns of a product for which its weights fit a binding. */
function columnsOfWeights(node: Node, limit: number): number {
  const weights = productWeights(node);
  if (!weights) return Infinity;
  const elements = weights.reduce((sum, w) => sum + countOf(shapeOf(w)), 0);
  return WORD * elements <= limit ? Infinity : Math.floor(limit / ((WORD * elements) / widthOf(node)));
}

function columnsOfValue(node: Node, { loss }: End, limit: number, bytesOf: (type: TensorType) => number): number {
  const width = widthOf(node);
  if (width <= LEAST_COLUMNS) return Infinity;
  const bytes = bytesOf(node.types[0]!);
  const byRows = bytes > limit ? Math.max(LEAST_COLUMNS, Math.floor(limit / (bytes / width))) : Infinity;
  return loss && width > MOST_CLASSES ? Math.min(MOST_CLASSES, byRows) : byRows;
}

function tablesOf(nodes: readonly Node[], limit: number): ReadonlyMap<Node, readonly Range[]> {
  const tables = new Map<Node, readonly Range[]>();
  for (const node of nodes) {
    const [table] = node.inputs;
    if (!isOp(node, "gather") || !table || !isOp(table, "weight")) continue;
    const [rows] = table.attrs.shape;
    const bytes = WORD * countOf(table.attrs.shape);
    const most = Math.floor(limit / (bytes / rows!));
    if (bytes > limit && most > 0) tables.set(table, rangesOf(rows!, most));
  }
  return tables;
}

/** Bytes of a value at the bounds of its axes. */
function bytesAtBounds(graph: Graph): (type: TensorType) => number {
  const extents = new Map<string, number>();
  for (const axis of graph.axes)
    if (axis.role !== "sequence" || axis.count.kind === "input")
      extents.set(axis.name, axis.bound ?? (axis.role === "sequence" ? USUAL_ROWS : 1));
  const live = new Map(graph.live.map((l) => [l.name, l.default]));
  let sizes: Sizes | null = null;
  return ({ shape }) => {
    const known = (sizes ??= resolveSizes(graph.axes, { extents, lengths: new Map(), live }));
    return shape.reduce((n: number, s) => n * known.number(s), WORD);
  };
}

/** The widest panel: parts aligned to it need no padding. */
const PANEL = 256;

/** Equal ranges of at most `most` elements, aligned to panels where they are large. */
export function rangesOf(size: number, most: number): readonly Range[] {
  const unit = most >= 4 * PANEL ? PANEL : 1;
  const units = Math.ceil(size / unit);
  const each = unit * Math.ceil(units / Math.ceil(units / Math.floor(most / unit)));
  return Array.from({ length: Math.ceil(size / each) }, (_, i) => ({
    start: i * each,
    stop: Math.min((i + 1) * each, size),
  }));
}
