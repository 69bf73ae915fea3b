// Kernels in the order in which they run.
import { isOp, type Node, isView, isPointwise, hasKernel } from "../../ir/graph.js";
import { invariant } from "../../../ground/base/invariant.js";
import { equalSizes } from "../../../ground/size/size.js";
import type { Value } from "../addressing/layout.js";
import { Layouts } from "../addressing/layouts.js";
import { fusedGating } from "./fused-gating.js";
import { fusedMatmul } from "./fused-matmul.js";
import { fusedRowSums } from "./fused-row-sums.js";
import { fusedSelection } from "./fused-selection.js";
import { expressionKernel } from "../kernels/expression-kernel.js";
import type { FusedKernel, OwnSum } from "../kernels/fused-kernel.js";
import type { FusionOptions } from "./partition.js";
import { operatorKernel } from "../kernels/operator-kernel.js";

/**
 * The kernels of a partition in order, and the layouts of values. `required`: nodes stored row-major for the caller.
 */
export function kernelsOf(
  order: readonly Node[],
  required: Iterable<Node>,
  options: FusionOptions,
): { readonly kernels: readonly FusedKernel[]; readonly layouts: Layouts } {
  const layouts = new Layouts(options.extents, options.partition);
  const kernels: FusedKernel[] = [];
  const filled = new Set<Node>();
  /** Constants are written to memory before the first kernel that reads them there. */
  const fill = (reads: readonly Value[]): void => {
    for (const { node } of reads)
      if (isOp(node, "constant") && !filled.has(node)) {
        filled.add(node);
        kernels.push(expressionKernel(node, layouts, options));
      }
  };
  for (const node of order) {
    const kernel = kernelNamedFor(node, layouts, options);
    if (!kernel) continue;
    for (const { value } of kernel.writes) if (isOp(value.node, "constant")) filled.add(value.node);
    fill(kernel.reads);
    kernels.push(kernel);
  }
  fill([...required].map((node) => layouts.valueOf(node)));
  return { kernels: withOwnSums(kernels, new Set([...required].map((n) => layouts.valueOf(n)))), layouts };
}

/** Has products of few rows make the sums over them themselves, where no other kernel reads these. */
function withOwnSums(kernels: readonly FusedKernel[], required: ReadonlySet<Value>): readonly FusedKernel[] {
  const readers = new Map<Value, FusedKernel[]>();
  for (const kernel of kernels)
    for (const value of kernel.reads) readers.set(value, [...(readers.get(value) ?? []), kernel]);
  /** What the readers have in common, if each can make the sum for as many rows. */
  const madeBy = (sum: Value): OwnSum | null => {
    const all = (readers.get(sum) ?? []).map(({ ownSum }) => (ownSum?.sum === sum ? ownSum : null));
    const [first] = all;
    if (!first || required.has(sum)) return null;
    return all.every((o) => o && o.rows === first.rows && equalSizes(o.count, first.count)) ? first : null;
  };
  return kernels.map((kernel) => {
    const { ownSum, beyond, writes } = kernel;
    const made = ownSum ? madeBy(ownSum.sum) : beyond ? madeBy(writes[0]!.value) : null;
    if (!made) return kernel;
    return ownSum ? ownSum.upTo(made.rows) : beyond!(made.count, made.rows);
  });
}

/** The kernel named after a node, which also sets the layouts of its results; null where there is none. */
function kernelNamedFor(node: Node, layouts: Layouts, options: FusionOptions): FusedKernel | null {
  const { partition, isGiven, packedAtLoad } = options;
  const fusion = partition.fusions.get(node);
  if (fusion) return fusedMatmul(fusion, layouts, options);
  const selection = partition.selections.get(node);
  if (selection) return fusedSelection(selection, layouts, options);
  const gating = partition.gatings.get(node);
  if (gating) return fusedGating(gating, layouts, options);
  const group = partition.rowGroups.get(node);
  if (group) return fusedRowSums(group, layouts, options);
  if (partition.taken.has(node)) return null;
  if (partition.stored.has(node)) return expressionKernel(node, layouts, options);
  const isThere = isOp(node, "constant") || isGiven(node) || isOp(node, "pick") || packedAtLoad.has(node);
  if (isThere || isView(node) || isPointwise(node)) return null;
  invariant(hasKernel(node), `${node.op} has no kernel`);
  return operatorKernel(node, layouts, options);
}
