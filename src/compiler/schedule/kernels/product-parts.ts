// Products whose depth is divided among workgroups (split-K), if a result has too few tiles to fill a device: each
// part stores its sums, and a second step adds them in order.
import type { Size } from "../../../ground/size/size.js";
import type { Step } from "../plan/plan.js";
import type { ProductTuning } from "../tunings/index.js";
import { declareFinish, type Product, type ProductContext } from "./product-kernels.js";
import { storing } from "./product-texts.js";
import { evenTiles } from "./product-tiles.js";
import { KernelBuilder, scratch, type Operand } from "./spec.js";

/** The most parts: beyond, adding them up costs what dividing saves. */
const MOST_PARTS = 16;

/**
 * In how many parts the depth is divided; 1: not at all. Only sums over tokens are: of these, gradients of weights, no
 * row is promised the same bits among more or fewer rows.
 */
export function partsOf(context: ProductContext, product: Product, tuning: ProductTuning): number {
  const { loads, weights, inputB, attrs, tunings } = context;
  const { batches, rows, columns, depth, lead, groups } = product;
  const { workgroups = 0, subgroupSize } = tunings.products;
  const alone = batches === 1 && lead.length === 0 && groups === null && !attrs.transposed && !weights[inputB]!;
  if (!alone || !loads || typeof rows !== "number" || typeof columns !== "number" || typeof depth === "number")
    return 1;
  const tile = tileOf(tuning, subgroupSize);
  if (!tile || columns % 4 !== 0) return 1;
  const tiles = Math.ceil(rows / tile.rows) * Math.ceil(columns / tile.columns);
  return Math.max(1, Math.min(MOST_PARTS, Math.floor(workgroups / tiles)));
}

interface Tile {
  readonly rows: number;
  readonly columns: number;
}

/** The tile of a workgroup; null if the kernel does not read four columns of b at once. */
function tileOf(tuning: ProductTuning, subgroupSize: number | null): Tile | null {
  switch (tuning.kind) {
    case "plain":
      return null;
    case "vectors":
      return { rows: 8 * tuning.rows, columns: 32 * tuning.vectors };
    case "row":
      return { rows: tuning.rows, columns: 4 * tuning.vectors };
    case "subgroup":
    case "packed":
      return subgroupSize === null ? null : { rows: tuning.rows, columns: 4 * subgroupSize * tuning.vectors };
    case "tiled":
      return { rows: 16 * tuning.rows, columns: 64 * tuning.vectors };
    case "matrix":
      return tuning;
    default:
      return tuning satisfies never;
  }
}

/** The product of each part, as batches of one, which leave their sums in scratch memory. */
export function inParts(
  context: ProductContext,
  product: Product,
  parts: number,
): { readonly context: ProductContext; readonly product: Product; readonly bytes: Size } {
  const { extents, loads } = context;
  const tiles = evenTiles(parts, product.rows, {
    // Parts are whole blocks, so that only the last may be shorter, or sum over nothing.
    reach: `fn partDepth() -> u32 { return (depth() + ${64 * parts - 1}u) / ${64 * parts}u * 64u; }
fn firstK(batch: u32) -> u32 { return min(batch * partDepth(), depth()); }
fn reach(batch: u32) -> u32 { return min(partDepth(), depth() - firstK(batch)); }`,
    firstB: "fn firstB(matrix: u32) -> u32 { return firstK(matrix) * columnCount(); }",
    whole: false,
  });
  const bytes = extents.times(4 * parts, extents.times(product.rows, product.columns));
  return {
    context: {
      ...context,
      loads: (kernel, _letter, _finishes, kind) => {
        const apart = kind === "apart";
        loads!(kernel, "Whole", true, apart ? kind : null);
        kernel.function(`${FROM_FIRST}\n${apart ? TAKEN_FROM_FIRST : VALUE_FROM_FIRST}`);
      },
      finishes: (kernel, taking) =>
        void kernel
          .write("y", "f32", scratch())
          .function("fn rounded(v: f32) -> f32 { return v; }")
          .function(storing(tiles.row, kernel.finished, taking)),
    },
    product: { ...product, batches: parts, lead: [parts], stepsA: [0], stepsB: [1], tiles },
    bytes,
  };
}

/** A part's k, counted from its first. */
const FROM_FIRST = `struct RowA { first: u32, whole: RowWhole }
fn rowA(batch: u32, row: u32) -> RowA { return RowA(firstK(batch), rowWhole(0u, row)); }
alias ColA = u32;
fn colA(k: u32) -> ColA { return k; }`;
const VALUE_FROM_FIRST =
  "fn valueA(r: RowA, c: ColA, k: u32) -> f32 { return valueWhole(r.whole, colWhole(r.first + k), r.first + k); }";
const TAKEN_FROM_FIRST = `struct TakenA { column: ColWhole, value: TakenWhole }
fn takeA(r: RowA, k: u32) -> TakenA { return TakenA(colWhole(r.first + k), takeWhole(r.whole, r.first + k)); }
fn valueA(r: RowA, c: ColA, t: TakenA, k: u32) -> f32 {
  return valueWhole(r.whole, t.column, t.value, r.first + k);
}`;

/** The step that adds the parts up and does what the product does with its sums. */
export function sumParts(context: ProductContext, product: Product, parts: number): Step<Operand> {
  const { extents } = context;
  const kernel = new KernelBuilder("sum_parts", extents)
    .read("parts", "vec4f", scratch())
    .constant("PARTS", parts)
    .count("rowCount", product.rows)
    .count("columnCount", product.columns);
  declareFinish(kernel, context, product);
  return kernel.over(extents.times(product.rows, extents.ceilDivide(product.columns, 4)));
}
