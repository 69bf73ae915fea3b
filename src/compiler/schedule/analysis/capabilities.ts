// Capabilities of a product's kernels, by the tunings of its shape.
import { isOp } from "../../ir/graph.js";
import type { RowProduct } from "./consumers.js";
import type { Extents } from "./extents.js";
import { productWeights } from "./side-by-side.js";
import { allCases, supportsRowSums, weightTunings, type ProductTunings } from "../tunings/product-cases.js";

export interface ProductCapabilities {
  /** Whether b is a weight that is packed for its kernels. */
  readonly packs: boolean;
  /** Columns of the panel over which every kernel of the shape can compute row sums; null where some kernel cannot. */
  readonly sumsOver: number | null;
}

export function capabilitiesOf(product: RowProduct, tunings: ProductTunings, extents: Extents): ProductCapabilities {
  const [depth, columns, rows] = [
    product.inputs[0].types[0]!.shape.at(-1)!,
    product.types[0]!.shape.at(-1)!,
    product.types[0]!.shape.slice(0, -1),
  ];
  const packs = productWeights(product) !== null;
  if (isOp(product, "grouped_matmul")) return { packs, sumsOver: null };
  if (!packs || typeof depth !== "number" || typeof columns !== "number") return { packs, sumsOver: null };
  const weightCases = weightTunings(tunings, depth, columns);
  const count = extents.product(rows);
  // Which of them it takes is known only when its operands' types and memory are.
  const packingCases = allCases(weightCases).flatMap(({ byWeight, byWeightAnyRows }) =>
    typeof count === "number"
      ? byWeight.filter((c) => c.most === null || count <= c.most).slice(0, 1)
      : byWeightAnyRows,
  );
  const sums = packingCases.every((c) => supportsRowSums(c.tuning, weightCases.panel, tunings.subgroupSize));
  return { packs, sumsOver: sums ? weightCases.panel : null };
}
