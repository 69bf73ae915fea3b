// Reads the tunings of matrix products as untrusted input.
import {
  among,
  flag,
  itself,
  object,
  objectWith,
  orNull,
  variant,
  whole,
  type Read,
  type Reader,
} from "../../../runtime/program/reader.js";
import { matrixFault, matrixFields } from "./matrix.js";
import {
  allCases,
  isSubgroup,
  OPERANDS,
  type CasesByRows,
  type LargeByValue,
  type OperandKind,
  type ProductCase,
  type ProductTuning,
  type ProductTunings,
  type ShapeTunings,
  type WeightTunings,
} from "./product-cases.js";

/** Rows of tiles that candidates have, and vectors of columns. */
export const ROWS = {
  vectors: [1, 4, 8, 16, 32],
  row: [1, 2, 4],
  subgroup: [1, 4, 8, 16, 24],
  packed: [8, 16, 24, 32],
  tiled: [4, 8],
} as const;
export const VECTORS = [1, 2, 4] as const;
/** Those of the row kernel, one of whose 64 lanes adds up the sums for each row and column. */
export const ROW_VECTORS = [1, 2, 4, 8] as const;
export const MOST_ROW_SUMS = 16;
/** Panels of a tile. */
export const TILED_VECTORS = [1, 2] as const;
/** Whether the invocations of a tile have what they bring in one load of b and whole fours of a. */
export const fitsTile = (rows: number, vectors: number): boolean => vectors === 1 || rows === 8;

/** Limits of subgroup sizes, wider than any device's. */
export const WIDTHS = { least: 4, most: 128 } as const;
const MOST_CASES = 16;
const MOST_SHAPES = 1024;

const readKinds = variant({
  plain: {},
  tiled: { rows: among(ROWS.tiled), vectors: among(TILED_VECTORS) },
  matrix: matrixFields,
  vectors: { rows: among(ROWS.vectors), vectors: among(VECTORS) },
  row: { rows: among(ROWS.row), vectors: among(ROW_VECTORS) },
  subgroup: { rows: among(ROWS.subgroup), vectors: among(VECTORS) },
  packed: { rows: among(ROWS.packed), vectors: among(VECTORS) },
});

const readTuning: Read<ProductTuning> = (r) => {
  const tunings = readKinds(r);
  const fault = tunings.kind === "matrix" ? matrixFault(tunings) : null;
  if (fault !== null) r.fail(`is matrix: ${fault}`);
  if (tunings.kind === "tiled" && !fitsTile(tunings.rows, tunings.vectors))
    r.fail(`is tiled by ${tunings.rows} rows, which go with one panel, found ${tunings.vectors}`);
  if (tunings.kind === "row" && tunings.rows * tunings.vectors > MOST_ROW_SUMS)
    r.fail(`is row, of ${tunings.rows} × ${tunings.vectors} vectors, which are more than ${MOST_ROW_SUMS}`);
  return tunings;
};

const KINDS = { rounding: itself, quantized: itself, buffered: itself } as const satisfies Record<OperandKind, unknown>;
const MORE = {
  ...KINDS,
  roundingByValue: itself,
  largeByValue: itself,
  narrow: itself,
  workgroups: whole(1, 65_536),
  narrows: flag,
  ahead: flag,
} as const;

export function readProducts(r: Reader): ProductTunings {
  const fields = {
    subgroupSize: orNull(whole(WIDTHS.least, WIDTHS.most)),
    panel: readPanel,
    leastColumns: whole(1, 65_536),
    byWeight: itself,
    byWeightAnyRows: itself,
    shapes: itself,
    byValue: itself,
  };
  const { roundingByValue, largeByValue, rounding, quantized, buffered, narrow, ...at } = objectWith(fields, MORE)(r);
  const { subgroupSize } = at;
  return {
    ...at,
    byValue: readByValue(at.byValue, subgroupSize),
    ...readByWeight(at, { rounding, quantized, buffered }, subgroupSize),
    ...(roundingByValue && { roundingByValue: readByValue(roundingByValue, subgroupSize) }),
    ...(largeByValue && { largeByValue: readLarge(largeByValue, subgroupSize) }),
    ...(narrow && { narrow: readNarrow(narrow, subgroupSize) }),
    shapes: at.shapes.list((s) => readShape(s, subgroupSize), MOST_SHAPES),
  };
}

/** Cases of products whose panels are no others' width. */
function readNarrow(r: Reader, subgroupSize: number | null): CasesByRows {
  const at = readPair(r);
  const cases = (reader: Reader): readonly ProductCase[] => {
    const list = readCases(reader, 0, subgroupSize);
    return list.every(({ tuning, columns }) => tuning.kind === "row" && columns === undefined)
      ? list
      : reader.fail("has a case that is not of kind row, or only of some columns");
  };
  return { byWeight: cases(at.byWeight), byWeightAnyRows: cases(at.byWeightAnyRows) };
}

const large = objectWith({ elements: whole(1), tuning: itself }, { rounding: itself });

function readLarge(r: Reader, subgroupSize: number | null): LargeByValue {
  const { elements, tuning, rounding } = large(r);
  return {
    elements,
    tuning: readByValue(tuning, subgroupSize),
    ...(rounding && { rounding: readByValue(rounding, subgroupSize) }),
  };
}

function readByValue(r: Reader, subgroupSize: number | null): ProductTuning {
  const tuning = readTuning(r);
  if (tuning.kind === "packed") r.fail("must not be packed, which products by a weight are");
  if ((tuning.kind === "subgroup" || tuning.kind === "matrix") && subgroupSize === null)
    r.fail(`is ${tuning.kind}, and the tunings are for subgroups of no width`);
  return tuning;
}

const shape = objectWith(
  { depth: whole(1), columns: whole(1), panel: readPanel, byWeight: itself, byWeightAnyRows: itself },
  KINDS,
);

function readShape(r: Reader, subgroupSize: number | null): ShapeTunings {
  const { rounding, quantized, buffered, ...at } = shape(r);
  const tunings = { ...at, ...readByWeight(at, { rounding, quantized, buffered }, subgroupSize) };
  const cases = allCases(tunings).flatMap((c) => [...c.byWeight, ...c.byWeightAnyRows]);
  if (cases.some((c) => c.columns !== undefined)) r.fail("has a case for some columns, and columns of its own");
  return tunings;
}

function readPanel(r: Reader): number {
  const panel = r.integer(4, 4 * WIDTHS.most);
  return panel % 4 === 0 ? panel : r.fail(`must be a multiple of 4, found ${panel}`);
}

interface CasesToRead {
  readonly byWeight: Reader;
  readonly byWeightAnyRows: Reader;
}

/** The cases of products by weights in panels of `panel` columns. */
function readByWeight(
  at: CasesToRead & { readonly panel: number },
  given: Readonly<Record<OperandKind, Reader | undefined>>,
  subgroupSize: number | null,
): WeightTunings {
  const cases = ({ byWeight, byWeightAnyRows }: CasesToRead): CasesByRows => ({
    byWeight: readCases(byWeight, at.panel, subgroupSize),
    byWeightAnyRows: readCases(byWeightAnyRows, at.panel, subgroupSize),
  });
  const kinds = OPERANDS.flatMap((kind): readonly (readonly [OperandKind, CasesByRows])[] => {
    const fields = given[kind];
    return fields ? [[kind, cases(readPair(fields))]] : [];
  });
  return { panel: at.panel, ...cases(at), ...Object.fromEntries(kinds) };
}

const readPair = object({ byWeight: itself, byWeightAnyRows: itself });

function readCases(r: Reader, panel: number, subgroupSize: number | null): readonly ProductCase[] {
  const cases = r.list((c): ProductCase => {
    const productCase = objectWith({ most: orNull(whole(1)), tuning: readTuning }, { columns: whole(1, 65_536) })(c);
    const { kind } = productCase.tuning;
    if (kind === "tiled" && panel !== 64) c.get("tuning").fail(`is tiled, which takes panels of 64, found ${panel}`);
    if (isSubgroup(productCase.tuning) && (subgroupSize === null || panel !== 4 * subgroupSize))
      c.get("tuning").fail(`is ${kind}, which takes panels of four times the width of a subgroup, found ${panel}`);
    if (productCase.tuning.kind === "packed" && productCase.tuning.rows % subgroupSize! !== 0)
      c.get("tuning").fail(
        `is packed, by ${productCase.tuning.rows} rows, which are no multiple of the width of a subgroup`,
      );
    if (kind === "matrix" && subgroupSize === null)
      c.get("tuning").fail("is matrix, and the tunings are for subgroups of no width");
    return productCase;
  }, MOST_CASES);
  if (cases.length === 0) r.fail("must hold a case");
  cases.forEach(({ most, columns }, i) => {
    const next = cases[i + 1];
    if (next === undefined) {
      if (most !== null || columns !== undefined)
        r.fail("must end with a case for any number of rows (most: null), whatever the columns");
    } else if (columns !== undefined) {
      if (next.most !== most || next.columns !== undefined)
        r.fail(`must have a case for as many rows behind that of ${columns} columns`);
    } else if (most === null) r.fail("has a case behind the one for any number of rows");
    else if (next.most !== null && next.most <= most) r.fail(`must go up, found ${next.most} after ${most}`);
  });
  return cases;
}
