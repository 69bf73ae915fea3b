// Tunings: which algorithm and tile a kernel takes, by class of device and shape. Data, so that they can be measured, shipped and saved.
import type { DeviceClass, Target } from "../program/target.js";

/** How a product a · b is computed. All sum over k in the same order and the same blocks, so a row has the same bits in every tile. */
export type ProductTuning =
  /** `matmul.wgsl`: an invocation owns 4 × 8; b in any order. */
  | { readonly kind: "plain" }
  /** `matmul_vectors.wgsl`: an invocation owns `rows` × 4 `vectors`. */
  | { readonly kind: "vectors"; readonly rows: number; readonly vectors: number }
  /** `matmul_subgroup.wgsl`: a workgroup is a subgroup; a tile is as many panels wide as there are vectors. */
  | { readonly kind: "subgroup"; readonly rows: number; readonly vectors: number }
  /** `matmul_tiled.wgsl`: 64 × 64 through workgroup memory. */
  | { readonly kind: "tiled" };

/** The tuning of products of at most so many rows. */
export interface ProductCase {
  readonly most: number;
  readonly tuning: ProductTuning;
}

export interface ProductTunings {
  /** The width of subgroups these are for; null where none relies on it. */
  readonly subgroupSize: number | null;
  /** Columns of a panel of packed weights, the same in all cases, so that a weight is kept once. Four times the width of a subgroup; 64 where a case is tiled. */
  readonly panel: number;
  /** Products of fewer columns are plain. */
  readonly leastColumns: number;
  /** By a weight, where the number of rows is known when compiling: the first that fits; the last fits all. */
  readonly byWeight: readonly ProductCase[];
  /** By a weight, where it is known when running: each of these is compiled, and all but one skipped. */
  readonly byWeightAnyRows: readonly ProductCase[];
  /** By what is computed, row after row, of a multiple of four columns. */
  readonly byValue: ProductTuning;
}

export interface Tunings {
  readonly products: ProductTunings;
}

const subgroup = (most: number, rows: number, vectors: number): ProductCase => ({ most, tuning: { kind: "subgroup", rows, vectors } });
const vectors = (most: number, rows: number, count: number): ProductCase => ({ most, tuning: { kind: "vectors", rows, vectors: count } });

/** Nothing is known: no subgroups, no workgroup memory, whole vectors, and neighbours that read side by side. */
const PORTABLE: ProductTunings = {
  subgroupSize: null,
  panel: 32,
  leastColumns: 32,
  byWeight: [vectors(8, 1, 1), vectors(Infinity, 4, 2)],
  byWeightAnyRows: [vectors(Infinity, 4, 2)],
  byValue: { kind: "vectors", rows: 4, vectors: 2 },
};

/**
 * Measured on Mesa 25.0.7 with LLVM 19, two Zen 4 cores: 32 rows or 4 vectors are no faster and take twice as long to compile; for one row a single vector
 * is as fast as two.
 */
const MESA: ProductTunings = {
  subgroupSize: 8,
  panel: 32,
  leastColumns: 16,
  byWeight: [subgroup(1, 1, 1), subgroup(4, 4, 1), subgroup(8, 8, 2), subgroup(Infinity, 16, 2)],
  byWeightAnyRows: [subgroup(4, 4, 1), subgroup(Infinity, 16, 2)],
  byValue: { kind: "vectors", rows: 4, vectors: 2 },
};

/** Not measured: tiles of 64 × 64 with 4 × 4 an invocation are what published kernels for such devices use; few rows are bound by reading b, each value once. */
const GPU: ProductTunings = {
  subgroupSize: null,
  panel: 64,
  leastColumns: 32,
  byWeight: [vectors(8, 1, 1), { most: Infinity, tuning: { kind: "tiled" } }],
  byWeightAnyRows: [vectors(8, 1, 1), { most: Infinity, tuning: { kind: "tiled" } }],
  byValue: { kind: "vectors", rows: 4, vectors: 2 },
};

const PRODUCTS: { readonly [C in DeviceClass]: ProductTunings } = {
  portable: PORTABLE,
  "mesa-software": MESA,
  swiftshader: PORTABLE,
  integrated: GPU,
  discrete: GPU,
};

/** The tunings of a device; those of any device where its subgroups are not as its class has them. */
export function tuningsFor({ device, subgroupSize }: Target): Tunings {
  const products = PRODUCTS[device];
  return { products: products.subgroupSize === null || products.subgroupSize === subgroupSize ? products : PORTABLE };
}
