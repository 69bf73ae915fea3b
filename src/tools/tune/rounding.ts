// Tunings for products whose operands may be rounded to f16, on a device with matrix units: tiles on matrix units, or
// the kernels of f32.
import type { Target } from "../../runtime/program/target.js";
import { subgroupWidth } from "../../runtime/program/target.js";
import { matrixTunings, type MatrixTuning } from "../../compiler/schedule/tunings/matrix.js";
import {
  weightTunings,
  type CasesByRows,
  type ProductCase,
  type ProductTunings,
} from "../../compiler/schedule/tunings/product-cases.js";
import { tuningName } from "../../compiler/schedule/tunings/products.js";
import {
  combineShapes,
  lossOf,
  MAX_CASES,
  MAX_CASES_ANY_ROWS,
  MIN_GAIN,
  type TimesWithBaseline,
} from "./adopt-products.js";
import { chooseCases, type Case } from "./choose.js";

export interface RoundingChoice {
  readonly name: string;
  /** Null: the cases for operands that must not be rounded. */
  readonly tuning: MatrixTuning | null;
}

/** The choices on a target; none if it has no matrix units. */
export function roundingChoices(target: Target): readonly RoundingChoice[] {
  const tiles = matrixTunings(target).map((tuning) => ({ name: tuningName(tuning), tuning }));
  return tiles.length === 0 ? [] : [{ name: "without matrix units", tuning: null }, ...tiles];
}

interface Shape {
  readonly depth: number;
  readonly columns: number;
}

/** Tunings that compute products with weights of this shape by the given choice, if operands may be rounded. */
export function withRounding(
  base: ProductTunings,
  { depth, columns }: Shape,
  { tuning }: RoundingChoice,
  target: Target,
): ProductTunings {
  const { byWeight, byWeightAnyRows } = weightTunings(base, depth, columns);
  const all: readonly ProductCase[] = [{ most: null, tuning: tuning ?? { kind: "plain" } }];
  const rounding = tuning === null ? { byWeight, byWeightAnyRows } : { byWeight: all, byWeightAnyRows: all };
  return ofShape(base, { depth, columns }, rounding, target);
}

function ofShape(
  base: ProductTunings,
  { depth, columns }: Shape,
  rounding: CasesByRows,
  target: Target,
): ProductTunings {
  const cases = weightTunings(base, depth, columns);
  const others = base.shapes.filter((s) => s.depth !== depth || s.columns !== columns);
  return {
    ...base,
    subgroupSize: base.subgroupSize ?? subgroupWidth(target),
    shapes: [...others, { ...cases, depth, columns, rounding }],
  };
}

/** The measured times of one weight shape. */
export type RoundingTimes = Shape & TimesWithBaseline<RoundingChoice>;

/**
 * `base` with cases for rounded operands, for each measured shape that gains. `general`: also derives the cases of
 * unlisted shapes from all measured shapes.
 */
export function adoptRounding(
  base: ProductTunings,
  measured: readonly RoundingTimes[],
  general: boolean,
  target: Target,
): ProductTunings {
  let tunings = base;
  for (const { depth, columns, ...times } of measured) {
    const found = chosen(times, weightTunings(tunings, depth, columns));
    if (found) tunings = ofShape(tunings, { depth, columns }, found, target);
  }
  const rounding = general && measured.length > 0 ? chosen(combineShapes(measured), base) : null;
  return rounding ? { ...tunings, subgroupSize: tunings.subgroupSize ?? subgroupWidth(target), rounding } : tunings;
}

/** The cases with the least loss; null if they do not gain on the current tunings. `exact`: the cases of f32. */
function chosen({ times, baseline }: TimesWithBaseline<RoundingChoice>, exact: CasesByRows): CasesByRows | null {
  const [known, any] = [chooseCases(times, MAX_CASES), chooseCases(times, MAX_CASES_ANY_ROWS)];
  if (!known || !any || any.loss + MIN_GAIN * times.sizes.length > lossOf(times, baseline)) return null;
  return {
    byWeight: casesFrom(known.cases, exact.byWeight),
    byWeightAnyRows: casesFrom(any.cases, exact.byWeightAnyRows),
  };
}

/** The cases for each chosen range of rows: one case on matrix units, or the f32 cases clipped to the range. */
function casesFrom(
  chosenCases: readonly Case<RoundingChoice>[],
  exact: readonly ProductCase[],
): readonly ProductCase[] {
  return chosenCases.flatMap(({ most, choice: { tuning } }, i): readonly ProductCase[] => {
    if (tuning) return [{ most, tuning }];
    const [low, high] = [chosenCases[i - 1]?.most ?? 0, most ?? Infinity];
    // Two cases with the same number of rows differ in columns.
    const before = (c: ProductCase): number =>
      exact.findLast((e) => (e.most ?? Infinity) < (c.most ?? Infinity))?.most ?? 0;
    return exact
      .filter((c) => (c.most ?? Infinity) > low && before(c) < high)
      .map((c) => ({ ...c, most: (c.most ?? Infinity) < high ? c.most : most }));
  });
}
