// Layouts of weights: from a checkpoint's row-major values to the order in which a kernel reads them, a piece at a time.
import { packedLength, type WeightLayout } from "../../program/program.js";
import type { Words } from "./convert.js";

/** Words of a piece, unless one panel alone is larger. */
const PIECE = 1 << 20;

/** Visits a weight in a layout piece by piece, in order; `words` are valid during the visit alone, `at` is where they begin. */
export function forEachPiece(values: Words, layout: WeightLayout, visit: (words: Words, at: number) => void): void {
  switch (layout.kind) {
    case "given":
      visit(values, 0);
      return;
    case "panels":
      forEachPanels(values, layout, visit);
      return;
    default:
      layout satisfies never;
  }
}

function forEachPanels(values: Words, layout: Extract<WeightLayout, { kind: "panels" }>, visit: (words: Words, at: number) => void): void {
  const { depth, width, columns } = layout;
  const panel = depth * columns;
  const panels = packedLength(layout, values.length) / Math.max(1, panel);
  const together = Math.max(1, Math.min(panels, Math.floor(PIECE / panel)));
  const piece = new (values.constructor as new (length: number) => Words)(together * panel); // as the values are
  const across = Math.ceil(width / columns);
  for (let first = 0; first < panels; first += together) {
    const count = Math.min(together, panels - first);
    piece.fill(0);
    for (let p = 0; p < count; p++) {
      const matrix = Math.floor((first + p) / across);
      writePanel(
        values.subarray(matrix * depth * width, (matrix + 1) * depth * width),
        layout,
        (first + p) % across,
        piece.subarray(p * panel, (p + 1) * panel),
      );
    }
    visit(piece.subarray(0, count * panel), first * panel);
  }
}

/** One panel of a matrix, into zeros. */
function writePanel(matrix: Words, { depth, width, columns, transposed }: Extract<WeightLayout, { kind: "panels" }>, panel: number, into: Words): void {
  const begin = panel * columns;
  const used = Math.min(columns, width - begin);
  if (transposed) {
    for (let n = 0; n < used; n++) {
      const row = (begin + n) * depth;
      for (let k = 0; k < depth; k++) into[k * columns + n] = matrix[row + k]!;
    }
  } else for (let k = 0; k < depth; k++) into.set(matrix.subarray(k * width + begin, k * width + begin + used), k * columns);
}
