// Assigns nodes to kernels: fusions of products, groups of row sums, selections, what is computed around choices of
// entries, and pointwise operators, which are stored or inlined.
import { isOp, type Node } from "../../ir/graph.js";
import { printShape } from "../../ir/typing.js";
import type { Limits } from "../../../runtime/program/target.js";
import type { Size } from "../../../ground/size/size.js";
import type { Views } from "../addressing/views.js";
import type { ProductCapabilities } from "../analysis/capabilities.js";
import { selectionOf, type Selection } from "./selection.js";
import { isSingleProduct, type Consumers, type RowProduct } from "../analysis/consumers.js";
import type { Extents } from "../analysis/extents.js";
import type { Fusion } from "./fusion.js";
import { gatingOf, isChoiceOfEntries, type Gating } from "./gating.js";
import { inlinePointwise } from "./inlining.js";
import { fuseMatmul } from "./matmul-fusion.js";
import type { FusedKernelOptions } from "../kernels/fused-kernel.js";
import { NO_SUMS, summedShape, sumsBehind, sumsRows, withSum, type RowGroup } from "./row-groups.js";
import type { ScoreTunings } from "../tunings/scores.js";

export interface Partition {
  readonly consumers: Consumers;
  /** By product. */
  readonly fusions: ReadonlyMap<Node, Fusion>;
  /** By the group's first sum. */
  readonly rowGroups: ReadonlyMap<Node, RowGroup>;
  /** By the selecting node. */
  readonly selections: ReadonlyMap<Node, Selection>;
  /** By the choice of entries. */
  readonly gatings: ReadonlyMap<Node, Gating>;
  /** Pointwise operators and structure that are stored, each with its own kernel. */
  readonly stored: ReadonlySet<Node>;
  /** Nodes that a fusion, a row group, a selection or a gating computes. */
  readonly taken: ReadonlySet<Node>;
  /** For products whose kernels compute row sums: the columns of a partial sum. */
  readonly sumsOver: ReadonlyMap<Node, number>;
  /** Sums that product kernels compute, with the number of partial sums of each. */
  readonly fusedSums: ReadonlyMap<Node, number>;
  /**
   * Sums of other kernels that are stored as partial sums too, with their number, so that their readers and readers of
   * products' sums are equal kernels.
   */
  readonly sumParts: ReadonlyMap<Node, number>;
  /** Sums that no kernel may store in parts (`PartitionOptions.whole`). */
  readonly whole: ReadonlySet<Node>;
}

/** Options of a fused kernel. */
export interface FusionOptions extends FusedKernelOptions {
  readonly partition: Partition;
}

export interface PartitionOptions {
  readonly uses: Consumers;
  readonly extents: Extents;
  readonly limits: Limits;
  /** Nodes that must be stored row-major for the caller. */
  readonly required: ReadonlySet<Node>;
  readonly scores: ScoreTunings;
  readonly views: Views;
  /** Row sums that must not be stored as partial sums. */
  readonly whole: ReadonlySet<Node>;
  /** Whether a node is available before the first step. */
  readonly isGiven: (node: Node) => boolean;
  readonly capabilities: (product: RowProduct) => ProductCapabilities;
}

/** Partial sums of products that a separate kernel sets in other sums, for which it reads them whole. */
export const sumsReadWhole = (order: readonly Node[], { taken, fusedSums }: Partition): readonly Node[] =>
  order.flatMap((n) => (isOp(n, "set") && !taken.has(n) && fusedSums.has(n.inputs[0]) ? [n.inputs[0]] : []));

/**
 * Partitions a graph into kernels. Products, row sums, selections and gatings are fused in order; then the remaining
 * pointwise operators are inlined or stored.
 */
export function partition(order: readonly Node[], options: PartitionOptions): Partition {
  const { uses, extents, limits, required, scores, views, whole, isGiven } = options;
  const mostBuffers = limits.storageBuffersPerStage;
  const positions = new Map(order.map((node, i) => [node, i]));
  /** For nodes that a fused kernel computes: the kernel's position. */
  const assigned = new Map<Node, number>();
  /** Nodes that a fused kernel reads from memory. */
  const read = new Set<Node>();
  const fusions = new Map<Node, Fusion>();
  const selections = new Map<Node, Selection>();
  const gatings = new Map<Node, Gating>();
  const sumsOver = new Map<Node, number>();
  const fusedSums = new Map<Node, number>();
  const position = (node: Node): number => positions.get(node) ?? -1;
  const isAssigned = (node: Node): boolean => assigned.has(node);
  const scheduledAt = (node: Node): number => {
    if (isGiven(node)) return -1;
    return isOp(node, "pick") ? scheduledAt(node.inputs[0]) : (assigned.get(node) ?? position(node));
  };
  const assign = (nodes: Iterable<Node>, reads: Iterable<Node>, at: Node): void => {
    for (const n of nodes) assigned.set(n, position(at));
    for (const n of reads) read.add(n);
  };
  const schedule = { consumers: uses, views, scheduledAt, isAssigned };
  /** By the first sum; of those over a shape, the latest may take in more. */
  const rowGroups = new Map<Node, RowGroup>();
  const latest = new Map<string, RowGroup>();

  const fuse = (product: RowProduct): void => {
    const { packs, sumsOver: panel } = options.capabilities(product);
    const columns = product.types[0]!.shape.at(-1) as number; // known for single products
    const partialSums = (sum: Node): number | null => fusedSums.get(sum) ?? null;
    const fusion = fuseMatmul(product, columns, {
      ...schedule,
      extents,
      required,
      whole,
      mostBuffers,
      packs,
      sumsOver: panel,
      partialSums,
      scores,
      position,
    });
    fusions.set(product, fusion);
    if (panel !== null) sumsOver.set(product, panel);
    const epilogues = fusion.columns.flatMap((c) => c.epilogues);
    for (const { sum, set } of epilogues.flatMap((e) => e.sums))
      if (!set) fusedSums.set(sum, Math.ceil(columns / panel!));
    const angles = epilogues.flatMap((e) => e.reads);
    assign(fusion.nodes, [...fusion.reads, ...angles, ...(fusion.prologue?.reads ?? [])], product);
  };
  const sum = (node: Node<"sum">): void => {
    const shape = printShape(summedShape(node));
    const grouping = { ...schedule, extents, mostBuffers, position };
    const open = latest.get(shape);
    const joined = open ? withSum(open, node, grouping) : null;
    const started = joined ?? withSum(NO_SUMS, node, grouping);
    if (!started) return;
    let group: RowGroup = started;
    const [first = node] = group.sums;
    assign(group.nodes, group.reads, first);
    // Also join later sums over the same values now: a product may need them in between.
    for (const other of joined ? [] : sumsBehind([...group.reads], uses)) {
      const more = isAssigned(other) ? null : withSum(group, other, grouping);
      if (!more) continue;
      group = more;
      assign(group.nodes, group.reads, first);
    }
    rowGroups.set(first, group);
    latest.set(shape, group);
  };
  const select = (node: Node<"above">): void => {
    const selection = selectionOf(node, { ...schedule, before: position(node), extents, mostBuffers });
    if (!selection) return;
    selections.set(node, selection);
    assign(selection.nodes, selection.reads, node);
  };
  const constants = new Set(
    [...required].filter((n): n is Node<"constant"> => isOp(n, "constant") && uses.direct(n).length === 0),
  );
  const gate = (node: Node): void => {
    const isElsewhere = (n: Node): boolean => isAssigned(n) || isGiven(n) || position(n) < 0;
    const gating = gatingOf(node, { ...schedule, extents, mostBuffers, required, position, constants, isElsewhere });
    if (!gating) return;
    gatings.set(node, gating);
    for (const n of gating.constants) constants.delete(n);
    assign(gating.nodes, gating.reads, node);
  };
  for (const node of order) {
    if (isAssigned(node)) continue;
    if (isSingleProduct(node)) fuse(node);
    else if (isOp(node, "sum") && sumsRows(node)) sum(node);
    else if (isOp(node, "above")) select(node);
    else if (isChoiceOfEntries(node)) gate(node);
  }
  const stored = inlinePointwise(order, {
    uses,
    extents,
    views,
    required,
    mostBuffers,
    isAssigned,
    isRead: (node) => read.has(node),
  });
  const sumParts = sumPartsOf([...rowGroups.values()], fusedSums, options);
  return {
    consumers: uses,
    fusions,
    rowGroups,
    selections,
    gatings,
    stored,
    taken: new Set(assigned.keys()),
    sumsOver,
    fusedSums,
    sumParts,
    whole,
  };
}

/**
 * For other kernels' sums over as many columns as the products have: the number of partial sums, if all their readers
 * can add up partial sums.
 */
function sumPartsOf(
  groups: readonly RowGroup[],
  fusedSums: ReadonlyMap<Node, number>,
  { uses, required }: PartitionOptions,
): ReadonlyMap<Node, number> {
  const depthOf = (sum: Node): Size => sum.inputs[0].types[0]!.shape.at(-1)!;
  const known = new Map([...fusedSums].map(([sum, parts]) => [depthOf(sum), parts]));
  return new Map(
    groups.flatMap(({ sums: [sum, ...more] }) => {
      const parts = known.get(depthOf(sum!)) ?? 1;
      const addsParts =
        more.length === 0 && !required.has(sum!) && uses.isInlinedByAll(sum!, (r) => r.op !== "top" && r.op !== "set");
      return parts > 1 && addsParts ? [[sum!, parts] as const] : [];
    }),
  );
}
