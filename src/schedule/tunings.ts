// Tunings: which algorithm and tile a kernel takes, by class of device and shape. Data, so that they can be measured, shipped and saved.
import type { DeviceClass, Target } from "../program/target.js";

/** How a product a · b is computed. All sum over k in the same order and the same blocks, so a row has the same bits in every tile of a device. */
export type ProductTuning =
  /** `matmul.wgsl`: an invocation owns 4 × 8, b as it lies. */
  | { readonly kind: "plain" }
  /** `matmul_subgroup.wgsl`: a workgroup is a subgroup, b is packed in panels. */
  | { readonly kind: "subgroup"; readonly rows: number; /** Panels a tile is wide. */ readonly vectors: number };

/** The tuning of products of at most so many rows. */
export interface ProductCase {
  readonly most: number;
  readonly tuning: ProductTuning;
}

export interface ProductTunings {
  /** Weights of fewer columns are not worth a panel. */
  readonly leastColumns: number;
  /** By a weight, where the number of rows is known when compiling: the first that fits; the last fits all. */
  readonly byWeight: readonly ProductCase[];
  /** By a weight, where it is known when running: each of these is compiled, and all but one skipped. */
  readonly byWeightAnyRows: readonly ProductCase[];
}

const PLAIN: readonly ProductCase[] = [{ most: Infinity, tuning: { kind: "plain" } }];
const ALL_PLAIN: ProductTunings = { leastColumns: 0, byWeight: PLAIN, byWeightAnyRows: PLAIN };

const subgroup = (most: number, rows: number, vectors: number): ProductCase => ({ most, tuning: { kind: "subgroup", rows, vectors } });

/** Measured on Mesa 25.0.7 and LLVM 19 (two Zen 4 cores): 32 rows or 4 vectors are no faster and take twice as long to compile. */
const MESA: ProductTunings = {
  leastColumns: 16,
  byWeight: [subgroup(1, 1, 1), subgroup(4, 4, 1), subgroup(8, 8, 2), subgroup(Infinity, 16, 2)],
  byWeightAnyRows: [subgroup(4, 4, 1), subgroup(Infinity, 16, 2)],
};

const PRODUCTS: { readonly [C in DeviceClass]: ProductTunings } = {
  portable: ALL_PLAIN,
  "mesa-software": MESA,
  swiftshader: ALL_PLAIN,
  integrated: ALL_PLAIN,
  discrete: ALL_PLAIN,
};

export function productTunings({ device, subgroupSize }: Target): ProductTunings {
  const tunings = PRODUCTS[device];
  const relies = [...tunings.byWeight, ...tunings.byWeightAnyRows].some(({ tuning }) => tuning.kind === "subgroup");
  return relies && subgroupSize === null ? ALL_PLAIN : tunings;
}
