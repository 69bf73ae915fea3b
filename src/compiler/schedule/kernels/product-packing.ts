// Products whose rows a kernel packs before: in panels of rows side by side, as subgroups read them from a texture.
import { invariant } from "../../../ground/base/invariant.js";
import { PACKED_WIDTH } from "../../../runtime/program/textures.js";
import { addSizes, type Size } from "../../../ground/size/size.js";
import type { Step } from "../plan/plan.js";
import type { ProductTuning } from "../tunings/index.js";
import { declareA, stepOf, vectorsOf, vectorStep, type Product, type ProductContext } from "./product-kernels.js";
import { declareSizes } from "./product-texts.js";
import { KernelBuilder, scratch, type Operand } from "./spec.js";

/** The steps of a product with this kernel, of which the last computes it. */
export const stepsOf = (context: ProductContext, product: Product, tuning: ProductTuning): readonly Step<Operand>[] =>
  tuning.kind === "packed"
    ? [packStep(context, product), packedStep(context, product, tuning)]
    : [stepOf(context, product, tuning)];

function packedStep(
  context: ProductContext,
  product: Product,
  { rows, vectors }: Extract<ProductTuning, { kind: "packed" }>,
): Step<Operand> {
  const width = packedRows(context);
  const kernel = new KernelBuilder("matmul_packed", context.extents);
  kernel.subgroups(width).constant("WIDTH", width).constant("ROWS", rows).constant("VECTORS", vectors);
  kernel.texture("packed", "packed", "vec4f", scratch());
  declareSizes(kernel, product);
  kernel.function(PACKED);
  const b = vectorsOf(kernel, context, product);
  return vectorStep(kernel, context, product, { b, rows, columns: 4 * width * vectors, loads: false });
}

/** How many k a workgroup packs. */
const PACK_CHUNK = 256;
/** k of packed rows are padded to a multiple of what any kernel reads at once. */
const PACKED_STEP = 8;

/** `WIDTH`: the rows of a panel. */
const PACKED = `fn packedDepth() -> u32 {
  return (depth() + ${PACKED_STEP - 1}u) / ${PACKED_STEP}u * ${PACKED_STEP / 4}u;
}
fn packedPanel(tile: Tile) -> u32 { return tile.first / WIDTH + tile.batch; }
fn packedAt(at: u32) -> vec2u { return vec2u(at % ${PACKED_WIDTH}u, at / ${PACKED_WIDTH}u); }`;

/** The step that packs a. */
function packStep(context: ProductContext, product: Product): Step<Operand> {
  const { extents } = context;
  const width = packedRows(context);
  const kernel = new KernelBuilder("pack_rows", extents).constant("WIDTH", width).constant("CHUNK", PACK_CHUNK);
  const { batches, rows, depth } = product;
  kernel.count("batchCount", batches).count("rowCount", rows).count("depth", depth);
  declareA(kernel, context, product, false);
  kernel.texture("packed", "packed_write", "vec4f", scratch());
  product.tiles.declare(kernel, "down");
  kernel.function(PACKED);
  const chunks = extents.ceilDivide(product.depth, PACK_CHUNK);
  return kernel.dispatch(extents.times(product.tiles.count(width, extents), chunks));
}

/** Rows of a panel: as many as a subgroup has lanes, which load them at once. */
function packedRows({ tunings }: ProductContext): number {
  const { subgroupSize } = tunings.products;
  invariant(subgroupSize !== null, "products rely on subgroups of one width");
  return subgroupSize;
}

/** Bytes of packed rows: each group may leave a panel that is not full. */
export function packedBytes(context: ProductContext, { rows, depth, groups }: Product): Size {
  const [{ extents }, width] = [context, packedRows(context)];
  const panels = addSizes(extents.ceilDivide(rows, width), groups ?? 0);
  return extents.times(extents.times(4 * width * PACKED_STEP, extents.ceilDivide(depth, PACKED_STEP)), panels);
}

/** Whether a product's rows can be packed: each row must meet only one matrix. */
export const mayPack = ({ lead, groups }: Product): boolean => lead.length === 0 || groups !== null;
