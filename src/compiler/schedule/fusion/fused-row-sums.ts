// Builds the kernel of a group of sums over the same rows.
import { invariant } from "../../../ground/base/invariant.js";
import { expressionKey, valuesOf } from "../addressing/expression.js";
import { declareRows } from "../addressing/declare-rows.js";
import { splitsByRow } from "../addressing/expression-text.js";
import { rowSums } from "../kernels/rows.js";
import { whereRows } from "../kernels/cases.js";
import { result, work, type Operand, type Stored, type Work } from "../kernels/spec.js";
import type { Step } from "../plan.js";
import { printSize, type Size } from "../../../ground/size/size.js";
import { inParts, rowMajor } from "../addressing/layout.js";
import type { Layouts } from "../addressing/layouts.js";
import type { RowGroup } from "./row-groups.js";
import { indexIn, type FusedKernel } from "../kernels/fused-kernel.js";
import type { FusionOptions } from "./partition.js";

/** The kernel that computes a group of sums over the same rows in one pass. */
export function fusedRowSums({ sums, nodes }: RowGroup, layouts: Layouts, options: FusionOptions): FusedKernel {
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
