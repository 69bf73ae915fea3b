// The specs of matrix products: which kernel computes one on a device, and its tiles.
import { invariant } from "../../diagnostics/invariant.js";
import type { TensorType } from "../../ir/types.js";
import { rational } from "../../size/rational.js";
import { applySize, multiplySizes, sizeOf, subtractSizes, type Size } from "../../size/size.js";
import { broadcastStrides } from "../index-map.js";
import type { Step } from "../plan.js";
import type { ProductCase, ProductTuning } from "../tunings.js";
import { input, KernelBuilder, packed, result, roundedTo, typeAt, work, type Operand, type Spec, type SpecContext } from "./spec.js";

type Context = SpecContext<"matmul">;

/** A product as rows of a by matrices of b. */
interface Product {
  readonly batches: Size;
  readonly rows: Size;
  readonly columns: Size;
  readonly depth: Size;
  /** Leading dimensions the batches are counted over; none where one b serves all rows. */
  readonly lead: readonly Size[];
  /** For each leading dimension, how many matrices of a and of b a step along it crosses. */
  readonly stepsA: readonly Size[];
  readonly stepsB: readonly Size[];
}

export const matmul: Spec<"matmul"> = (context) => {
  const product = productOf(context);
  return work(
    casesOf(context, product).map(({ most, tuning }, i, cases) =>
      between(context, stepOf(context, product, tuning), product.rows, i === 0 ? 0 : cases[i - 1]!.most, most),
    ),
  );
};

function productOf({ inputs, results, extents }: Context): Product {
  const [a, b, y] = [typeAt(inputs, 0), typeAt(inputs, 1), typeAt(results, 0)];
  const [depth, columns] = [a.shape.at(-1)!, y.shape.at(-1)!];
  // One b for all of a: its batches are more rows.
  const single = b.shape.slice(0, -2).every((s) => s === 1) && a.shape.length === y.shape.length;
  if (single) return { batches: 1, rows: extents.product(y.shape.slice(0, -1)), columns, depth, lead: [], stepsA: [], stepsB: [] };
  const lead = y.shape.slice(0, -2);
  const steps = ({ shape }: TensorType): readonly Size[] => broadcastStrides(extents, shape.slice(0, -2), lead);
  return { batches: extents.product(lead), rows: y.shape.at(-2)!, columns, depth, lead, stepsA: steps(a), stepsB: steps(b) };
}

/** The tunings of a product: one, or several of which the number of rows picks one when it runs. */
function casesOf({ attrs, tunings: { products: tunings }, weights }: Context, { rows, columns }: Product): readonly ProductCase[] {
  const always = (tuning: ProductTuning): readonly ProductCase[] => [{ most: Infinity, tuning }];
  if (typeof columns !== "number" || columns < tunings.leastColumns) return always({ kind: "plain" });
  if (!weights[1]) return always(!attrs.transposed && columns % 4 === 0 ? tunings.byValue : { kind: "plain" });
  if (typeof rows !== "number") return tunings.byWeightAnyRows;
  const found = tunings.byWeight.find(({ most }) => rows <= most);
  invariant(found, "no tuning fits so many rows");
  return always(found.tuning);
}

/** The step, with no workgroups unless low < rows ≤ high: the runtime skips it there. */
function between({ extents }: Context, step: Step<Operand>, rows: Size, low: number, high: number): Step<Operand> {
  if (step.kind !== "dispatch") return step;
  // floor(min(rows, n) / n): 1 where there are n rows or more, else 0.
  const atLeast = (n: number): Size => applySize("floor", [multiplySizes(sizeOf(rational(1, n)), applySize("min", [rows, n]))]);
  const factor = subtractSizes(low === 0 ? 1 : atLeast(low + 1), high === Infinity ? 0 : atLeast(high + 1));
  return { ...step, workgroups: extents.times(step.workgroups, factor) };
}

function stepOf(context: Context, product: Product, tuning: ProductTuning): Step<Operand> {
  switch (tuning.kind) {
    case "plain":
      return plainStep(context, product);
    case "subgroup":
      return subgroupStep(context, product, tuning);
    case "vectors":
      return vectorsStep(context, product, tuning);
    case "tiled":
      return tiledStep(context, product);
    default:
      return tuning satisfies never;
  }
}

const PLAIN_ROWS = 4;
const PLAIN_COLUMNS = 8;

function plainStep({ attrs, results, extents }: Context, product: Product): Step<Operand> {
  const { batches, rows, columns, depth, lead, stepsA, stepsB } = product;
  const kernel = new KernelBuilder("matmul", extents).read("a", "f32", input(0)).read("b", "f32", input(1)).write("y", "f32", result());
  counts(kernel, product);
  kernel.count("depthStride", attrs.transposed ? 1 : columns).count("columnStride", attrs.transposed ? depth : 1);
  const offsets = (steps: readonly Size[], size: Size): Size[] => steps.map((s) => extents.times(s, size));
  kernel.index("baseA", lead, offsets(stepsA, extents.times(rows, depth))).index("baseB", lead, offsets(stepsB, extents.times(depth, columns)));
  const place = attrs.transposed ? "tile % down, tile / down" : "tile / across, tile % across";
  kernel.function(`fn placeOf(tile: u32, across: u32, down: u32) -> vec2u { return vec2u(${place}); }`).function(roundedTo(typeAt(results, 0).dtype));
  return kernel.over(extents.times(batches, extents.times(extents.ceilDivide(rows, PLAIN_ROWS), extents.ceilDivide(columns, PLAIN_COLUMNS))));
}

function subgroupStep(context: Context, product: Product, { rows, vectors }: Extract<ProductTuning, { kind: "subgroup" }>): Step<Operand> {
  const { panel, subgroupSize } = context.tunings.products;
  invariant(subgroupSize !== null && panel === 4 * subgroupSize, "a panel is as wide as a subgroup's vectors");
  const kernel = new KernelBuilder("matmul_subgroup", context.extents).read("a", "f32", input(0)).read("b", "vec4f", panels(context, product));
  kernel.subgroups(subgroupSize).constant("WIDTH", subgroupSize).constant("ROWS", rows).constant("VECTORS", vectors);
  return vectorStep(kernel, context, product, rows, panel * vectors);
}

function vectorsStep(context: Context, product: Product, { rows, vectors }: Extract<ProductTuning, { kind: "vectors" }>): Step<Operand> {
  const packs = context.weights[1]!;
  const b = packs ? panels(context, product) : input(1);
  const kernel = new KernelBuilder("matmul_vectors", context.extents).read("a", "f32", input(0)).read("b", "vec4f", b);
  kernel.constant("ROWS", rows).constant("VECTORS", vectors);
  kernel.function(packs ? panelOffsets(context.tunings.products.panel / 4) : ROW_OFFSETS);
  return vectorStep(kernel, context, product, 8 * rows, 32 * vectors);
}

const ROW_OFFSETS = `fn vectorB(matrix: u32, n: u32) -> u32 { return matrix * depth() * (columnCount() / 4u) + n; }
fn strideB() -> u32 { return columnCount() / 4u; }`;

/** `width`: vectors of a panel. */
const panelOffsets = (width: number): string => `fn vectorB(matrix: u32, n: u32) -> u32 {
  let panels = (columnCount() + ${4 * width - 1}u) / ${4 * width}u;
  return (matrix * panels + n / ${width}u) * depth() * ${width}u + n % ${width}u;
}
fn strideB() -> u32 { return ${width}u; }`;

function tiledStep(context: Context, product: Product): Step<Operand> {
  invariant(context.tunings.products.panel === 64, "a tile is a panel wide");
  const kernel = new KernelBuilder("matmul_tiled", context.extents).read("a", "f32", input(0)).read("b", "vec4f", panels(context, product));
  return vectorStep(kernel, context, product, 64, 64);
}

/** The weight b in panels. */
function panels({ attrs, tunings }: Context, { depth, columns }: Product): Operand {
  invariant(typeof columns === "number" && typeof depth === "number", "a weight's sizes are known");
  return packed(1, { kind: "panels", depth, width: columns, transposed: attrs.transposed, columns: tunings.products.panel });
}

/** What kernels that read vectors of b have in common: one workgroup for each tile of so many rows and columns. */
function vectorStep(kernel: KernelBuilder, { results, extents }: Context, product: Product, rows: number, columns: number): Step<Operand> {
  counts(kernel.write("y", "f32", result()), product);
  const sizeA = extents.times(product.rows, product.depth);
  kernel.index(
    "baseA",
    product.lead,
    product.stepsA.map((s) => extents.times(s, sizeA)),
  );
  kernel.index("matrixB", product.lead, product.stepsB).function(roundedTo(typeAt(results, 0).dtype));
  const tiles = extents.times(extents.ceilDivide(product.rows, rows), extents.ceilDivide(product.columns, columns));
  return kernel.dispatch(extents.times(product.batches, tiles));
}

const counts = (kernel: KernelBuilder, { batches, rows, columns, depth }: Product): KernelBuilder =>
  kernel.count("batchCount", batches).count("rowCount", rows).count("columnCount", columns).count("depth", depth);
