// Rearranges weights, piece by piece, from a checkpoint's row-major layout to the layout that kernels read.
import { countOf } from "../../ground/base/collections.js";
import type { PanelLayout, ProgramWeightSlot, WeightLayout } from "../program/program.js";
import type { Words } from "../../ground/base/dtype.js";

/** Words of a piece, unless one panel alone is larger. */
const PIECE = 1 << 20;

/** Panels that hold columns of several weights and are not complete yet, by their index in the slot. */
export type OpenPanels = Map<number, { readonly words: Words; missing: number }>;

/** The values of a part of a weight, or all of them; a view where they are contiguous. */
export function partOf(values: Words, shape: readonly number[], part: ProgramWeightSlot["part"]): Words {
  if (!part) return values;
  const { axis, start, stop } = part;
  const count = (sizes: readonly number[]): number => countOf(sizes);
  const [outer, inner] = [count(shape.slice(0, axis)), count(shape.slice(axis + 1))];
  const [row, run] = [shape[axis]! * inner, (stop - start) * inner];
  if (outer === 1) return values.subarray(start * inner, stop * inner);
  const columns = new (values.constructor as new (n: number) => Words)(outer * run); // as the values are
  for (let o = 0; o < outer; o++)
    columns.set(values.subarray(o * row + start * inner, o * row + stop * inner), o * run);
  return columns;
}

/**
 * Visits a weight in its layout, piece by piece: `words`, valid only during the visit, start at offset `at`. A panel
 * shared by several weights is visited with the last of them.
 */
export function forEachPiece(
  values: Words,
  layout: WeightLayout,
  open: OpenPanels,
  visit: (words: Words, at: number) => void,
): void {
  switch (layout.kind) {
    case "given":
      visit(values, 0);
      return;
    case "panels":
      forEachPanels(values, layout, open, visit);
      return;
    default:
      layout satisfies never;
  }
}

function forEachPanels(
  values: Words,
  layout: PanelLayout,
  open: OpenPanels,
  visit: (words: Words, at: number) => void,
): void {
  const { depth, width, columns, total } = layout;
  if (values.length === 0) return;
  const words = depth * columns;
  const across = Math.ceil(total / columns);
  const sources = sourcesOf(layout, across * columns);
  // as the values are
  const make = (length: number): Words => new (values.constructor as new (n: number) => Words)(length);
  const piece = make(Math.max(1, Math.floor(PIECE / words)) * words);
  let [begin, used] = [0, 0];
  const flush = (): void => {
    if (used > 0) visit(piece.subarray(0, used), begin);
    used = 0;
  };
  for (let m = 0; m < values.length / (depth * width); m++) {
    const matrix = values.subarray(m * depth * width, (m + 1) * depth * width);
    for (let p = 0; p < across; p++) {
      const source = sources.subarray(p * columns, (p + 1) * columns);
      const filled = source.reduce((n, c) => n + Number(c >= 0), 0);
      const at = (m * across + p) * words;
      const full = Math.min(columns, total - p * columns);
      if (filled === full) {
        if (used === piece.length || begin + used !== at) flush();
        if (used === 0) begin = at;
        writeColumns(matrix, layout, source, piece.subarray(used, used + words));
        used += words;
      } else if (filled > 0) {
        let shared = open.get(at);
        if (!shared) open.set(at, (shared = { words: make(words), missing: full }));
        putColumns(matrix, layout, source, shared.words);
        shared.missing -= filled;
        if (shared.missing > 0) continue;
        visit(shared.words, at);
        open.delete(at);
      }
    }
  }
  flush();
}

/** For each position in a row of panels, the weight's column stored there, or −1. */
function sourcesOf({ width, first, pairs }: PanelLayout, places: number): Int32Array {
  const sources = new Int32Array(places).fill(-1);
  for (let n = 0; n < width; n++) sources[placeOf(first + n, pairs)] = n;
  return sources;
}

/** The position of column n: g·2D + 2·j + h for n = g·2D + h·D + j. */
function placeOf(n: number, pairs: number): number {
  if (pairs === 0) return n;
  const within = n % (2 * pairs);
  return n - within + 2 * (within % pairs) + Math.floor(within / pairs);
}

/** Writes a panel whose columns all come from this matrix, with zeros after the last. */
function writeColumns(matrix: Words, layout: PanelLayout, source: Int32Array, into: Words): void {
  const { depth, width, columns, transposed, pairs } = layout;
  const used = source.includes(-1) ? source.indexOf(-1) : columns;
  if (used < columns) into.fill(0);
  // For short rows, a call for each row costs more than copying single values.
  if (transposed || pairs > 0 || used < 64) putColumns(matrix, layout, source, into);
  else
    for (let k = 0; k < depth; k++)
      into.set(matrix.subarray(k * width + source[0]!, k * width + source[0]! + used), k * columns);
}

/** Writes the columns in the order of the matrix in memory. */
function putColumns(
  matrix: Words,
  { depth, width, columns, transposed }: PanelLayout,
  source: Int32Array,
  into: Words,
): void {
  if (transposed) {
    for (let c = 0; c < columns; c++) {
      const n = source[c]!;
      if (n >= 0)
        for (let from = n * depth, to = c, end = from + depth; from < end; from++, to += columns)
          into[to] = matrix[from]!;
    }
  } else {
    for (let k = 0, row = 0, to = 0; k < depth; k++, row += width, to += columns)
      for (let c = 0; c < columns; c++) {
        const n = source[c]!;
        if (n >= 0) into[to + c] = matrix[row + n]!;
      }
  }
}
