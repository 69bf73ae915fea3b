// Decides for the remaining pointwise operators: each is inlined into its only reader, or stored.
import { isGather, type Node, isView, isPointwise } from "../../ir/graph.js";
import { kernelOf } from "../../ops/traits.js";
import { coordinatesOf, type Coordinate } from "../addressing/access.js";
import { coordinatesIn, descend, type Views } from "../addressing/views.js";
import { elementInput, type Consumers } from "../analysis/consumers.js";
import type { Extents } from "../analysis/extents.js";
import { MOST_OPERATIONS } from "./inline.js";

interface InliningOptions {
  readonly uses: Consumers;
  readonly extents: Extents;
  readonly views: Views;
  readonly required: ReadonlySet<Node>;
  readonly mostBuffers: number;
  /** Whether a fused kernel computes the node; whether one reads it from memory. */
  readonly isAssigned: (node: Node) => boolean;
  readonly isRead: (node: Node) => boolean;
}

/** The number of operations of an operator's kernel, itself included, and the nodes that the kernel reads. */
interface InlinedKernel {
  readonly operations: number;
  readonly reads: ReadonlySet<Node>;
  /** Axes whose starts the kernel reads. */
  readonly counted: ReadonlySet<string>;
}

/** The base of a chain of structure, and the row indices in the chain. */
interface StructureBase {
  readonly base: Node;
  readonly indices: readonly Node[];
}

/**
 * Returns the pointwise operators and structure that are stored, each with its own kernel. The others are inlined into
 * their only reader, if that computes no element twice and its kernel stays small.
 */
export function inlinePointwise(order: readonly Node[], options: InliningOptions): ReadonlySet<Node> {
  const { uses, extents, required, mostBuffers, isAssigned, isRead } = options;
  const stored = new Set<Node>();
  /** Kernels that a reader may still inline. */
  const open = new Map<Node, InlinedKernel>();
  const inlined = new Set<Node>();
  const known = new Map<Node, StructureBase>();
  const fits = (node: Node, { reads, counted }: InlinedKernel): boolean =>
    reads.size + counted.size + node.types.length + (kernelOf(node.op).scratch ?? 0) <= mostBuffers;
  for (const node of order) {
    if (isAssigned(node)) continue;
    const computes = isPointwise(node);
    if (isView(node) && uses.isCopied(node)) stored.add(node);
    if (!computes && elementInput(node) === null) continue;
    const reads = new Set<Node>();
    // A base that is read by several paths is computed once for each.
    const ways = new Map<Node, number>();
    for (const input of new Set(node.inputs)) {
      const { base, indices } = baseBehind(input, uses, known);
      for (const n of indices) reads.add(n);
      if (base.op === "constant") continue;
      reads.add(base);
      ways.set(base, (ways.get(base) ?? 0) + 1);
    }
    const types = [node, ...node.inputs, ...reads].flatMap((n) => n.types);
    let total: InlinedKernel = { operations: computes ? 1 : 0, reads, counted: extents.countedIn(types) };
    for (const [base, times] of ways) {
      const inner = open.get(base);
      if (!inner) continue;
      const joint: InlinedKernel = {
        operations: total.operations + times * inner.operations,
        reads: new Set([...[...total.reads].filter((n) => n !== base), ...inner.reads]),
        counted: new Set([...total.counted, ...inner.counted]),
      };
      if (joint.operations >= MOST_OPERATIONS || !fits(node, joint)) continue;
      if (!isAddressable(node, options, (n) => n === base || inlined.has(n))) continue;
      inlined.add(base);
      total = joint;
      open.delete(base);
    }
    if (!computes) continue;
    const reader = uses.soleReader(node);
    const mayInline = reader && !reader.repeats && !required.has(node) && !isRead(node) && !isAssigned(reader.node);
    if (mayInline) open.set(node, total);
    else stored.add(node);
  }
  for (const node of open.keys()) stored.add(node);
  return stored;
}

/** Whether the kernel of a node can address all that it reads, with its inlined operators. */
function isAddressable(node: Node, { uses, views }: InliningOptions, isInlined: (node: Node) => boolean): boolean {
  const rank = (isPointwise(node) ? node : node.inputs[elementInput(node)!]!).types[0]!.shape.length;
  const finds = (input: Node, at: readonly Coordinate[]): boolean => {
    const { base, computed, read } = descend(input, at, views, (n) => uses.isCopied(n));
    if (!isInlined(base)) return read !== null || base.op === "constant";
    return computed !== null && base.inputs.every((n) => finds(n, coordinatesIn(n, base, computed, rank)));
  };
  const at = coordinatesOf(rank);
  return isPointwise(node)
    ? node.inputs.every((n) => finds(n, coordinatesIn(n, node, at, rank)))
    : finds(node.inputs[elementInput(node)!]!, at);
}

function baseBehind(node: Node, uses: Consumers, known: Map<Node, StructureBase>): StructureBase {
  const chain: Node[] = [];
  let at = node;
  while (isView(at) && !uses.isCopied(at) && !known.has(at)) {
    chain.push(at);
    at = at.inputs[0]!;
  }
  let base: StructureBase = known.get(at) ?? { base: at, indices: [] };
  for (const n of chain.toReversed()) {
    if (isGather(n)) base = { base: base.base, indices: [...base.indices, n.inputs[1]] };
    known.set(n, base);
  }
  return base;
}
