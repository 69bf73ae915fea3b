// Column pairs: columns of two slices stored adjacently (a gate and its input, or the halves of a rotary head), so that
// one invocation holds both.
import type { Node } from "../../ir/graph.js";
import type { KernelBuilder } from "../kernels/spec.js";
import type { ColumnSlice } from "./epilogue.js";
import { sliceOf, type Draft, type FusedColumns } from "./fusion.js";

/**
 * The slice of an operator with these inputs: theirs, or a pair of their two slices; null where there are more slices,
 * or they cannot be paired.
 */
export function jointSlice(draft: Draft, inputs: readonly Node[]): ColumnSlice | null {
  const slices = [...new Set(inputs.flatMap((n) => draft.members.get(n) ?? []))].toSorted((a, b) => a.start - b.start);
  const [first, second, ...more] = slices;
  if (!first || more.length > 0) return null;
  if (!second) return first;
  const width = first.stop - first.start;
  const apart = second.start - first.start;
  const plain =
    first.second === null && second.second === null && second.stop - second.start === width && apart === width;
  return plain && canPair(draft, apart, first.start)
    ? sliceOf(draft.members, first.start, first.stop, second.start)
    : null;
}

/** Whether columns `apart` columns apart can be paired, from `start` on. */
export function canPair(draft: Draft, apart: number, start: number): boolean {
  const fits = draft.options.packs && apart % 2 === 0 && start % (2 * apart) === 0 && draft.columns % (2 * apart) === 0;
  const known = pairsOf(draft);
  return fits && (known === 0 || known === apart);
}

/** The distance between paired columns; 0: columns are in their order. */
export function pairsOf(draft: Draft): number {
  const apart = draft.ops.find((op) => op.pairs > 0)?.pairs;
  if (apart) return apart;
  const pair = [...draft.members.values()].find((s) => s.second !== null);
  return pair ? pair.second! - pair.start : 0;
}

/** The accumulators of a slice: in a pair, the first has number 0 and the second 1. */
export function accumulatorsOf(draft: Draft, slice: ColumnSlice): ReadonlyMap<Node, number> {
  const accumulators = new Map<Node, number>();
  for (const [node, accumulated] of draft.accumulators) {
    if (accumulated === slice || (slice.second !== null && accumulated.start === slice.start))
      accumulators.set(node, 0);
    else if (slice.second !== null && accumulated.start === slice.second) accumulators.set(node, 1);
  }
  return accumulators;
}

/** Wraps statements in an `if`: some of the four columns, or of a group of pairs, belong to the slice. */
export function withinSlice(kernel: KernelBuilder, { start, stop }: ColumnSlice, pairs: number, text: string): string {
  const [low, high] = pairs === 0 ? ["column", "column + 4u"] : ["group", `group + ${kernel.size(2 * pairs)}`];
  const tests = [...(start > 0 ? [`${high} > ${kernel.size(start)}`] : []), `${low} < ${kernel.size(stop)}`];
  return `  if (${tests.join(" && ")}) {\n${text}  }\n`;
}

/**
 * Head of a loop over h, the pairs of an invocation: 0 and 1, which compilers do not unroll, as its bound is not
 * constant, unless the kernel is for GPUs, whose compilers should; or 0 alone.
 */
export function overPairs({ finished }: KernelBuilder, unrolls = false): string {
  const end = finished < 4 ? "1u" : unrolls ? "2u" : "min(first + 2u, columnCount()) - first";
  return `for (var h = 0u; h < ${end}; h++) {`;
}

/** The index of a column within the slice. */
export const columnIn = (kernel: KernelBuilder, { start }: ColumnSlice, column: string): string =>
  start === 0 ? column : `${column} - ${kernel.size(start)}`;

/** Calls of a slice's function for the columns of an invocation: four neighbours, or two pairs. */
export function callsOf(
  kernel: KernelBuilder,
  { slice }: FusedColumns,
  n: number,
  pairs: number,
  unrolls: boolean,
): string {
  const row = `    let r = rowF${n}(row);\n`;
  // A loop that compilers do not unroll, as its bound is not constant: compile time grows with the number of loads in
  // the text.
  if (pairs === 0 && kernel.finished === 1) {
    const { start, stop } = slice;
    const inside = [...(start > 0 ? [`column >= ${kernel.size(start)}`] : []), `column < ${kernel.size(stop)}`];
    const called = `sums += frame${n}(r, row, ${columnIn(kernel, slice, "column")}, x[0]);`;
    return `  if (${inside.join(" && ")}) {\n${row}    ${called}\n  }\n`;
  }
  if (pairs === 0) {
    const end = `min(column + 4u, ${kernel.size(slice.stop)})`;
    const first = slice.start === 0 ? "column" : `max(column, ${kernel.size(slice.start)})`;
    const called = `sums += frame${n}(r, row, ${columnIn(kernel, slice, "c")}, x[c - column]);`;
    return withinSlice(kernel, slice, 0, `${row}    for (var c = ${first}; c < ${end}; c++) { ${called} }\n`);
  }
  const { start, stop, second } = slice;
  const inside = (column: string): string =>
    start === 0
      ? `${column} < ${kernel.size(stop)}`
      : `${column} >= ${kernel.size(start)} && ${column} < ${kernel.size(stop)}`;
  const call = (column: string, values: string): string =>
    `if (${inside(column)}) { sums += frame${n}(r, row, ${columnIn(kernel, slice, column)}, ${values}); }`;
  const other = `(first + h + ${kernel.size(pairs)})`;
  const calls =
    second === null
      ? [call("(first + h)", "x[2u * h]"), call(other, "x[2u * h + 1u]")]
      : [call("(first + h)", "x[2u * h], x[2u * h + 1u]")];
  const head = overPairs(kernel, unrolls);
  return withinSlice(kernel, slice, pairs, `${row}    ${head}\n${calls.map((c) => `      ${c}\n`).join("")}    }\n`);
}
