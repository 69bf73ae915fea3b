// The kernels of a matrix product and their tiles: what each reads, computes and stores.
import { invariant } from "../../../ground/base/invariant.js";
import { blockStride } from "../../../runtime/program/program.js";
import { encodings } from "../../../runtime/program/encodings/index.js";
import { TEXELS } from "../../../runtime/program/textures.js";
import type { OpAttrs } from "../../ir/vocabulary.js";
import type { Size } from "../../../ground/size/size.js";
import { rounding, type Codec } from "../codecs/codec.js";
import { reduced } from "../codecs/reduced.js";
import { inBuffer, inTexture } from "../codecs/elements.js";
import type { Step } from "../plan/plan.js";
import type { ProductTuning } from "../tunings/index.js";
import { bringsAhead, shapeOf, type MatrixTuning } from "../tunings/matrix.js";
import { weightTunings, type OperandKind, type WeightTunings } from "../tunings/product-cases.js";
import { halves } from "../codecs/f16.js";
import * as texts from "./product-texts.js";
import { declareSizes, type LoadKind, type Taking } from "./product-texts.js";
import type { Tiles } from "./product-tiles.js";
import { FOUR_COLUMNS, NO_SUM, ONE_COLUMN, rowChunk, rowLanes, rowWidth, summedLanes } from "./row-products.js";
import { input, KernelBuilder, packed, result, typeAt, type Operand, type KernelContext } from "./spec.js";

/** The fused prologue and epilogue of a product's kernel. */
export interface MatmulContext {
  /**
   * If the kernel computes a: binds the operands as the first inputs, and declares `RowA`, `rowA`, `ColA`, `colA` and
   * `valueA` (see the kernels of products), with `letter` in place of A. `finishes`: whether the
   * kernel stores the result too, whose memory it may share. `kind`: "fours": `ColA` and `valueA` may be of four k from
   * a multiple of 4 on, as the depth is one; returns whether they are. "apart": loads stand apart (`declareRows`).
   * Null: a is input 0, unpacked.
   */
  readonly loads:
    | ((kernel: KernelBuilder, letter?: string, finishes?: boolean, kind?: LoadKind) => boolean | void)
    | null;
  /**
   * If the product does more with its sums than store them: binds the further operands, after b, and declares `finish`,
   * `Sums`, `ROW_SUMS` and `keep`, and `Taken` and `take` if the kernel takes. Columns are those of the packed b. Null:
   * the result is stored, row-major.
   */
  readonly finishes: ((kernel: KernelBuilder, taking: Taking) => void) | null;
  /**
   * If a product of at most `rows` rows makes its prologue's sum over each row: `declare` gives the values to sum (see
   * `matmul_row.wgsl`), and `loads` reads `ownSum` for the sum. Null: the prologue has no sum, or reads it from memory.
   */
  readonly ownSum: {
    readonly rows: number;
    readonly loads: NonNullable<MatmulContext["loads"]>;
    readonly declare: (kernel: KernelBuilder) => void;
  } | null;
  /** The input number of b: 1, or after the inputs that `loads` binds. */
  readonly inputB: number;
  /** Whether b, though a weight, is also available row-major, and packing it costs time. */
  readonly unpacked: boolean;
  /** The index of the input with the starts of groups, if rows are in groups. */
  readonly inputStarts: number;
  /**
   * Half the width of a rotary head whose pairs of columns lie side by side in the packed b; 0: columns in their order.
   */
  readonly pairs: number;
}

/** A product for its kernels: with one matrix per batch, or a matrix per group of rows. */
export type ProductContext = Omit<KernelContext<"matmul" | "grouped_matmul" | "grouped_contract">, "attrs"> &
  MatmulContext & { readonly attrs: Pick<OpAttrs["matmul"], "transposed" | "roundsB"> };

/** A product as rows of a by matrices of b. */
export interface Product {
  readonly batches: Size;
  readonly rows: Size;
  readonly columns: Size;
  readonly depth: Size;
  /** Leading dimensions the batches are counted over; none if one b serves all rows. */
  readonly lead: readonly Size[];
  /** For each leading dimension, how many matrices of a and of b a step along it crosses. */
  readonly stepsA: readonly Size[];
  readonly stepsB: readonly Size[];
  readonly tiles: Tiles;
  /**
   * The number of matrices of b, if each multiplies only a group of rows; null if each row meets every matrix of its
   * batch.
   */
  readonly groups: number | null;
}

type Context = ProductContext;

/** The tunings for the product's weight. */
export function ownTunings({ tunings }: ProductContext, { depth, columns }: Product): WeightTunings {
  invariant(typeof columns === "number" && typeof depth === "number", "a weight's sizes are known");
  return weightTunings(tunings.products, depth, columns);
}

/** The step of a product with a kernel that reads a without packing. */
export function stepOf(
  context: Context,
  product: Product,
  tuning: Exclude<ProductTuning, { kind: "packed" }>,
): Step<Operand> {
  switch (tuning.kind) {
    case "plain":
      return plainStep(context, product);
    case "subgroup":
      return subgroupStep(context, product, tuning);
    case "vectors":
      return vectorsStep(context, product, tuning);
    case "row":
      return rowStep(context, product, tuning);
    case "tiled":
      return tiledStep(context, product, tuning);
    case "matrix":
      return matrixStep(context, product, tuning);
    default:
      return tuning satisfies never;
  }
}

const PLAIN_ROWS = 4;
const PLAIN_COLUMNS = 8;

function plainStep(context: Context, product: Product): Step<Operand> {
  const { attrs, extents } = context;
  const { columns, depth } = product;
  const [b, codec] = [asGiven(context, product), codecB(context)];
  const kernel = new KernelBuilder("matmul", extents);
  declareLoads(kernel, context, product);
  kernel
    .read("b", codec.one, b)
    .function(codec.readOne("loadB", "b", strideIn(b)))
    .count("depthStride", attrs.transposed ? 1 : columns)
    .count("columnStride", attrs.transposed ? depth : 1);
  kernel.index("matrixB", product.lead, product.stepsB);
  kernel.function(`${product.tiles.firstB}\nfn baseB(batch: u32) -> u32 { return firstB(matrixB(batch)); }`);
  product.tiles.declare(kernel, attrs.transposed ? "down" : "across");
  declareFinish(kernel, context, product);
  return kernel.over(
    extents.times(product.tiles.count(PLAIN_ROWS, extents), extents.ceilDivide(columns, PLAIN_COLUMNS)),
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
    .holdsMany()
    .constant("ROWS", rows)
    .constant("VECTORS", vectors);
  return vectorStep(kernel, context, product, {
    b: vectorsOf(kernel, context, product),
    rows: 8 * rows,
    columns: 32 * vectors,
  });
}

function rowStep(
  context: Context,
  product: Product,
  { rows, vectors }: Extract<ProductTuning, { kind: "row" }>,
): Step<Operand> {
  const codec = codecB(context);
  const chunk = rowChunk(product.depth, rows, vectors, codec.matrix);
  const { ownSum, tunings } = context;
  const { ahead = false } = tunings.products;
  const kernel = new KernelBuilder("matmul_row", context.extents).holdsMany();
  if (ahead) kernel.fixes();
  const b = vectorsOf(kernel, context, product);
  const asStored = bytesInTexture(context, b) === null && context.attrs.roundsB === undefined;
  const width = ahead && asStored ? rowWidth(rows, product.columns, codec) : 4;
  kernel
    .finishes(context.pairs > 0 ? 2 : 1)
    .constant("LANES", rowLanes(product.depth, (4 / width) * vectors, codec.matrix.block, chunk))
    .constant("ROWS", rows)
    .constant("VECTORS", vectors)
    .constant("WIDTH", width)
    .constant("CHUNK", chunk)
    .constant("SCALED", codec.matrix.scaled ? 1 : 0)
    .constant("AHEAD", ahead ? 1 : 0)
    .constant("SURE", product.tiles.whole && context.extents.deviceSize(product.rows) === null ? 1 : 0)
    .constant("SUMMED", ownSum ? summedLanes(tunings.rowSums, product.depth) : 0);
  const loading = ownSum ? { ...context, loads: ownSum.loads } : context;
  const step = vectorStep(kernel, loading, product, { b, rows, columns: 4 * vectors, few: width });
  if (ownSum) ownSum.declare(kernel);
  else kernel.function(NO_SUM);
  return step;
}

/** How b is read, a weight or another value. */
const strideIn = (b: Operand): number => (b.from === "packed" ? blockStride(b.layout) : 1);
function codecB({ stored, inputB, attrs }: Context): Codec {
  const codec = stored.packed ?? stored.reads[inputB]!;
  return attrs.roundsB === undefined ? codec : reduced(codec, attrs.roundsB);
}

/**
 * Declares how b is read in `vec4f` columns: a weight in panels, unless it is stored in such vectors anyway; another
 * value unpacked.
 */
export function vectorsOf(kernel: KernelBuilder, context: Context, product: Product): Operand {
  const { attrs, weights, inputB, unpacked, pairs } = context;
  const indexText =
    unpacked && !attrs.transposed && pairs === 0 && typeof product.columns === "number" && product.columns % 4 === 0;
  const packs = weights[inputB]! && !indexText;
  if (!packs) {
    kernel.function(`${product.tiles.firstB}\n${texts.ROW_OFFSETS}`);
    return input(inputB);
  }
  const width = ownTunings(context, product).panel / 4;
  kernel.function(
    product.groups !== null && attrs.transposed ? texts.stackedOffsets(width) : texts.panelOffsets(width),
  );
  return panels(context, product);
}

function tiledStep(
  context: Context,
  product: Product,
  { rows, vectors }: Extract<ProductTuning, { kind: "tiled" }>,
): Step<Operand> {
  const isWeight = context.weights[context.inputB]!;
  invariant(!isWeight || ownTunings(context, product).panel === 64, "a tile is one panel wide, or two");
  const { tiles, depth } = product;
  const alternates = rows === 8 && vectors === 1;
  const step = rows === 8 ? 8 : 16; // tiles of two panels have eight rows (`fitsTile`)
  const kernel = new KernelBuilder(alternates ? "matmul_alternating" : "matmul_tiled", context.extents).holdsMany();
  if (!alternates) kernel.constant("ROWS", rows).constant("VECTORS", vectors);
  const depthStep = alternates ? 2 * codecB(context).matrix.block : step;
  kernel
    .constant("STEP", step)
    .constant("WHOLE", tiles.whole && typeof depth === "number" && depth % depthStep === 0 ? 1 : 0);
  const b = vectorsOf(kernel, context, product);
  return vectorStep(kernel, context, product, { b, rows: 16 * rows, columns: 64 * vectors, fours: true });
}

/** Whether a product may round its operands to f16: the options allow it, or f16 holds the values of b, or nearly. */
export const takesHalves = (context: ProductContext): boolean =>
  context.stored.rounds || context.attrs.roundsB === "f16" || encodings[codecB(context).encoding].nearF16;

function matrixStep(context: Context, product: Product, tuning: MatrixTuning): Step<Operand> {
  const { stored, loads, tunings } = context;
  const { subgroupSize: width } = tunings.products;
  invariant(width !== null, "matrix units rely on subgroups of one width");
  invariant(takesHalves(context), "matrix units would round b");
  const { m, n, k, rows, columns, depth, down, across, vectors } = tuning;
  const kernel = new KernelBuilder("matmul_matrix", context.extents).matrices(width, shapeOf(tuning), vectors);
  const constants = { WIDTH: width, M: m, N: n, K: k, ROWS: rows, COLUMNS: columns, DEPTH: depth };
  for (const [name, value] of Object.entries({ ...constants, DOWN: down, ACROSS: across }))
    kernel.constant(name, value);
  kernel.constant("PANEL", context.weights[context.inputB]! ? ownTunings(context, product).panel : 4);
  const { tiles, depth: reached } = product;
  kernel.constant("WHOLE", tiles.whole && typeof reached === "number" && reached % depth === 0 ? 1 : 0);
  kernel.constant("AHEAD", bringsAhead(tuning) ? 1 : 0).constant("SCALED", codecB(context).matrix.scaled ? 1 : 0);
  const exact = !loads && stored.reads[0]!.encoding === "f16" && codecB(context).encoding === "f16";
  kernel
    .function(halves("halves", "vec4f", "vec4<f16>", vectors || exact))
    .function(vectors ? texts.IN_VECTORS : texts.IN_HALVES);
  return vectorStep(kernel, context, product, { b: vectorsOf(kernel, context, product), rows, columns, fours: true });
}

/** The weight b in panels of `panel` columns. */
function panels(context: Context, product: Product, panel = ownTunings(context, product).panel): Operand {
  const { attrs, inputB, pairs } = context;
  const { depth, columns, groups } = product;
  invariant(typeof columns === "number" && typeof depth === "number", "a weight's sizes are known");
  const width = attrs.transposed ? columns * (groups ?? 1) : columns;
  return packed(inputB, {
    kind: "panels",
    depth,
    width,
    transposed: attrs.transposed,
    columns: panel,
    first: 0,
    total: width,
    pairs,
  });
}

const bytesInTexture = ({ stored }: Context, b: Operand): number | null =>
  b.from === "packed" ? stored.inTexture(b.layout) : null;

/** The kinds of operands that a product by a weight has. */
export function kindsOf(context: Context, product: Product): ReadonlySet<OperandKind> {
  return new Set<OperandKind>([
    ...(takesHalves(context) ? ["rounding" as const] : []),
    ...(codecB(context).matrix.scaled ? ["quantized" as const] : []),
    ...(bytesInTexture(context, panels(context, product)) === null ? ["buffered" as const] : []),
  ]);
}

/** The row-major b; concatenated weights as one. */
function asGiven(context: Context, product: Product): Operand {
  const { attrs, inputB, weights } = context;
  if (!weights[inputB] || typeof product.columns !== "number") return input(inputB);
  return panels(context, product, attrs.transposed ? 1 : product.columns);
}

/** The common part of kernels that read vectors of b: one workgroup for each tile of rows and columns. */
export function vectorStep(
  kernel: KernelBuilder,
  context: Context,
  product: Product,
  tile: {
    readonly b: Operand;
    readonly rows: number;
    readonly columns: number;
    readonly loads?: boolean;
    readonly fours?: boolean;
    /** For the kernel of few rows: the number of columns that a lane sums. */
    readonly few?: 1 | 4;
  },
): Step<Operand> {
  const { extents } = context;
  if (tile.fours) declareFours(kernel, context, product);
  else if (tile.few) declareA(declareSizes(kernel, product), context, product, true, "apart");
  else if (tile.loads !== false) declareLoads(kernel, context, product);
  const { encoding, matrix } = codecB(context);
  const { element, block, rows, functions } = matrix;
  const bytes = bytesInTexture(context, tile.b);
  const format = encodings[encoding].texture;
  if (bytes === null) kernel.read("b", element, tile.b);
  else kernel.texture("b", format, element, tile.b);
  const elements = bytes === null ? inBuffer("b") : inTexture("b", () => kernel.size(bytes / TEXELS[format]));
  kernel.constant("BLOCK", block).constant("K_PER_LOAD", rows);
  if (tile.few === 1) kernel.function(ONE_COLUMN);
  else kernel.function(functions(elements, strideIn(tile.b), tile.few === 4));
  if (tile.few === 4) kernel.function(FOUR_COLUMNS);
  kernel.index("matrixB", product.lead, product.stepsB);
  product.tiles.declare(kernel, tile.few ? "few" : "down");
  declareFinish(kernel, context, product, tile.few ? "ahead" : tile.fours ? "with sums" : null);
  return kernel.dispatch(
    extents.times(product.tiles.count(tile.rows, extents), extents.ceilDivide(product.columns, tile.columns)),
  );
}

/** The extents, and how a is read. Comes first: what the context's own loads bind are the first inputs. */
const declareLoads = (kernel: KernelBuilder, context: Context, product: Product): boolean =>
  declareA(declareSizes(kernel, product), context, product, true);

/** The same, if the kernel loads four values of a at once. */
function declareFours(kernel: KernelBuilder, context: Context, product: Product): void {
  const { depth } = product;
  const inFours = typeof depth === "number" && depth % 4 === 0;
  const declared = declareA(declareSizes(kernel, product), context, product, true, inFours ? "fours" : null);
  kernel.function(declared ? texts.FOUR : texts.FOUR_OF_VALUES);
}

/** Declares the loads of a; returns whether it is read four values at once. For the rest, see `MatmulContext.loads`. */
export function declareA(
  kernel: KernelBuilder,
  context: Context,
  product: Product,
  finishes: boolean,
  kind: LoadKind = null,
): boolean {
  const { rows, depth, lead, stepsA } = product;
  if (context.loads) return context.loads(kernel, "A", finishes, kind) === true;
  const codec = context.stored.reads[0]!;
  const fours = kind === "fours";
  kernel
    .read("a", fours ? codec.four : codec.element("f32"), input(0))
    .index("baseA", lead, scaled(context, stepsA, context.extents.times(rows, depth)));
  const value = codec.load("a[r.at + k]");
  if (fours) kernel.function(`${codec.readFour("fourIn", inBuffer("a"), 1)}\n${texts.ROWS_OF_A}\n${texts.VALUE_FOUR}`);
  else kernel.function(`${texts.ROWS_OF_A}\n${kind === "apart" ? texts.valueTaken(value) : texts.valueOf(value)}`);
  return fours;
}

/** Declares the computation on the finished sums. */
export function declareFinish(
  kernel: KernelBuilder,
  { results, finishes, stored }: Context,
  { tiles }: Product,
  taking: Taking = null,
): void {
  if (finishes) finishes(kernel, taking);
  else
    kernel
      .write("y", stored.writes[0]!.element("f32"), result())
      .function(rounding(stored.writes[0]!, typeAt(results, 0).dtype))
      .function(texts.storing(tiles.row, kernel.finished, taking));
}

const scaled = ({ extents }: Context, steps: readonly Size[], size: Size): Size[] =>
  steps.map((s) => extents.times(s, size));
