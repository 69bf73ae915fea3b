// Properties of a node, from the record of its operator.
import { atomsOf, type Size } from "../../ground/size/size.js";
import type { Axis } from "../../ground/size/axes.js";
import type { Node } from "../ir/graph.js";
import type { OpName } from "../ir/vocabulary.js";
import type { Along, Columns, Cost, KernelLowering, RowInputs, Tokens } from "./define.js";
import { inputTypes } from "../ir/typing.js";
import { ops } from "./index.js";

/**
 * How the inputs of a node correspond to the rows along a packed dimension of its result; null if the node is not
 * row-wise.
 */
export function rowInputs<K extends OpName>(node: Node<K>, dim: number): RowInputs | null {
  if (node.types.length !== 1 || node.inputs.length === 0) return null;
  return ops[node.op].rows?.(node, dim) ?? null;
}

/**
 * The tokens of a sequence on which a token of the result depends: all, if the operator pairs tokens with each other.
 */
export function tokensOf<K extends OpName>(node: Node<K>, along: Along): Tokens {
  const count = (n: Node): number => Math.max(0, ...n.types.map((t) => t.shape.filter(along).length));
  if (count(node) > 1 && node.inputs.length > 0 && node.inputs.every((n) => count(n) < 2)) return "all";
  const { tokens } = ops[node.op];
  return typeof tokens === "function" ? tokens(node, along) : tokens;
}

/** Returns a function that decides whether a size mentions a sequence axis of the graph. */
export function alongSequences(axes: readonly Axis[]): Along {
  const sequences = new Set(axes.flatMap((a) => (a.role === "sequence" ? [a.name] : [])));
  return (size: Size) =>
    typeof size !== "number" && [...atomsOf(size)].some((a) => a.kind !== "live" && sequences.has(a.axis));
}

/** How the node treats the columns of input 0. */
export function columnsOf<K extends OpName>(node: Node<K>): Columns {
  const { columns } = ops[node.op];
  return typeof columns === "function" ? columns(node) : columns;
}

export const costOf = <K extends OpName>(node: Node<K>): Cost =>
  ops[node.op].cost(inputTypes(node.op, node.inputs), node.attrs, node.types);

/** Properties of a pointwise operator's expression; none for any other operator. */
export function loweringOf({ op }: Node): { readonly cheap?: true; readonly exact?: true } {
  const { lower } = ops[op];
  return lower.kind === "pointwise" ? lower : {};
}

const NO_KERNEL: KernelLowering = { kind: "kernel" };

/** The capabilities of an operator's kernels; none for an operator without kernels. */
export function kernelOf(op: OpName): KernelLowering {
  const { lower } = ops[op];
  return lower.kind === "kernel" ? lower : NO_KERNEL;
}
