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
  /**
   * `matmul_row.wgsl`: for few rows or few columns; a workgroup of 64 makes `rows` × 4 `vectors`, and shares out k
   * among its lanes.
   */
  | { readonly kind: "row"; readonly rows: number; readonly vectors: number }
  /** `matmul_subgroup.wgsl`: a workgroup is a subgroup; a tile is as many panels wide as there are vectors. */
  | { readonly kind: "subgroup"; readonly rows: number; readonly vectors: number }
  /** `matmul_packed.wgsl`: the same, of rows that `pack_rows.wgsl` packed into a texture before. */
  | { readonly kind: "packed"; readonly rows: number; readonly vectors: number }
  /**
   * `matmul_tiled.wgsl`: tiles of 16 `rows` × 64 `vectors` through workgroup memory; an invocation owns `rows` × 4
   * `vectors`. With 8 rows and one vector it is `matmul_alternating.wgsl`, which has the same tile.
   */
  | { readonly kind: "tiled"; readonly rows: number; readonly vectors: number }
  /** On matrix units, which round operands to f16 and sum in an order of their own: only if b is stored in f16 or narrower. */
  | MatrixTuning;

/** Whether a workgroup is a subgroup, each of whose lanes makes four columns of a panel. */
export const isSubgroup = (tuning: ProductTuning): tuning is Extract<ProductTuning, { kind: "subgroup" | "packed" }> =>
  tuning.kind === "subgroup" || tuning.kind === "packed";

/** The tuning of products with at most `most` rows; null: any number. */
export interface ProductCase {
  readonly most: number | null;
  /** The least columns of a weight for this case. A later case with the same `most` covers narrower weights. */
  readonly columns?: number;
  readonly tuning: ProductTuning;
}

/** The cases of products by a weight. */
export interface CasesByRows {
  /**
   * Cases if the number of rows is known at compile time: the first that fits rows and columns applies. The last fits
   * any.
   */
  readonly byWeight: readonly ProductCase[];
  /** Cases if it is known only at run time: of those that fit the columns all are compiled, and one runs. */
  readonly byWeightAnyRows: readonly ProductCase[];
}

/** Kinds of operands that may have separate cases. A product of several kinds takes the first that has cases. */
export const OPERANDS = ["quantized", "rounding", "buffered"] as const;
/**
 * `quantized`: the weight is integers with scales. `rounding`: operands may be rounded to f16. `buffered`: the weight
 * is read from a buffer, on a device that reads weights from textures where it can.
 */
export type OperandKind = (typeof OPERANDS)[number];

/** How products by a weight are computed. Kinds without cases of their own take the others. */
export interface WeightTunings extends CasesByRows, Readonly<Partial<Record<OperandKind, CasesByRows>>> {
  /**
   * Columns of a panel of packed weights, the same in all cases, so that a weight is stored once. Four times the
   * subgroup size; 64 if a case is tiled.
   */
  readonly panel: number;
}

/** Tunings for weights of one shape. */
export interface ShapeTunings extends WeightTunings {
  readonly depth: number;
  readonly columns: number;
}

export interface ProductTunings extends WeightTunings {
  /** The required subgroup size; null if no case depends on it. */
  readonly subgroupSize: number | null;
  /** Products of fewer columns use the narrow cases, unless their shape is listed. */
  readonly leastColumns: number;
  /** Cases of kind `row` for narrow weights; by default the plain kernel. */
  readonly narrow?: CasesByRows;
  /** Weight shapes with their own tunings. */
  readonly shapes: readonly ShapeTunings[];
  /**
   * Whether tiles are halved in width if that saves a quarter of the computed columns, or if there are too few tiles.
   * Listed shapes keep their tiles. Default false.
   */
  readonly narrows?: boolean;
  /** Whether kernels of few rows load b before they bring a, which costs registers. Default false. */
  readonly ahead?: boolean;
  /** For products by a computed (unpacked) b with a multiple of four columns. */
  readonly byValue: ProductTuning;
  /**
   * Workgroups that fill the device. If a gradient of weights has fewer tiles, its depth is split into parts (split-K).
   * By default none is.
   */
  readonly workgroups?: number;
  /** The same for operands that may be rounded to f16; left out: as the others. */
  readonly roundingByValue?: ProductTuning;
  /** The same for large matrices; by default as for the others. */
  readonly largeByValue?: LargeByValue;
}

/** Tunings of products by a computed b whose result has at least `elements`, known when compiling, in each matrix. */
export interface LargeByValue {
  readonly elements: number;
  readonly tuning: ProductTuning;
  /** For operands that may be rounded to f16; left out: as the others. */
  readonly rounding?: ProductTuning;
}

/** The tuning of a product by a computed b. `elements`: in each matrix of its result. */
export function valueTuning(tunings: ProductTunings, elements: number, rounds: boolean): ProductTuning {
  const { byValue, roundingByValue, largeByValue: large } = tunings;
  if (large && elements >= large.elements) return (rounds ? large.rounding : undefined) ?? large.tuning;
  return (rounds ? roundingByValue : undefined) ?? byValue;
}

/**
 * The tunings of a weight of this shape: a listed shape has its own tunings, and the general ones for the kinds of
 * operands that it does not list.
 */
export function weightTunings(tunings: ProductTunings, depth: number, columns: number): WeightTunings {
  const listed = tunings.shapes.find((s) => s.depth === depth && s.columns === columns);
  if (!listed && columns < tunings.leastColumns) return narrowTunings(tunings, columns);
  const all = (cases: readonly ProductCase[]): readonly ProductCase[] =>
    cases
      .filter((c) => columns >= (c.columns ?? 0))
      .filter(({ most }, i, fitting) => i === 0 || fitting[i - 1]!.most !== most)
      .map((c) => ({ most: c.most, tuning: narrowed(tunings, c, columns) }));
  const general = ({ byWeight, byWeightAnyRows }: CasesByRows): CasesByRows => ({
    byWeight: all(byWeight),
    byWeightAnyRows: all(byWeightAnyRows),
  });
  const kinds = Object.entries(kindsOnPanels(tunings, listed?.panel ?? tunings.panel));
  return {
    panel: tunings.panel,
    ...Object.fromEntries(kinds.map(([kind, cases]) => [kind, general(cases)])),
    ...(listed ?? general(tunings)),
  };
}

/** The tunings of a weight of few columns, whose panels are as wide as it is. */
function narrowTunings({ panel, narrow }: ProductTunings, columns: number): WeightTunings {
  if (!narrow) return { panel, byWeight: PLAIN, byWeightAnyRows: PLAIN };
  const all = (cases: readonly ProductCase[]): readonly ProductCase[] =>
    cases.map((c) => ({ ...c, tuning: filled(c.tuning, columns) }));
  return {
    panel: PANEL_STEP * Math.ceil(columns / PANEL_STEP),
    byWeight: all(narrow.byWeight),
    byWeightAnyRows: all(narrow.byWeightAnyRows),
  };
}

/** Panels of any encoding have a multiple of this number of columns. */
const PANEL_STEP = 8;

/** Halves `vectors` of a row kernel while no column needs them. */
export function filled(tuning: ProductTuning, columns: number): ProductTuning {
  if (tuning.kind !== "row") return tuning;
  let { vectors } = tuning;
  while (vectors > 1 && columns <= 2 * vectors) vectors /= 2;
  return { ...tuning, vectors };
}

/** The cases for kinds of operands whose kernels can read panels of `panel` columns. */
export function kindsOnPanels(tunings: WeightTunings, panel: number): Partial<Record<OperandKind, CasesByRows>> {
  const kinds = OPERANDS.flatMap((kind) => {
    const cases = tunings[kind];
    return cases && (panel === tunings.panel || fitsAnyPanel(cases)) ? [[kind, cases] as const] : [];
  });
  return Object.fromEntries(kinds);
}

/** Whether no kernel relies on the columns of a panel. */
const fitsAnyPanel = ({ byWeight, byWeightAnyRows }: CasesByRows): boolean =>
  [...byWeight, ...byWeightAnyRows].every(
    ({ tuning: { kind } }) => kind !== "subgroup" && kind !== "packed" && kind !== "tiled",
  );

const PLAIN: readonly ProductCase[] = [{ most: null, tuning: { kind: "plain" } }];

/** All cases that products by a weight may take. */
export const allCases = (tunings: WeightTunings): readonly CasesByRows[] => [
  tunings,
  ...OPERANDS.flatMap((kind) => tunings[kind] ?? []),
];

/** The cases of a weight of these kinds. */
export const casesOfKinds = (tunings: WeightTunings, kinds: ReadonlySet<OperandKind>): CasesByRows =>
  OPERANDS.flatMap((kind) => (kinds.has(kind) ? (tunings[kind] ?? []) : []))[0] ?? tunings;

/**
 * The fewest tiles next to each other, so that enough processors take part: with a single tile of rows, and with
 * several.
 */
const LEAST_TILES = { one: 4, more: 2 } as const;

/** The kernel that reads a tile's rows without packing. */
export const withoutPacking = ({ rows, vectors }: Extract<ProductTuning, { kind: "packed" }>): ProductTuning => ({
  kind: "subgroup",
  rows: Math.min(rows, 16),
  vectors,
});

/** The tile of a case, with fewer vectors if the columns do not fill them. */
export function narrowed(tunings: ProductTunings, { most, tuning }: ProductCase, columns: number): ProductTuning {
  const tile = tuning.kind === "vectors" || isSubgroup(tuning) ? tuning : null;
  if (tile === null || tunings.narrows !== true) return tuning;
  // A vector of a subgroup's lanes is a panel; the other kernel has eight invocations across and eight down.
  const [wide, high] = isSubgroup(tile) ? [tunings.panel, tile.rows] : [32, 8 * tile.rows];
  const tiles = (vectors: number): number => Math.ceil(columns / (wide * vectors));
  const computed = (vectors: number): number => tiles(vectors) * vectors;
  const wastes = (vectors: number): boolean => 4 * computed(vectors / 2) <= 3 * computed(vectors);
  const least = most !== null && most <= high ? LEAST_TILES.one : LEAST_TILES.more;
  let { vectors } = tile;
  while (vectors % 2 === 0 && (wastes(vectors) || tiles(vectors) < least)) vectors /= 2;
  return { ...tile, vectors };
}

/**
 * Whether the kernel of a case, and the kernel in place of matrix units, can also return sums over each row of the
 * result, one for each panel of columns.
 */
export function supportsRowSums(tuning: ProductTuning, panel: number, subgroupSize: number | null): boolean {
  if (tuning.kind !== "matrix") return isSubgroup(tuning) || tuning.kind === "tiled";
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
  return panel === 64
    ? { kind: "tiled", rows: tuning.rows < 128 ? 4 : 8, vectors: 1 }
    : { kind: "vectors", rows: 4, vectors: 2 };
}
