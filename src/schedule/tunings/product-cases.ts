// Types of the tunings of matrix products: the kernel and its tile by the number of rows, and what takes the place of
// matrix units.
import type { MatrixTuning } from "./matrix.js";

/**
 * The kernel of a product a · b. All kernels sum over k in the same order and blocks, so a row has the same bits in
 * every tile.
 */
export type ProductTuning =
  /** `matmul.wgsl`: an invocation owns 4 × 8; b in any order. */
  | { readonly kind: "plain" }
  /** `matmul_vectors.wgsl`: an invocation owns `rows` × 4 `vectors`. */
  | { readonly kind: "vectors"; readonly rows: number; readonly vectors: number }
  /** `matmul_subgroup.wgsl`: a workgroup is a subgroup; a tile is as many panels wide as there are vectors. */
  | { readonly kind: "subgroup"; readonly rows: number; readonly vectors: number }
  /** `matmul_tiled.wgsl`: tiles of 16 `rows` × 64 through workgroup memory; an invocation owns `rows` × 4. */
  | { readonly kind: "tiled"; readonly rows: number }
  /** On matrix units, which round operands to f16 and sum in an order of their own: only where b is stored so. */
  | MatrixTuning;

/** The tuning of products with at most `most` rows; null: any number. */
export interface ProductCase {
  readonly most: number | null;
  readonly tuning: ProductTuning;
}

/** The cases of products by a weight. */
export interface CasesByRows {
  /**
   * Cases if the number of rows is known at compile time: the first that fits applies; only the last fits any number.
   */
  readonly byWeight: readonly ProductCase[];
  /** Cases if it is known only at run time: all are compiled, and all but one skipped in a run. */
  readonly byWeightAnyRows: readonly ProductCase[];
}

/** How products by a weight are computed. */
export interface WeightTunings extends CasesByRows {
  /**
   * Columns of a panel of packed weights, the same in all cases, so that a weight is stored once. Four times the
   * subgroup size; 64 if a case is tiled.
   */
  readonly panel: number;
  /** For operands that may be rounded to f16, where they have cases of their own: left out, they take the others. */
  readonly rounding?: CasesByRows;
}

/** Tunings for weights of one shape. */
export interface ShapeTunings extends WeightTunings {
  readonly depth: number;
  readonly columns: number;
}

export interface ProductTunings extends WeightTunings {
  /** The required subgroup size; null if no case depends on it. */
  readonly subgroupSize: number | null;
  /** Products of fewer columns use the plain kernel, unless their shape is listed. */
  readonly leastColumns: number;
  /** Weight shapes with their own tunings. */
  readonly shapes: readonly ShapeTunings[];
  /** For products by a computed (unpacked) b with a multiple of four columns. */
  readonly byValue: ProductTuning;
  /**
   * Workgroups that fill the device: sums over tokens of which each tile makes fewer divide their depth. Left out: none
   * do.
   */
  readonly workgroups?: number;
  /** The same for operands that may be rounded to f16; left out: as the others. */
  readonly roundingByValue?: ProductTuning;
}

/** The tunings of a weight of this shape. */
export function weightTunings(tunings: ProductTunings, depth: number, columns: number): WeightTunings {
  const own = tunings.shapes.find((s) => s.depth === depth && s.columns === columns);
  if (own) return tunings.rounding && !own.rounding ? { ...own, rounding: tunings.rounding } : own;
  return columns < tunings.leastColumns ? { panel: tunings.panel, byWeight: PLAIN, byWeightAnyRows: PLAIN } : tunings;
}

const PLAIN: readonly ProductCase[] = [{ most: null, tuning: { kind: "plain" } }];

/**
 * Whether the kernel of a case, and the one in place of matrix units, can give sums over each row of the result beside
 * it, one for each panel of columns.
 */
export function supportsRowSums(tuning: ProductTuning, panel: number, subgroupSize: number | null): boolean {
  if (tuning.kind !== "matrix") return tuning.kind === "subgroup" || tuning.kind === "tiled";
  // A panel's lanes lie side by side in a subgroup, which has a power of two of them.
  const together = subgroupSize !== null && subgroupSize % (panel / 4) === 0;
  return (
    together &&
    tuning.columns % panel === 0 &&
    supportsRowSums(exactTuning(tuning, panel, subgroupSize), panel, subgroupSize)
  );
}

/**
 * The kernel in place of one on matrix units, for a product that must not round its operands; `panel`: columns of a
 * panel of b, or null where it is not packed.
 */
export function exactTuning(tuning: ProductTuning, panel: number | null, subgroupSize: number | null): ProductTuning {
  if (tuning.kind !== "matrix") return tuning;
  if (subgroupSize !== null && panel === 4 * subgroupSize) return { kind: "subgroup", rows: 16, vectors: 2 };
  return panel === 64 ? { kind: "tiled", rows: tuning.rows < 128 ? 4 : 8 } : { kind: "vectors", rows: 4, vectors: 2 };
}
