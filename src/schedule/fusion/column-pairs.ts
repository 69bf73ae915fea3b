// Columns of two slices side by side: a gate and what it gates, or the halves of a rotary head, which one invocation so
// has at once.
import { type Node, isPointwise } from "../../ir/graph.js";
import type { KernelBuilder } from "../kernels/spec.js";
import type { ColumnSlice } from "./epilogue.js";
import { opsOf, sliceOf, type Draft, type FusedColumns } from "./fusion.js";

/**
 * The slice on whose values an operator with these inputs works: theirs, or that of a pair of slices; null where they
 * are of more, or cannot stand side by side.
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
  return plain && canPair(draft, apart, first.start) ? sliceOf(draft, first.start, first.stop, second.start) : null;
}

/** Whether columns so far apart can stand side by side, from a first one on. */
export function canPair(draft: Draft, apart: number, start: number): boolean {
  const fits = draft.options.packs && apart % 2 === 0 && start % (2 * apart) === 0 && draft.columns % (2 * apart) === 0;
  const known = pairsOf(draft);
  return fits && (known === 0 || known === apart);
}

/** How far apart columns are that stand side by side; 0: all in their order. */
export function pairsOf(draft: Draft): number {
  const [rotary] = opsOf(draft, "rotary");
  if (rotary) return rotary.width / 2;
  const pair = [...draft.members.values()].find((s) => s.second !== null);
  return pair ? pair.second! - pair.start : 0;
}

/** Nodes that are sums themselves where a slice is worked on: the first of a pair, and the second. */
export function accumulatorsOf(draft: Draft, slice: ColumnSlice): ReadonlyMap<Node, number> {
  const accumulators = new Map<Node, number>();
  for (const [node, own] of draft.members) {
    if (isPointwise(node)) continue;
    if (own === slice || (slice.second !== null && own.start === slice.start)) accumulators.set(node, 0);
    else if (slice.second !== null && own.start === slice.second) accumulators.set(node, 1);
  }
  return accumulators;
}

/** `if` some of the four columns, or of a group of pairs, are the slice's. */
export function withinSlice(kernel: KernelBuilder, { start, stop }: ColumnSlice, pairs: number, text: string): string {
  const [low, high] = pairs === 0 ? ["column", "column + 4u"] : ["group", `group + ${kernel.size(2 * pairs)}`];
  const tests = [...(start > 0 ? [`${high} > ${kernel.size(start)}`] : []), `${low} < ${kernel.size(stop)}`];
  return `  if (${tests.join(" && ")}) {\n${text}  }\n`;
}

/** The begin of a loop that goes through h = 0 and 1, and stays rolled: a group has more columns than half of it. */
export const TWICE = "for (var h = 0u; h < min(first + 2u, columnCount()) - first; h++) {";

/** A column of the slice by its place in it. */
export const columnIn = (kernel: KernelBuilder, { start }: ColumnSlice, column: string): string =>
  start === 0 ? column : `${column} - ${kernel.size(start)}`;

/** Calls of a slice's function for the columns that an invocation has: four neighbours, or two pairs. */
export function callsOf(kernel: KernelBuilder, { slice }: FusedColumns, n: number, pairs: number): string {
  const row = `    let r = rowF${n}(row);\n`;
  // Rolled, for its bound is no constant: a compiler's time grows with the loads in the text.
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
  return withinSlice(kernel, slice, pairs, `${row}    ${TWICE}\n${calls.map((c) => `      ${c}\n`).join("")}    }\n`);
}
