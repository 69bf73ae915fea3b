// A fused kernel: one dispatch, or a few in turn, with the nodes it computes, its reads and its writes.
import { isOp, type Node } from "../../ir/graph.js";
import { inputTypes } from "../../ir/typing.js";
import type { KernelOp, OpName } from "../../ir/vocabulary.js";
import { invariant } from "../../../ground/base/invariant.js";
import type { Size } from "../../../ground/size/size.js";
import type { Expression, MemoryLeaf } from "../addressing/expression.js";
import type { Consumers } from "../analysis/consumers.js";
import type { Extents } from "../analysis/extents.js";
import { specs } from "./index.js";
import type { KernelContext, Stored, Work } from "./spec.js";
import { isRowMajor, type Value } from "../addressing/layout.js";
import type { Layouts } from "../addressing/layouts.js";
import type { Tunings } from "../tunings/index.js";

export interface FusedKernel {
  /** The nodes it computes; it is named after the first. */
  readonly nodes: readonly Node[];
  /** The kernels' inputs. */
  readonly reads: readonly Value[];
  /** Its results, with their bytes at four a value. */
  readonly writes: readonly { readonly value: Value; readonly bytes: Size }[];
  /** Reads and writes that must be stored in words. */
  readonly inWords: ReadonlySet<Value>;
  /** The weight that the kernel can decode from any encoding; null if there is none. */
  readonly decodes: Value | null;
  /** For each result, from the first on, the input whose memory it may take over, if any. `make` handles both cases. */
  readonly takesOver: readonly (number | null)[];
  /** A key that is equal for kernels with equal work. */
  readonly key: string;
  /** For a product that reads a row sum: the sum, if the kernel for few rows can compute it. */
  readonly ownSum?: OwnSum;
  /** For a row sum: the kernel that runs only if `count` is more than `rows`. */
  readonly beyond?: (count: Size, rows: number) => FusedKernel;
  /** Builds the steps. `inPlace`: for each of `takesOver`, whether memory is taken over. */
  make(inPlace: readonly boolean[], stored: Stored): Work;
}

/** A sum over rows that a product reads in its prologue alone. */
export interface OwnSum {
  readonly sum: Value;
  /** The most rows for which the product's kernel can make it. */
  readonly rows: number;
  /** The product's rows. */
  readonly count: Size;
  /** The product's kernel that computes the sum, for at most `rows` rows. */
  readonly upTo: (rows: number) => FusedKernel;
}

export interface FusedKernelOptions {
  readonly extents: Extents;
  readonly tunings: Tunings;
  readonly partition: { readonly consumers: Consumers };
  /** Whether a node is available before the first step: sources, and tables of the host. */
  readonly isGiven: (node: Node) => boolean;
  /** Concatenations of weights that are packed at load instead of computed. */
  readonly packedAtLoad: ReadonlySet<Node>;
  /** For nodes that are the new value of a state: the state. */
  readonly updates: ReadonlyMap<Node, string>;
}

/** The spec context of a node without fusion. Equal axes of different layers are replaced by one. */
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

/** The index of a value among a kernel's reads. */
export function indexIn(reads: readonly Value[]): (value: Value) => number {
  const indices = new Map(reads.map((value, i) => [value, i]));
  return (value) => {
    const index = indices.get(value);
    invariant(index !== undefined, `${value.node.op} is not among what its kernel reads`);
    return index;
  };
}

/** The state whose new value the node is, if its expression reads the old value only at the same element; else null. */
export function updatedState(
  node: Node,
  { leaves, shape }: Expression,
  { extents, updates }: FusedKernelOptions,
): Value | null {
  const name = updates.get(node);
  const old = leaves.filter(
    (l): l is MemoryLeaf => l.kind === "memory" && isOp(l.value.node, "state") && l.value.node.attrs.name === name,
  );
  const isRowMajorLeaf = ({ value, access, parts, dtype }: MemoryLeaf): boolean =>
    dtype === node.types[0]!.dtype && !access.indexed && isRowMajor(extents, { value, ...access.affine, parts }, shape);
  return old.every(isRowMajorLeaf) ? (old[0]?.value ?? null) : null;
}
