// Tunings of matrix products: the defaults of each class of device, and the candidates that a target can run.
import { roomyWidth, subgroupWidth, type DeviceClass, type Target } from "../../../runtime/program/target.js";
import type { Candidate, Family } from "./family.js";
import { matrixMisfit, matrixTunings } from "./matrix.js";
import {
  allCases,
  isSubgroup,
  type CasesByRows,
  type ProductCase,
  type ProductTuning,
  type ProductTunings,
} from "./product-cases.js";
import { fitsTile, MOST_ROW_SUMS, readProducts, ROWS, TILED_VECTORS, VECTORS, WIDTHS } from "./product-files.js";

const subgroup = (most: number | null, rows: number, vectors: number): ProductCase => ({
  most,
  tuning: { kind: "subgroup", rows, vectors },
});
/** Packing costs as much as a few hundred columns gain by it. */
const packed = (rows: number, count: number): ProductCase => ({
  most: null,
  tuning: { kind: "packed", rows, vectors: count },
  columns: 512,
});
const row = (most: number | null, rows: number, count = 4): ProductCase => ({
  most,
  tuning: { kind: "row", rows, vectors: count },
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
 * What Mesa reads from buffers: two vectors, for loads of b weigh as much as those of a. 24 rows are 3 to 10% faster
 * than 16 where there are many, 32 no more, and take half as long again to compile.
 */
const MESA_BUFFERS: CasesByRows = {
  byWeight: [subgroup(1, 1, 2), subgroup(4, 4, 2), subgroup(8, 8, 2), subgroup(256, 16, 2), subgroup(null, 24, 2)],
  byWeightAnyRows: [subgroup(1, 1, 2), subgroup(8, 8, 2), subgroup(null, 16, 2)],
};

/** A load of integers gives four or eight k, whose columns fill the registers: few rows, so that sums have some too. */
const MESA_INTEGERS: CasesByRows = {
  byWeight: [subgroup(1, 1, 2), subgroup(4, 4, 2), subgroup(null, 8, 2)],
  byWeightAnyRows: [subgroup(1, 1, 2), subgroup(null, 8, 2)],
};

/** Without textures. */
const MESA: ProductTunings = {
  subgroupSize: 8,
  panel: 32,
  leastColumns: 16,
  ...MESA_BUFFERS,
  quantized: MESA_INTEGERS,
  shapes: [],
  narrows: true,
  byValue: { kind: "subgroup", rows: 16, vectors: 2 },
};

/**
 * Measured on Mesa 25.0.7 with LLVM 19, two cores. Weights in textures are read so fast that of few rows loads of a,
 * which lies in a buffer, weigh most, and four vectors share them: 0.7 to 0.9 of the time of two, and compiled as fast.
 * More rows are packed into a texture first: 0.72 to 0.8 of the time of 16 rows by four as they lie, and 0.8 to 0.95
 * where weights are integers or in buffers. 32 rows are up to 5% faster than 24, but where the rows of a and of the
 * result lie a power of two apart, 10% slower. Where rows are known when running, each case costs 15 to 30 ms of
 * loading: few do.
 */
const MESA_TEXTURES: ProductTunings = {
  ...MESA,
  byWeight: [subgroup(1, 1, 4), subgroup(4, 4, 4), subgroup(8, 8, 4), packed(24, 2), subgroup(null, 16, 4)],
  byWeightAnyRows: [subgroup(1, 1, 4), subgroup(8, 8, 4), packed(24, 2), subgroup(null, 16, 4)],
  quantized: {
    byWeight: [subgroup(1, 1, 2), subgroup(4, 4, 2), packed(8, 2), subgroup(null, 8, 2)],
    byWeightAnyRows: [subgroup(1, 1, 2), packed(8, 2), subgroup(null, 8, 2)],
  },
  buffered: {
    byWeight: [subgroup(1, 1, 2), subgroup(4, 4, 2), subgroup(8, 8, 2), packed(24, 2), subgroup(null, 16, 2)],
    byWeightAnyRows: [subgroup(1, 1, 2), subgroup(8, 8, 2), packed(24, 2), subgroup(null, 16, 2)],
  },
};

const tiled = (most: number | null, rows: number, panels = 1, columns?: number): ProductCase => ({
  most,
  tuning: { kind: "tiled", rows, vectors: panels },
  ...(columns !== undefined && { columns }),
});

/**
 * Not measured here: chosen by what drivers' compilers make of it. Few rows are bound by reading b, for which a GPU
 * needs many loads on their way, those of all lanes of many workgroups. Each row reads b again, from a cache: with
 * tiles of two rows or four, Intel's compiler has too few registers.
 */
const FEW_ROWS = [row(8, 1)];
const NARROW: CasesByRows = { byWeight: [row(null, 1)], byWeightAnyRows: [row(null, 1)] };

/**
 * Not measured here. What kernels published for such devices have in common: tiles of 64 × 64 through workgroup memory,
 * 4 × 4 to 8 × 8 of it an invocation, for many rows (TensorFlow.js, onnxruntime, llama.cpp); few rows share out k. A
 * GPU that shares memory is full with a few thousand invocations, so tiles pay early. As many workgroups as fill a few
 * of the largest such.
 */
const INTEGRATED: ProductTunings = {
  subgroupSize: null,
  panel: 64,
  leastColumns: 32,
  narrow: NARROW,
  byWeight: [...FEW_ROWS, vectors(32, 4, 1), tiled(null, 4)],
  byWeightAnyRows: [...FEW_ROWS, vectors(32, 4, 1), tiled(null, 4)],
  shapes: [],
  workgroups: 64,
  byValue: { kind: "tiled", rows: 4, vectors: 1 },
};

/**
 * Not measured here. As above; but a GPU with memory of its own wants tens of thousands of invocations, which tiles of
 * 64 × 64 give only to larger products. Up to half as many rows take tiles of four, which share out k: an estimate from
 * the machine code for RDNA 3 says 5 µs for 32 rows by 1024 × 1024, and 57 in tiles of 64 × 64. The largest tiles, 128
 * × 128 by 8 × 8 an invocation, read half a byte of workgroup memory for each operation, as much as RDNA 3 has, and by
 * what its compiler makes of them reach 94% of its peak; 128 × 64 reach 63%, and 64 × 64 47%. They need a million sums
 * or so to fill a large GPU. Twice as many workgroups as an H100 has cores.
 */
const LARGE: readonly ProductCase[] = [
  tiled(512, 4),
  tiled(1024, 8, 2, 1024),
  tiled(1024, 4),
  tiled(null, 8, 2, 1024),
  tiled(null, 8),
];
const DISCRETE: ProductTunings = {
  ...INTEGRATED,
  workgroups: 256,
  ahead: true,
  narrow: { byWeight: [row(1, 1), row(null, 4)], byWeightAnyRows: [row(1, 1), row(null, 4)] },
  byWeight: [row(1, 1), row(32, 4), ...LARGE],
  byWeightAnyRows: [row(1, 1), row(32, 4), ...LARGE],
  largeByValue: { elements: 2 ** 20, tuning: { kind: "tiled", rows: 8, vectors: 2 } },
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

/** Rows and columns beyond which the largest tiles of matrix units are enough to fill a large GPU. */
const MANY_ROWS = 512;
const MANY_COLUMNS = 1024;

/**
 * Tunings of a GPU, with matrix units for operands that may be rounded where it lists them: the largest product that it
 * does, in tiles of four subgroups with 2 × 2 matrices of sums each, 64 k at a time where memory allows, and where rows
 * and columns are many of eight subgroups, or four, with 4 × 2. Not measured: by what a compiler for RDNA 3 makes of
 * them, units are busy 80 to 90% of the time in both, and 2048 rows of depth 512 by 2048 columns take 51 µs; 4 × 4
 * leave no registers for what the next step needs, and spill. Few rows are bound by reading b, and stay as they are.
 * A software device, which computes units' products in three to ten times the time, has none by default.
 */
function onUnits(own: ProductTunings, target: Target): ProductTunings {
  const all = matrixTunings(target);
  const four = all.filter(({ down, across }) => down === 2 && across === 2);
  const size = Math.max(0, ...four.map(({ m, n, k }) => m * n * k));
  const tile = (across: number, below: number, depth: number): ProductTuning | undefined =>
    all.find(
      (t) =>
        t.m * t.n * t.k === size &&
        [t.down, t.across, t.depth].join() === [2, across, depth].join() &&
        t.rows === 2 * t.m * below &&
        t.columns === 2 * t.n * across,
    );
  const [small, large] = [tile(2, 2, 64) ?? tile(2, 2, 32), tile(4, 4, 32) ?? tile(2, 4, 32)];
  const few = own.byWeight.filter(({ tuning }) => tuning.kind === "row");
  if (!small) return own;
  const cases: readonly ProductCase[] = [
    ...few,
    ...(large
      ? [
          { most: MANY_ROWS, tuning: small },
          { most: null, tuning: large, columns: MANY_COLUMNS },
        ]
      : []),
    { most: null, tuning: small },
  ];
  const rounding = { byWeight: cases, byWeightAnyRows: cases };
  return {
    ...own,
    subgroupSize: subgroupWidth(target),
    rounding,
    roundingByValue: small,
    ...(own.largeByValue && { largeByValue: { ...own.largeByValue, rounding: large ?? small } }),
  };
}

/** Narrow subgroups have the registers that lanes need to load b ahead. */
function ownDefaults(target: Target): ProductTunings {
  if (readsTextures(target)) return MESA_TEXTURES;
  const ofClass = BY_CLASS[target.device];
  return roomyWidth(target) === null ? ofClass : { ...ofClass, ahead: true };
}

export const products: Family<ProductTunings> = {
  defaults(target) {
    const exact = ownDefaults(target);
    if (products.incompatibility(exact, target) !== null) return PORTABLE;
    return target.device === "integrated" || target.device === "discrete" ? onUnits(exact, target) : exact;
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
    const used = [
      ...casesIn(tunings).map((c) => c.tuning),
      tunings.byValue,
      tunings.roundingByValue ?? tunings.byValue,
      ...(tunings.largeByValue ? [tunings.largeByValue.tuning, tunings.largeByValue.rounding ?? tunings.byValue] : []),
    ];
    if (used.some((t) => t.kind === "tiled") && target.limits.invocationsPerWorkgroup < 256)
      return "products need workgroups of 256";
    if (used.some((t) => t.kind === "packed") && !readsTextures(target))
      return "products pack rows into textures, which the target does not read";
    for (const tuning of used) {
      const misfit = tuning.kind === "matrix" ? matrixMisfit(tuning, target) : null;
      if (misfit !== null) return misfit;
    }
    return null;
  },
};

const casesIn = (tunings: ProductTunings): readonly ProductCase[] =>
  [tunings, ...tunings.shapes].flatMap(allCases).flatMap((t) => [...t.byWeight, ...t.byWeightAnyRows]);

// --- candidates

/** A kernel, its tile and the panels it reads. */
interface Choice {
  readonly tuning: ProductTuning;
  readonly panel: number;
}

/**
 * The most vectors of sums. More of `vectors` take compilers seconds; more of `subgroup` fill the processor's cache.
 */
const MOST_SUMS = { row: MOST_ROW_SUMS, vectors: 32, subgroup: 64 } as const;
const FEW_SUMS = 8;

function tuningsOn(target: Target): readonly Choice[] {
  const targetWidth = subgroupWidth(target);
  const width = targetWidth !== null && targetWidth >= WIDTHS.least && targetWidth <= WIDTHS.most ? targetWidth : null;
  const isSoftware = target.device === "mesa-software" || target.device === "swiftshader";
  const rowTiles = (panel: number): readonly Choice[] =>
    (isSoftware ? [] : ROWS.row).flatMap((rows) =>
      [4, 8]
        .filter((count) => rows * count <= MOST_SUMS.row)
        .map((count) => ({ tuning: { kind: "row" as const, rows, vectors: count }, panel })),
    );
  const tiles = (kind: "vectors" | "subgroup" | "packed", panel: number, most: number): readonly Choice[] =>
    ROWS[kind].flatMap((rows) =>
      VECTORS.flatMap((count) =>
        rows * count <= most && (kind !== "packed" || rows % (width ?? 1) === 0)
          ? [{ tuning: { kind, rows, vectors: count }, panel }]
          : [],
      ),
    );
  // Only kernels with the same panel width can be cases of one weight: for each width that a kernel needs, also the
  // small tiles for few rows.
  const others = [...new Set([64, ...(width === null ? [] : [4 * width])])].filter((panel) => panel !== 32);
  return [
    { tuning: { kind: "plain" }, panel: 32 },
    ...tiles("vectors", 32, MOST_SUMS.vectors),
    ...rowTiles(32),
    ...others.flatMap((panel) => [...tiles("vectors", panel, FEW_SUMS), ...rowTiles(panel)]),
    ...(width === null ? [] : tiles("subgroup", 4 * width, MOST_SUMS.subgroup)),
    ...(width === null || !readsTextures(target) ? [] : tiles("packed", 4 * width, MOST_SUMS.subgroup)),
    ...(target.limits.invocationsPerWorkgroup >= 256
      ? TILED_VECTORS.flatMap((count) =>
          ROWS.tiled
            .filter((rows) => fitsTile(rows, count))
            .map((rows) => ({ tuning: { kind: "tiled" as const, rows, vectors: count }, panel: 64 })),
        )
      : []),
  ];
}

function forced({ tuning, panel }: Choice, target: Target): Candidate<ProductTunings> {
  const cases: readonly ProductCase[] = [{ most: null, tuning }];
  return {
    name: tuning.kind === "plain" ? tuningName(tuning) : `${tuningName(tuning)}, panels of ${panel}`,
    tunings: {
      subgroupSize: isSubgroup(tuning) ? subgroupWidth(target) : null,
      panel,
      leastColumns: 1,
      byWeight: cases,
      byWeightAnyRows: cases,
      shapes: [],
      byValue: ["vectors", "row", "subgroup", "tiled"].includes(tuning.kind) ? tuning : PORTABLE.byValue,
    },
  };
}

/** `subgroup 16 × 2` */
export function tuningName(tuning: ProductTuning): string {
  switch (tuning.kind) {
    case "plain":
      return tuning.kind;
    case "tiled":
      return `tiled ${16 * tuning.rows} × ${64 * tuning.vectors}`;
    case "row":
    case "vectors":
    case "subgroup":
    case "packed":
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

/**
 * Mesa's software device addresses a buffer for each component of each lane, and checks its bounds; a texel once. A
 * product takes 0.75 of the time by it where rows are many, 0.63 where they are one to sixteen (two cores, Mesa
 * 25.0.7). Not measured on others, which have buffers.
 */
export const readsTextures = ({ device, textures }: Target): boolean => device === "mesa-software" && textures === true;
