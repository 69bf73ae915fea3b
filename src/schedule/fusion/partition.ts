// Which kernel computes what: regions of products, sums over rows, and pointwise operators that are stored or computed
// where they are read.
import { isOp, type Node } from "../../ir/graph.js";
import { printShape } from "../../ir/typing.js";
import type { Limits } from "../../program/target.js";
import type { Size } from "../../size/size.js";
import type { Views } from "../addressing/views.js";
import type { ProductAbilities } from "./abilities.js";
import { selectionOf, type Selection } from "./selection.js";
import { isSingleProduct, type Demand } from "../analysis/demand.js";
import type { Extents } from "../analysis/extents.js";
import type { Fusion } from "./fusion.js";
import { inlinePointwise } from "./inlining.js";
import { fuseMatmul } from "./matmul-fusion.js";
import { NO_SUMS, summedShape, sumsBehind, sumsRows, withSum, type RowGroup } from "./row-groups.js";
import type { ScoreTunings } from "../tunings/scores.js";

export interface Partition {
  readonly demand: Demand;
  /** By the product they grow from. */
  readonly fusions: ReadonlyMap<Node, Fusion>;
  /** By the first sum. */
  readonly rowGroups: ReadonlyMap<Node, RowGroup>;
  /** By what chooses. */
  readonly selections: ReadonlyMap<Node, Selection>;
  /** Pointwise operators and structure that have memory and a kernel of their own. */
  readonly stored: ReadonlySet<Node>;
  /** Nodes that a region, a group or a selection computes. */
  readonly taken: ReadonlySet<Node>;
  /** Of products whose kernels sum over rows: so many columns at a time. */
  readonly sumsOver: ReadonlyMap<Node, number>;
  /** Sums that kernels of products make, with how many parts they leave each in. */
  readonly fusedSums: ReadonlyMap<Node, number>;
  /**
   * Of sums that other kernels make, but lie in parts as products leave them: in how many. So what reads either is one
   * kernel.
   */
  readonly sumParts: ReadonlyMap<Node, number>;
}

export interface PartitionOptions {
  readonly uses: Demand;
  readonly extents: Extents;
  readonly limits: Limits;
  /** What must lie row-major for the caller. */
  readonly required: ReadonlySet<Node>;
  readonly scores: ScoreTunings;
  readonly views: Views;
  /** Sums over rows that are needed whole: no product leaves them in parts. */
  readonly whole: ReadonlySet<Node>;
  /** Whether it is there before the first step. */
  readonly isGiven: (node: Node) => boolean;
  readonly abilities: (product: Node<"matmul">) => ProductAbilities;
}

/** Sums that products leave in parts, and that a kernel of its own sets in others, which it reads whole. */
export const sumsReadWhole = (order: readonly Node[], { taken, fusedSums }: Partition): readonly Node[] =>
  order.flatMap((n) => (isOp(n, "set") && !taken.has(n) && fusedSums.has(n.inputs[0]) ? [n.inputs[0]] : []));

/**
 * Which kernel computes what. Products, sums over rows and selections are fused in order; then what is left of
 * pointwise operators is inlined or stored.
 */
export function partition(order: readonly Node[], options: PartitionOptions): Partition {
  const { uses, extents, limits, required, scores, views, whole, isGiven } = options;
  const mostBuffers = limits.storageBuffersPerStage;
  const positions = new Map(order.map((node, i) => [node, i]));
  /** Of what another kernel than its own computes: the position of that. */
  const assigned = new Map<Node, number>();
  /** Read from memory by a fused kernel. */
  const read = new Set<Node>();
  const fusions = new Map<Node, Fusion>();
  const selections = new Map<Node, Selection>();
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
  const schedule = { demand: uses, views, scheduledAt, isAssigned };
  /** By the first sum; of those over a shape, the latest may take in more. */
  const rowGroups = new Map<Node, RowGroup>();
  const latest = new Map<string, RowGroup>();

  const fuse = (product: Node<"matmul">): void => {
    const { packs, sumsOver: panel } = options.abilities(product);
    const columns = product.types[0]!.shape.at(-1) as number; // of a single product
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
    for (const { sum: own, set } of epilogues.flatMap((e) => e.sums))
      if (!set) fusedSums.set(own, Math.ceil(columns / panel!));
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
    // What else can be summed then is, though it comes later: a product may need it in between.
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
  for (const node of order) {
    if (isAssigned(node)) continue;
    if (isSingleProduct(node)) fuse(node);
    else if (isOp(node, "sum") && sumsRows(node)) sum(node);
    else if (isOp(node, "above")) select(node);
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
    demand: uses,
    fusions,
    rowGroups,
    selections,
    stored,
    taken: new Set(assigned.keys()),
    sumsOver,
    fusedSums,
    sumParts,
  };
}

/**
 * In how many parts sums of other kernels lie that are as long as those of products, if all that reads them can add up
 * parts.
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
        more.length === 0 && !required.has(sum!) && uses.isReadWithin(sum!, (r) => r.op !== "top" && r.op !== "set");
      return parts > 1 && addsParts ? [[sum!, parts] as const] : [];
    }),
  );
}
