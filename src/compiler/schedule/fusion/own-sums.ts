// Sums over rows that a product's kernel of few rows makes itself, where its prologue needs one, as that of a norm: a
// step of generation has a dispatch fewer for each norm.
import { isOp } from "../../ir/graph.js";
import { equalShapes } from "../../ir/typing.js";
import { valuesOf, type Expression, type Leaf } from "../addressing/expression.js";
import { splitsByRow } from "../addressing/expression-text.js";
import type { Affine } from "../addressing/access.js";
import { isRowMajor, type Value } from "../addressing/layout.js";
import type { Layouts } from "../addressing/layouts.js";
import type { Extents } from "../analysis/extents.js";
import { productWeights } from "../analysis/side-by-side.js";
import type { FusionOptions } from "./partition.js";
import { allCases, weightTunings } from "../tunings/product-cases.js";
import type { Tunings } from "../tunings/index.js";
import type { Fusion } from "./fusion.js";
import { summedShape } from "./row-groups.js";

interface Own {
  readonly sum: Value;
  /** The most rows for which the kernel can make the sum. */
  readonly rows: number;
  /** What is summed, and what the product loads with the sum in place of the value. */
  readonly summed: Expression;
  readonly loaded: Expression;
  /** The indices, one after the other, by which a row of the product finds its row of what is summed. */
  readonly through: readonly Value[];
}

/** The sum that the product can make itself; null where there is none. `elsewhere`: what its epilogues read. */
export function ownSumOf(
  { product, prologue }: Fusion,
  loaded: Expression,
  elsewhere: readonly Value[],
  layouts: Layouts,
  { extents, partition, tunings }: FusionOptions,
): Own | null {
  // Only products by a weight have cases of one row each.
  if (!prologue || !isOp(product, "matmul") || productWeights(product) === null) return null;
  const rows = mostRows(product.inputs[0].types[0]!.shape.at(-1), product.types[0]!.shape.at(-1), tunings);
  const [sum, ...others] = [...prologue.reads].filter((n) => partition.rowGroups.has(n));
  const group = sum && partition.rowGroups.get(sum);
  if (rows === 0 || !sum || others.length > 0 || !group || group.sums.length > 1) return null;
  const [first] = group.sums;
  const shape = summedShape(first!);
  const value = layouts.valueOf(sum);
  if (elsewhere.includes(value)) return null;
  const through = pathOf(loaded, value, extents);
  const matches = through?.length === 0 ? equalShapes(shape, loaded.shape) : shape.at(-1) === loaded.shape.at(-1);
  if (!through || !matches) return null;
  const summed = layouts.expression([first!.inputs[0]], shape, group.nodes);
  // It reads nothing that the product would not read anyway.
  const reads = new Set(valuesOf([loaded]));
  if (!splitsByRow(summed) || valuesOf([summed]).some((v) => !reads.has(v))) return null;
  const leaves = loaded.leaves.map((leaf): Leaf =>
    leaf.kind === "memory" && leaf.value === value ? { kind: "row sum", dtype: leaf.dtype } : leaf,
  );
  return { sum: value, rows, summed, loaded: { ...loaded, leaves }, through };
}

/** The indices by which a row of the expression reads one row of the value; null if the expression does not read so. */
function pathOf({ leaves, shape }: Expression, value: Value, extents: Extents): readonly Value[] | null {
  const memory = leaves.filter((l) => l.kind === "memory");
  const [leaf, ...others] = memory.filter((l) => l.value === value);
  if (!leaf || others.length > 0 || memory.some(({ access }) => access.indexed?.indices.includes(value))) return null;
  const { affine, indexed } = leaf.access;
  const isRow = ({ strides, offset }: Affine): boolean =>
    strides.at(-1) === 0 && isRowMajor(extents, { value, strides: strides.slice(0, -1), offset, parts: 1 }, lead);
  const lead = shape.slice(0, -1);
  if (leaf.dtype !== "f32" || leaf.parts !== 1) return null;
  if (!indexed) return isRow(affine) ? [] : null;
  const isThere = affine.offset === 0 && affine.strides.every((s) => s === 0);
  return isThere && indexed.times === 1 && isRow(indexed.at) ? indexed.indices : null;
}

/** Up to how many rows every kernel that a product by this weight may take is that of one row at a time. */
function mostRows(depth: unknown, columns: unknown, { products, rowSums }: Tunings): number {
  if (typeof depth !== "number" || typeof columns !== "number" || rowSums.kind !== "wide") return 0;
  const firsts = allCases(weightTunings(products, depth, columns)).flatMap(({ byWeight, byWeightAnyRows }) =>
    [byWeight[0], byWeightAnyRows[0]].map((c) => (c?.tuning.kind === "row" && c.tuning.rows === 1 ? (c.most ?? 0) : 0)),
  );
  // The product takes one of the lists: the sums' own kernel runs for more rows than any of them.
  return firsts.every((most) => most === firsts[0]) ? firsts[0]! : 0;
}
