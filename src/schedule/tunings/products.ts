// Tunings of matrix products: the kernel, its tile, and the panel width of packed weights.
import { among, itself, object, orNull, variant, whole, type Read, type Reader } from "../../program/reader.js";
import { subgroupWidth, type DeviceClass, type Target } from "../../program/target.js";
import type { Candidate, Family } from "./family.js";
import { matrixFault, matrixFields, matrixMisfit, type MatrixTuning } from "./matrix.js";

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

/** How products by a weight are computed. */
export interface WeightTunings {
  /**
   * Columns of a panel of packed weights, the same in all cases, so that a weight is stored once. Four times the
   * subgroup size; 64 if a case is tiled.
   */
  readonly panel: number;
  /**
   * Cases if the number of rows is known at compile time: the first that fits applies; only the last fits any number.
   */
  readonly byWeight: readonly ProductCase[];
  /** Cases if it is known only at run time: all are compiled, and all but one skipped in a run. */
  readonly byWeightAnyRows: readonly ProductCase[];
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
}

/** The tunings of a weight of this shape. */
export function weightTunings(tunings: ProductTunings, depth: number, columns: number): WeightTunings {
  const own = tunings.shapes.find((s) => s.depth === depth && s.columns === columns);
  if (own) return own;
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

const subgroup = (most: number | null, rows: number, vectors: number): ProductCase => ({
  most,
  tuning: { kind: "subgroup", rows, vectors },
});
const vectors = (most: number | null, rows: number, count: number): ProductCase => ({
  most,
  tuning: { kind: "vectors", rows, vectors: count },
});

/** For unknown devices: no subgroups, no workgroup memory, whole vectors, and coalesced reads. */
const PORTABLE: ProductTunings = {
  subgroupSize: null,
  panel: 32,
  leastColumns: 32,
  byWeight: [vectors(8, 1, 1), vectors(null, 4, 2)],
  byWeightAnyRows: [vectors(null, 4, 2)],
  shapes: [],
  byValue: { kind: "vectors", rows: 4, vectors: 2 },
};

/**
 * Measured on Mesa 25.0.7 with LLVM 19, two cores. Two vectors share the loads of a. 24 rows are 3 to 10% faster than
 * 16 where there are many, 32 no more, and take half as long again to compile. What is computed is read as fast as a
 * weight. Where rows are known when running, each case costs 15 to 30 ms of loading: few do.
 */
const MESA: ProductTunings = {
  subgroupSize: 8,
  panel: 32,
  leastColumns: 16,
  byWeight: [subgroup(1, 1, 2), subgroup(4, 4, 2), subgroup(8, 8, 2), subgroup(256, 16, 2), subgroup(null, 24, 2)],
  byWeightAnyRows: [subgroup(1, 1, 2), subgroup(8, 8, 2), subgroup(null, 16, 2)],
  shapes: [],
  byValue: { kind: "subgroup", rows: 16, vectors: 2 },
};

const tiled = (most: number | null, rows: number): ProductCase => ({ most, tuning: { kind: "tiled", rows } });

/**
 * Not measured here. What kernels published for such devices have in common: tiles of 64 × 64 through workgroup memory,
 * 4 × 4 to 8 × 8 of it an invocation, for many rows (TensorFlow.js, onnxruntime, llama.cpp); for few rows, which are
 * bound by reading b, one row an invocation, so that as many as can be read at once. A GPU that shares memory is full
 * with a few thousand invocations, so tiles pay early.
 */
const INTEGRATED: ProductTunings = {
  subgroupSize: null,
  panel: 64,
  leastColumns: 32,
  byWeight: [vectors(8, 1, 1), vectors(32, 4, 1), tiled(null, 4)],
  byWeightAnyRows: [vectors(8, 1, 1), tiled(null, 4)],
  shapes: [],
  byValue: { kind: "vectors", rows: 4, vectors: 2 },
};

/**
 * Not measured here. As above; but a GPU with memory of its own wants tens of thousands of invocations, which tiles of
 * 64 × 64 give only to larger products: below that smaller tiles, whose repeated reads its caches serve, are the lesser
 * evil. The tallest tiles, 128 × 64 by 8 × 4 an invocation, are what the fastest published f32 kernels of WebGPU have
 * (14.8 of 18.1 TFLOP/s on an A100), and need as many rows.
 */
const DISCRETE: ProductTunings = {
  ...INTEGRATED,
  byWeight: [vectors(16, 1, 1), vectors(128, 4, 1), tiled(1024, 4), tiled(null, 8)],
  byWeightAnyRows: [vectors(16, 1, 1), vectors(128, 4, 1), tiled(1024, 4), tiled(null, 8)],
};

/**
 * GPUs: the same with subgroups and without, as most of them vary in width (Intel 8 to 32, AMD 32 or 64), and a panel
 * as wide as 32 lanes' vectors is no tile's. Where the width is fixed, `modc tune` measures kernels that rely on it.
 */
const BY_CLASS: { readonly [C in DeviceClass]: ProductTunings } = {
  portable: PORTABLE,
  "mesa-software": MESA,
  swiftshader: PORTABLE,
  integrated: INTEGRATED,
  discrete: DISCRETE,
};

export const products: Family<ProductTunings> = {
  defaults(target) {
    const own = BY_CLASS[target.device];
    return products.incompatibility(own, target) === null ? own : PORTABLE;
  },
  candidates: (target) => tuningsOn(target).map((choice) => forced(choice, target)),
  read: readProducts,
  incompatibility(tunings, target) {
    const width = subgroupWidth(target);
    if (tunings.subgroupSize !== null && tunings.subgroupSize !== width)
      return (
        `products need subgroups of ${tunings.subgroupSize}, and the target has ` +
        (width === null ? "none of one width" : `those of ${width}`)
      );
    const used = [...casesIn(tunings).map((c) => c.tuning), tunings.byValue];
    if (used.some((t) => t.kind === "tiled") && target.limits.invocationsPerWorkgroup < 256)
      return "products need workgroups of 256";
    for (const tuning of used) {
      const misfit = tuning.kind === "matrix" ? matrixMisfit(tuning, target) : null;
      if (misfit !== null) return misfit;
    }
    return null;
  },
};

const casesIn = (tunings: ProductTunings): readonly ProductCase[] =>
  [tunings, ...tunings.shapes].flatMap((t) => [...t.byWeight, ...t.byWeightAnyRows]);

// --- candidates

/** A kernel, its tile and the panels it reads. */
interface Choice {
  readonly tuning: ProductTuning;
  readonly panel: number;
}

const ROWS = { vectors: [1, 4, 8, 16, 32], subgroup: [1, 4, 8, 16, 24], tiled: [4, 8] } as const;
const VECTORS = [1, 2, 4] as const;
/** The most vectors of accumulators: beyond this compilers take seconds, and kernels are no faster. */
const MOST_SUMS = { vectors: 32, subgroup: 48 } as const;
const FEW_SUMS = 8;

function tuningsOn(target: Target): readonly Choice[] {
  const own = subgroupWidth(target);
  const width = own !== null && own >= WIDTHS.least && own <= WIDTHS.most ? own : null;
  const tiles = (kind: "vectors" | "subgroup", panel: number, most: number): readonly Choice[] =>
    ROWS[kind].flatMap((rows) =>
      VECTORS.flatMap((count) => (rows * count <= most ? [{ tuning: { kind, rows, vectors: count }, panel }] : [])),
    );
  // Only kernels with the same panel width can be cases of one weight: for each width that a kernel needs, also the
  // small tiles for few rows.
  const others = [...new Set([64, ...(width === null ? [] : [4 * width])])].filter((panel) => panel !== 32);
  return [
    { tuning: { kind: "plain" }, panel: 32 },
    ...tiles("vectors", 32, MOST_SUMS.vectors),
    ...others.flatMap((panel) => tiles("vectors", panel, FEW_SUMS)),
    ...(width === null ? [] : tiles("subgroup", 4 * width, MOST_SUMS.subgroup)),
    ...(target.limits.invocationsPerWorkgroup >= 256
      ? ROWS.tiled.map((rows) => ({ tuning: { kind: "tiled" as const, rows }, panel: 64 }))
      : []),
  ];
}

function forced({ tuning, panel }: Choice, target: Target): Candidate<ProductTunings> {
  const cases: readonly ProductCase[] = [{ most: null, tuning }];
  return {
    name: tuning.kind === "plain" ? tuningName(tuning) : `${tuningName(tuning)}, panels of ${panel}`,
    tunings: {
      subgroupSize: tuning.kind === "subgroup" ? subgroupWidth(target) : null,
      panel,
      leastColumns: 1,
      byWeight: cases,
      byWeightAnyRows: cases,
      shapes: [],
      byValue: tuning.kind === "vectors" || tuning.kind === "subgroup" ? tuning : PORTABLE.byValue,
    },
  };
}

/** `subgroup 16 × 2` */
export function tuningName(tuning: ProductTuning): string {
  switch (tuning.kind) {
    case "plain":
      return tuning.kind;
    case "tiled":
      return `tiled ${16 * tuning.rows} × 64`;
    case "vectors":
    case "subgroup":
      return `${tuning.kind} ${tuning.rows} × ${tuning.vectors}`;
    case "matrix":
      return (
        `matrix ${tuning.rows} × ${tuning.columns} × ${tuning.depth} ` +
        `by ${tuning.down} × ${tuning.across} of ${tuning.m} × ${tuning.n} × ${tuning.k}`
      );
    default:
      return tuning satisfies never;
  }
}

// --- reading

/** Limits of subgroup sizes, beyond those of any device. */
const WIDTHS = { least: 4, most: 128 } as const;
const MOST_CASES = 16;
const MOST_SHAPES = 1024;

const readKinds = variant({
  plain: {},
  tiled: { rows: among(ROWS.tiled) },
  matrix: matrixFields,
  vectors: { rows: among(ROWS.vectors), vectors: among(VECTORS) },
  subgroup: { rows: among(ROWS.subgroup), vectors: among(VECTORS) },
});

const readTuning: Read<ProductTuning> = (r) => {
  const found = readKinds(r);
  const fault = found.kind === "matrix" ? matrixFault(found) : null;
  return fault === null ? found : r.fail(`is matrix: ${fault}`);
};

function readProducts(r: Reader): ProductTunings {
  const at = object({
    subgroupSize: orNull(whole(WIDTHS.least, WIDTHS.most)),
    panel: readPanel,
    leastColumns: whole(1, 65_536),
    byWeight: itself,
    byWeightAnyRows: itself,
    shapes: itself,
    byValue: readTuning,
  })(r);
  const { subgroupSize, byValue } = at;
  if (byValue.kind === "tiled") r.get("byValue").fail("must not be tiled: what is computed is not packed");
  if ((byValue.kind === "subgroup" || byValue.kind === "matrix") && subgroupSize === null)
    r.get("byValue").fail(`is ${byValue.kind}, and the tunings are for subgroups of no width`);
  return {
    ...at,
    ...readByWeight(at, subgroupSize),
    shapes: at.shapes.list((s) => readShape(s, subgroupSize), MOST_SHAPES),
  };
}

const shape = object({
  depth: whole(1),
  columns: whole(1),
  panel: readPanel,
  byWeight: itself,
  byWeightAnyRows: itself,
});

function readShape(r: Reader, subgroupSize: number | null): ShapeTunings {
  const at = shape(r);
  return { ...at, ...readByWeight(at, subgroupSize) };
}

function readPanel(r: Reader): number {
  const panel = r.integer(4, 4 * WIDTHS.most);
  return panel % 4 === 0 ? panel : r.fail(`must be a multiple of 4, found ${panel}`);
}

/** The cases of products by weights in panels of `panel` columns. */
function readByWeight(
  at: { readonly panel: number; readonly byWeight: Reader; readonly byWeightAnyRows: Reader },
  subgroupSize: number | null,
): Pick<WeightTunings, "byWeight" | "byWeightAnyRows"> {
  return {
    byWeight: readCases(at.byWeight, at.panel, subgroupSize),
    byWeightAnyRows: readCases(at.byWeightAnyRows, at.panel, subgroupSize),
  };
}

function readCases(r: Reader, panel: number, subgroupSize: number | null): readonly ProductCase[] {
  const cases = r.list((c): ProductCase => {
    const found = object({ most: orNull(whole(1)), tuning: readTuning })(c);
    const { kind } = found.tuning;
    if (kind === "tiled" && panel !== 64) c.get("tuning").fail(`is tiled, which takes panels of 64, found ${panel}`);
    if (kind === "subgroup" && (subgroupSize === null || panel !== 4 * subgroupSize))
      c.get("tuning").fail(`is subgroup, which takes panels of four times the width of a subgroup, found ${panel}`);
    if (kind === "matrix" && subgroupSize === null)
      c.get("tuning").fail("is matrix, and the tunings are for subgroups of no width");
    return found;
  }, MOST_CASES);
  if (cases.length === 0) r.fail("must hold a case");
  cases.forEach(({ most }, i) => {
    const last = i === cases.length - 1;
    if ((most === null) !== last)
      r.fail(
        last
          ? "must end with a case for any number of rows (most: null)"
          : "has a case behind the one for any number of rows",
      );
    const before = cases[i - 1]?.most ?? 0;
    if (most !== null && most <= before) r.fail(`must go up, found ${most} after ${before}`);
  });
  return cases;
}
