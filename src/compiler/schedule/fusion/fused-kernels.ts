// Kernels in the order in which they run.
import { isOp, isView, isPointwise, hasKernel, type Node } from "../../ir/graph.js";
import { invariant } from "../../../ground/base/invariant.js";
import { equalSizes, printSize, type Size } from "../../../ground/size/size.js";
import { inParts, rowMajor, type Value } from "../addressing/layout.js";
import { Layouts } from "../addressing/layouts.js";
import { fusedGating } from "./fused-gating.js";
import { fusedMatmul } from "./fused-matmul.js";
import { fusedSelection } from "./fused-selection.js";
import {
  indexIn,
  updatedState,
  writesOf,
  type FusedKernel,
  type OwnSum,
  type FusedKernelOptions,
} from "../kernels/fused-kernel.js";
import type { FusionOptions } from "./partition.js";
import { operatorKernel } from "../kernels/operator-kernel.js";
import { expressionKey, valuesOf } from "../addressing/expression.js";
import { declareValue, dtypeAt, soleResult, splitsByRow } from "../kernels/expression-text.js";
import { KernelBuilder, result, work, type Stored, type Work, type Operand } from "../kernels/spec.js";
import { declareRows } from "../kernels/declare-rows.js";
import { rowSums } from "../kernels/rows.js";
import { whereRows } from "../kernels/cases.js";
import type { Step } from "../plan/plan.js";
import type { RowGroup } from "./row-groups.js";

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

/** Lets products of few rows compute sums over their rows, if no other kernel reads the sums. */
function withOwnSums(kernels: readonly FusedKernel[], required: ReadonlySet<Value>): readonly FusedKernel[] {
  const readers = new Map<Value, FusedKernel[]>();
  for (const kernel of kernels)
    for (const value of kernel.reads) readers.set(value, [...(readers.get(value) ?? []), kernel]);
  /** The sum as its readers compute it, if all of them can, and for the same rows. */
  const madeBy = (sum: Value): OwnSum | null => {
    const all = (readers.get(sum) ?? []).map(({ ownSum }) => (ownSum?.sum === sum ? ownSum : null));
    const [first] = all;
    if (!first || required.has(sum)) return null;
    return all.every((o) => o && o.rows === first.rows && equalSizes(o.count, first.count)) ? first : null;
  };
  return kernels.map((kernel) => {
    const { ownSum, beyond, writes } = kernel;
    const producer = ownSum ? madeBy(ownSum.sum) : beyond ? madeBy(writes[0]!.value) : null;
    if (!producer) return kernel;
    return ownSum ? ownSum.upTo(producer.rows) : beyond!(producer.count, producer.rows);
  });
}

/** The kernel named after a node; null if there is none. Also sets the layouts of the kernel's results. */
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

/** The kernel of a stored pointwise operator, view or constant, with its inlined producers. */
function expressionKernel(node: Node, layouts: Layouts, options: FusedKernelOptions): FusedKernel {
  const { extents, tunings } = options;
  const type = node.types[0]!;
  const expression = layouts.expression([node], type.shape, new Set([node]));
  const reads = valuesOf([expression]);
  const inputOf = indexIn(reads);
  const { operations } = expression;
  const name =
    operations.length === 0
      ? isOp(node, "constant")
        ? "fill"
        : node.op
      : operations
          .slice(-3)
          .map((o) => o.node.op)
          .join("_");
  const updated = updatedState(node, expression, options);
  const takesOver = updated === null ? [] : [inputOf(updated)];
  const make = ([inPlace]: readonly boolean[], stored: Stored): Work => {
    const kernel = new KernelBuilder("pointwise", extents, name);
    const to = stored.writes[0]!;
    if (inPlace) kernel.inputIs(takesOver[0]!, "y");
    kernel.write("y", to.element(dtypeAt(expression, soleResult(expression))), result());
    const count = extents.product(extents.equal.type(type).shape);
    kernel.count("count", count);
    declareValue(kernel, layouts.same(expression), extents, { of: inputOf, codecs: stored.reads }, to);
    return work([kernel.spread(count, tunings.elements)]);
  };
  const nodes = [node, ...operations.map((o) => o.node).filter((n) => n !== node)];
  const key = `= ${name} ${takesOver.join()} ${expressionKey(expression, extents, inputOf)}`;
  return {
    nodes,
    reads,
    writes: writesOf(node, layouts, options),
    inWords: new Set(),
    decodes: null,
    takesOver,
    key,
    make,
  };
}

/** The kernel that computes a group of sums over the same rows in one pass. */
function fusedRowSums({ sums, nodes }: RowGroup, layouts: Layouts, options: FusionOptions): FusedKernel {
  const { extents, tunings, partition } = options;
  const parts = partition.sumParts.get(sums[0]!) ?? 1;
  const shape = sums[0]!.inputs[0].types[0]!.shape;
  const expression = layouts.expression(
    sums.map((s) => s.inputs[0]),
    shape,
    nodes,
  );
  invariant(splitsByRow(expression), "columns are numbered, so no index runs along them");
  const reads = valuesOf([expression]);
  const inputOf = indexIn(reads);
  const same = layouts.same(expression);
  const step = (stored: Stored): Step<Operand> =>
    rowSums(
      {
        rows: extents.product(same.shape.slice(0, -1)),
        depth: same.shape.at(-1)!,
        results: sums.map((s, i) => ({ operand: result(i), dtype: s.types[0]!.dtype, parts })),
        declare: (kernel) =>
          declareRows(
            kernel,
            same,
            extents,
            { of: inputOf, codecs: stored.reads },
            { letter: "X", parameters: "row: u32", prefix: "p" },
          ),
      },
      extents,
      tunings.rowSums,
    );
  const make = (_inPlace: readonly boolean[], stored: Stored): Work => work([step(stored)]);
  for (const s of sums)
    layouts.set(s, inParts(extents, rowMajor(extents, layouts.result(s, 0), s.types[0]!.shape), parts));
  const writes = sums.map((s) => ({
    value: layouts.result(s, 0),
    bytes: extents.times(parts, extents.bytes(extents.equal.type(s.types[0]!))),
  }));
  const kernel: FusedKernel = {
    nodes: [...sums, ...[...nodes].filter((n) => !sums.some((s) => s === n))],
    reads,
    writes,
    inWords: new Set(writes.map((w) => w.value)),
    decodes: null,
    takesOver: [],
    key: `row sums ${parts} ${expressionKey(expression, extents, inputOf)}`,
    make,
  };
  const beyond = (count: Size, most: number): FusedKernel => ({
    ...kernel,
    key: `${kernel.key} where ${printSize(count)} are more than ${most}`,
    make: (_inPlace, stored) => work([whereRows(extents, step(stored), count, most, null)]),
  });
  return sums.length === 1 ? { ...kernel, beyond } : kernel;
}
