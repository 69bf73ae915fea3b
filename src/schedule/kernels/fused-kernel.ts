// A fused kernel: what one kernel, or a few in turn, computes, with all it reads and writes.
import { isOp, type Node } from "../../ir/graph.js";
import { inputTypes } from "../../ir/typing.js";
import type { KernelOp, OpName } from "../../ir/vocabulary.js";
import { invariant } from "../../base/invariant.js";
import type { Size } from "../../size/size.js";
import type { Expression, MemoryLeaf } from "../addressing/expression.js";
import type { Extents } from "../analysis/extents.js";
import { specs } from "./index.js";
import type { KernelContext, Stored, Work } from "./spec.js";
import { isRowMajor, type Value } from "../addressing/layout.js";
import type { Layouts } from "../addressing/layouts.js";
import type { Partition } from "../fusion/partition.js";
import type { Tunings } from "../tunings/index.js";

export interface FusedKernel {
  /** All that it computes, the one it is named for first. */
  readonly nodes: readonly Node[];
  /** The kernels' inputs. */
  readonly reads: readonly Value[];
  /** Their results, with their bytes at four a value. */
  readonly writes: readonly { readonly value: Value; readonly bytes: Size }[];
  /** What of both they read or write in words alone. */
  readonly inWords: ReadonlySet<Value>;
  /** The weight that they decode by functions of whatever encoding it lies in; null where there is none. */
  readonly decodes: Value | null;
  /**
   * For each result, from the first on, the input whose memory it may take over, if any; if it does not, `make` knows
   * what to do.
   */
  readonly takesOver: readonly (number | null)[];
  /** Equal for kernels whose work is equal. */
  readonly key: string;
  /** `inPlace`: for each of `takesOver` whether it does. */
  make(inPlace: readonly boolean[], stored: Stored): Work;
}

export interface FusedKernelOptions {
  readonly extents: Extents;
  readonly tunings: Tunings;
  readonly partition: Partition;
  /** Whether it is there before the first step: sources, and what the host counts. */
  readonly isGiven: (node: Node) => boolean;
  /** Concatenations of weights that are made where those are packed. */
  readonly madeWhenPacked: ReadonlySet<Node>;
  /** The states whose new values nodes are. */
  readonly updates: ReadonlyMap<Node, string>;
}

/**
 * What a spec is told of every node, and of one that is fused with nothing. Layers that are made alike are said alike.
 */
export function contextOf<K extends OpName>(
  node: Node<K>,
  { extents, tunings }: FusedKernelOptions,
): Omit<KernelContext<K>, "weights" | "views" | "places" | "stored"> {
  const { equal } = extents;
  return {
    attrs: equal.attrs(node.attrs),
    inputs: inputTypes(node.op, node.inputs).map((t) => equal.type(t)),
    results: node.types.map((t) => equal.type(t)),
    extents,
    tunings,
    resultViews: [],
    inPlace: [],
    prologue: null,
  };
}

/** The steps of a node by its operator's spec. */
export const runSpec = <K extends KernelOp>(op: K, context: KernelContext<K>): Work => specs[op](context);

/** All results of a node. */
export const writesOf = (node: Node, layouts: Layouts, { extents }: FusedKernelOptions): FusedKernel["writes"] =>
  node.types.map((type, i) => ({ value: layouts.result(node, i), bytes: extents.bytes(extents.equal.type(type)) }));

/** The place of a value among a kernel's reads. */
export function indexIn(reads: readonly Value[]): (value: Value) => number {
  const places = new Map(reads.map((value, i) => [value, i]));
  return (value) => {
    const place = places.get(value);
    invariant(place !== undefined, `${value.node.op} is not among what its kernel reads`);
    return place;
  };
}

/**
 * The state whose new value a node is, if an expression that computes it reads of the old one no element but its own;
 * null where it reads none, or others.
 */
export function updatedState(
  node: Node,
  { leaves, shape }: Expression,
  { extents, updates }: FusedKernelOptions,
): Value | null {
  const name = updates.get(node);
  const old = leaves.filter(
    (l): l is MemoryLeaf => l.kind === "memory" && isOp(l.value.node, "state") && l.value.node.attrs.name === name,
  );
  const own = ({ value, access, parts, dtype }: MemoryLeaf): boolean =>
    dtype === node.types[0]!.dtype && !access.indexed && isRowMajor(extents, { value, ...access.affine, parts }, shape);
  return old.every(own) ? (old[0]?.value ?? null) : null;
}
