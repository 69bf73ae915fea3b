// The specs of matrix products: which kernel computes one on a device, and its tiles.
import { invariant } from "../../base/invariant.js";
import { blockStride } from "../../program/program.js";
import type { TensorType } from "../../ir/types.js";
import { type Size } from "../../size/size.js";
import { broadcastStrides } from "../addressing/index-map.js";
import { rounding, type Codec } from "../codecs/codec.js";
import type { Step } from "../plan.js";
import type { ProductCase, ProductTuning, ProductTunings } from "../tunings/index.js";
import { weightTunings, type WeightTunings } from "../tunings/products.js";
import {
  input,
  KernelBuilder,
  packed,
  result,
  standingIn,
  typeAt,
  whereRows,
  work,
  type Operand,
  type Work,
  type KernelContext,
} from "./spec.js";

/** The fused prologue and epilogue of a product's kernel. */
export interface MatmulContext {
  /**
   * Where it computes a: binds what that needs, as the first inputs, and declares `RowA`, `rowA`, `ColA`, `colA` and
   * `valueA` (see the kernels of products). Null: input 0 as it lies.
   */
  readonly loads: ((kernel: KernelBuilder) => void) | null;
  /**
   * Where it does more with its sums than store them: binds what that reads and writes, after b, and declares `finish`,
   * `Sums`, `ROW_SUMS` and `keep`. Columns are those of the packed b. Null: the result is stored, row-major.
   */
  readonly finishes: ((kernel: KernelBuilder) => void) | null;
  /** The input number of b: 1, or after the inputs that `loads` binds. */
  readonly inputB: number;
  /** Whether b, though a weight, is also available row-major, and packing it costs time. */
  readonly unpacked: boolean;
  /**
   * Half the width of a rotary head whose pairs of columns lie side by side in the packed b; 0: columns in their order.
   */
  readonly pairs: number;
}

/** A product without prologue and epilogue. */
export const PLAIN: MatmulContext = { loads: null, finishes: null, inputB: 1, unpacked: false, pairs: 0 };

type Context = KernelContext<"matmul"> & MatmulContext;

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

/** Whether a tuning's kernel can give sums over each row of the result, one for each panel of columns, beside it. */
export const supportsRowSums = (tuning: ProductTuning): boolean => tuning.kind === "subgroup";

export const matmul = (node: KernelContext<"matmul">, fused: MatmulContext = PLAIN): Work => {
  const context = { ...node, ...fused };
  const product = productOf(context);
  const cases = casesOf(context, product);
  const steps = cases.map(({ most, tuning }, i) =>
    whereRows(context.extents, stepOf(context, product, tuning), product.rows, cases[i - 1]?.most ?? 0, most),
  );
  return work(withStandIns(context, product, cases, steps));
};

/**
 * Kernels that compute few rows at once are compiled in a third of the time of the fast ones, which pay only where
 * there is much to compute. One row at once is what steps of generation need anyway. Measured on Mesa 25.0.7: one row
 * by two vectors 3 GFLOP/s a core, eight by one 12, sixteen by two 24.
 */
const ONE_ROW = { kind: "spared", each: 8e6, total: 5e8 } as const;
/**
 * Eight rows at once take twice as long for one row as its own kernel, which is not worth its compilation before it
 * would have run for that long: at 3 GFLOP/s, 0.1 s more.
 */
const ONE_OF_EIGHT = { kind: "shared", each: Number.MAX_SAFE_INTEGER, total: 3e8 } as const;
const FEW_VECTORS = { kind: "spared", each: Number.MAX_SAFE_INTEGER, total: 2e9 } as const;
const FIRST = { kind: "subgroup", rows: 8, vectors: 1 } as const;

/** The steps of the cases, with those that stand in for kernels of many sums before them. */
function withStandIns(
  context: Context,
  product: Product,
  cases: readonly ProductCase[],
  steps: readonly Step<Operand>[],
): readonly Step<Operand>[] {
  const few = cases.findIndex(({ tuning }) => tuning.kind !== "subgroup" || tuning.rows > 1);
  const many = cases.slice(Math.max(few, 0));
  if (few < 0 || many.some(({ tuning }) => tuning.kind !== "subgroup" || tuning.rows * tuning.vectors <= FIRST.rows))
    return steps;
  const first = standingIn(stepOf(context, product, FIRST), many.length, FEW_VECTORS);
  const one = cases.slice(0, few).map(({ tuning }, i) => {
    const whole = stepOf(context, product, tuning);
    const own = steps[i]!;
    return own.kind === "dispatch" ? standingIn(whole, steps.length - i, ONE_ROW, own.workgroups) : own;
  });
  const rows = few === 0 ? [] : [standingIn(stepOf(context, product, FIRST), few, ONE_OF_EIGHT)];
  return [...rows, ...one, first, ...steps.slice(few)];
}

function productOf({ inputs, results, extents }: Context): Product {
  const [a, b, y] = [typeAt(inputs, 0), typeAt(inputs, 1), typeAt(results, 0)];
  const [depth, columns] = [a.shape.at(-1)!, y.shape.at(-1)!];
  // One b for all of a: its batches are more rows.
  const single = b.shape.slice(0, -2).every((s) => s === 1) && a.shape.length === y.shape.length;
  if (single)
    return {
      batches: 1,
      rows: extents.product(y.shape.slice(0, -1)),
      columns,
      depth,
      lead: [],
      stepsA: [],
      stepsB: [],
    };
  const lead = y.shape.slice(0, -2);
  const steps = ({ shape }: TensorType): readonly Size[] => broadcastStrides(extents, shape.slice(0, -2), lead);
  return {
    batches: extents.product(lead),
    rows: y.shape.at(-2)!,
    columns,
    depth,
    lead,
    stepsA: steps(a),
    stepsB: steps(b),
  };
}

/** The tunings of a product: one, or several of which the number of rows picks one when it runs. */
function casesOf(context: Context, product: Product): readonly ProductCase[] {
  const { attrs, weights, inputB } = context;
  const { rows, columns } = product;
  const tunings = context.tunings.products;
  const always = (tuning: ProductTuning): readonly ProductCase[] => [{ most: null, tuning }];
  if (typeof columns !== "number") return always({ kind: "plain" });
  if (!weights[inputB])
    return always(
      !attrs.transposed && columns % 4 === 0 && columns >= tunings.leastColumns
        ? byValue(tunings, rows)
        : { kind: "plain" },
    );
  const own = ownTunings(context, product);
  if (typeof rows !== "number") return own.byWeightAnyRows;
  const found = own.byWeight.find(({ most }) => most === null || rows <= most);
  invariant(found, "no tuning fits so many rows");
  return always(found.tuning);
}

/** Few rows take the tile that so few take of a weight, where that reads b as it lies. */
function byValue(tunings: ProductTunings, rows: Size): ProductTuning {
  const found =
    typeof rows === "number"
      ? tunings.byWeight.find(({ most }) => most !== null && rows <= most && most < LEAST_ROWS)
      : undefined;
  return found?.tuning.kind === tunings.byValue.kind ? found.tuning : tunings.byValue;
}

/** Rows of a tile of products by a computed (unpacked) b. */
const LEAST_ROWS = 16;

/** What the product's weight is computed by. */
function ownTunings({ tunings }: Context, { depth, columns }: Product): WeightTunings {
  invariant(typeof columns === "number" && typeof depth === "number", "a weight's sizes are known");
  return weightTunings(tunings.products, depth, columns);
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

function plainStep(context: Context, product: Product): Step<Operand> {
  const { attrs, extents } = context;
  const { batches, rows, columns, depth, lead, stepsB } = product;
  const [b, codec] = [asGiven(context, product), codecB(context)];
  const kernel = new KernelBuilder("matmul", extents);
  declareLoads(kernel, context, product);
  kernel
    .read("b", codec.one, b)
    .function(codec.readOne("loadB", "b", strideIn(b)))
    .count("depthStride", attrs.transposed ? 1 : columns)
    .count("columnStride", attrs.transposed ? depth : 1);
  kernel.index("baseB", lead, scaled(context, stepsB, extents.times(depth, columns)));
  const place = attrs.transposed ? "tile % down, tile / down" : "tile / across, tile % across";
  kernel.function(`fn placeOf(tile: u32, across: u32, down: u32) -> vec2u { return vec2u(${place}); }`);
  declareFinish(kernel, context);
  return kernel.over(
    extents.times(
      batches,
      extents.times(extents.ceilDivide(rows, PLAIN_ROWS), extents.ceilDivide(columns, PLAIN_COLUMNS)),
    ),
  );
}

function subgroupStep(
  context: Context,
  product: Product,
  { rows, vectors }: Extract<ProductTuning, { kind: "subgroup" }>,
): Step<Operand> {
  const { subgroupSize } = context.tunings.products;
  invariant(subgroupSize !== null, "products rely on subgroups of one width");
  const kernel = new KernelBuilder("matmul_subgroup", context.extents);
  kernel.subgroups(subgroupSize).constant("WIDTH", subgroupSize).constant("ROWS", rows).constant("VECTORS", vectors);
  const b = vectorsOf(kernel, context, product);
  return vectorStep(kernel, context, product, { b, rows, columns: 4 * subgroupSize * vectors });
}

function vectorsStep(
  context: Context,
  product: Product,
  { rows, vectors }: Extract<ProductTuning, { kind: "vectors" }>,
): Step<Operand> {
  const kernel = new KernelBuilder("matmul_vectors", context.extents)
    .constant("ROWS", rows)
    .constant("VECTORS", vectors);
  return vectorStep(kernel, context, product, {
    b: vectorsOf(kernel, context, product),
    rows: 8 * rows,
    columns: 32 * vectors,
  });
}

/** How b is read, a weight or another value. */
const strideIn = (b: Operand): number => (b.from === "packed" ? blockStride(b.layout) : 1);
const codecB = ({ stored, inputB }: Context): Codec => stored.packed ?? stored.reads[inputB]!;

/**
 * b as vectors of four columns, and where they lie: a weight in panels, unless it lies so anyway; another value as it
 * is.
 */
function vectorsOf(kernel: KernelBuilder, context: Context, product: Product): Operand {
  const { attrs, weights, inputB, unpacked, pairs } = context;
  const lies =
    unpacked && !attrs.transposed && pairs === 0 && typeof product.columns === "number" && product.columns % 4 === 0;
  const packs = weights[inputB]! && !lies;
  kernel.function(packs ? panelOffsets(ownTunings(context, product).panel / 4) : ROW_OFFSETS);
  return packs ? panels(context, product) : input(inputB);
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
  invariant(ownTunings(context, product).panel === 64, "a tile is a panel wide");
  return vectorStep(new KernelBuilder("matmul_tiled", context.extents), context, product, {
    b: panels(context, product),
    rows: 64,
    columns: 64,
  });
}

/** The weight b in panels of `panel` columns. */
function panels(context: Context, product: Product, panel = ownTunings(context, product).panel): Operand {
  const { attrs, inputB, pairs } = context;
  const { depth, columns } = product;
  invariant(typeof columns === "number" && typeof depth === "number", "a weight's sizes are known");
  return packed(inputB, {
    kind: "panels",
    depth,
    width: columns,
    transposed: attrs.transposed,
    columns: panel,
    first: 0,
    total: columns,
    pairs,
  });
}

/** The row-major b; concatenated weights as one. */
function asGiven(context: Context, product: Product): Operand {
  const { attrs, inputB, weights } = context;
  if (!weights[inputB] || typeof product.columns !== "number") return input(inputB);
  return panels(context, product, attrs.transposed ? 1 : product.columns);
}

/** The common part of kernels that read vectors of b: one workgroup for each tile of rows and columns. */
function vectorStep(
  kernel: KernelBuilder,
  context: Context,
  product: Product,
  tile: { readonly b: Operand; readonly rows: number; readonly columns: number },
): Step<Operand> {
  const { extents } = context;
  declareLoads(kernel, context, product);
  const codec = codecB(context);
  kernel
    .read("b", codec.four, tile.b)
    .function(codec.readFour("loadB", "b", strideIn(tile.b)))
    .index("matrixB", product.lead, product.stepsB);
  declareFinish(kernel, context);
  const tiles = extents.times(
    extents.ceilDivide(product.rows, tile.rows),
    extents.ceilDivide(product.columns, tile.columns),
  );
  return kernel.dispatch(extents.times(product.batches, tiles));
}

/** The extents, and how a is read. Comes first: what the context's own loads bind are the first inputs. */
function declareLoads(kernel: KernelBuilder, context: Context, product: Product): void {
  const { batches, rows, columns, depth, lead, stepsA } = product;
  kernel.count("batchCount", batches).count("rowCount", rows).count("columnCount", columns).count("depth", depth);
  if (context.loads) context.loads(kernel);
  else {
    const codec = context.stored.reads[0]!;
    kernel
      .read("a", codec.element("f32"), input(0))
      .index("baseA", lead, scaled(context, stepsA, context.extents.times(rows, depth)))
      .function(`${LOADS}\nfn valueA(r: RowA, c: ColA, k: u32) -> f32 { return ${codec.load("a[r.at + k]")}; }`);
  }
}

const LOADS = `struct RowA { at: u32 }
fn rowA(batch: u32, row: u32) -> RowA { return RowA(baseA(batch) + row * depth()); }
alias ColA = u32;
fn colA(k: u32) -> ColA { return k; }`;

/** What is done with the sums. */
function declareFinish(kernel: KernelBuilder, { results, finishes, stored }: Context): void {
  if (finishes) finishes(kernel);
  else
    kernel
      .write("y", stored.writes[0]!.element("f32"), result())
      .function(rounding(stored.writes[0]!, typeAt(results, 0).dtype))
      .function(FINISH);
}

const FINISH = `alias Sums = f32;
const ROW_SUMS = 0u;
fn finish(batch: u32, row: u32, column: u32, x: vec4f) -> Sums {
  let at = (batch * rowCount() + row) * columnCount() + column;
  for (var c = column; c < min(column + 4u, columnCount()); c++) { y[at + c - column] = rounded(x[c - column]); }
  return 0.0;
}
fn keep(batch: u32, row: u32, panel: u32, sums: Sums) {}`;

const scaled = ({ extents }: Context, steps: readonly Size[], size: Size): Size[] =>
  steps.map((s) => extents.times(s, size));

/** By operator. */
export const productSpecs = { matmul };
