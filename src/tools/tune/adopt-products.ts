// Derives product tunings from measured times: cases for each measured weight shape and, if no model was measured, for
// all other shapes.
import type { Candidate, ProductCase, ProductTunings, WeightTunings } from "../../compiler/schedule/tunings/index.js";
import { kindsOnPanels } from "../../compiler/schedule/tunings/product-cases.js";
import { bestOf, chooseCases, type Case, type Times } from "./choose.js";

type Choice = Candidate<ProductTunings>;

/** Measured times of each candidate and of the current tunings. */
export interface TimesWithBaseline<C> {
  readonly times: Times<C>;
  /** Seconds with the current tunings, by size; null: not measured. */
  readonly baseline: readonly (number | null)[];
}

/** Measured times for one weight shape. */
export interface ProductTimes extends TimesWithBaseline<Choice> {
  readonly depth: number;
  readonly columns: number;
}

export const MAX_CASES = 8;
/** If the number of rows is known only at run time, each case is one more dispatch. */
export const MAX_CASES_ANY_ROWS = 3;
/** The least mean gain over all sizes, as a logarithm, for which tunings are changed. */
export const MIN_GAIN = Math.log(1.03);

/**
 * `base` with new tunings for each measured shape that gains. `general`: also derives the tunings of unlisted shapes
 * from all measured shapes.
 */
export function adoptProducts(
  base: ProductTunings,
  measured: readonly ProductTimes[],
  general: boolean,
): ProductTunings {
  let tunings = base;
  for (const { depth, columns, times, baseline } of measured) {
    const found = chooseWeightTunings(times, baseline);
    if (!found) continue;
    const shapes = tunings.shapes.filter((s) => s.depth !== depth || s.columns !== columns);
    tunings = {
      ...tunings,
      subgroupSize: found.subgroupSize ?? tunings.subgroupSize,
      shapes: [...shapes, { depth, columns, ...found.tunings }],
    };
  }
  const all = general && measured.length > 0 ? combineShapes(measured) : null;
  const best = all && chooseWeightTunings(all.times, all.baseline);
  if (!best) return tunings;
  const found = { ...best, tunings: packedFrom(best.tunings, all.times, Math.min(...measured.map((m) => m.columns))) };
  // Tiles are adopted as measured. Tunings for other kinds of operands stay if they can read the new panels.
  const { narrows: _narrows, quantized: _quantized, rounding: _rounding, buffered: _buffered, ...others } = tunings;
  return {
    ...others,
    ...kindsOnPanels(tunings, found.tunings.panel),
    subgroupSize: found.subgroupSize ?? tunings.subgroupSize,
    ...found.tunings,
  };
}

/**
 * Packing pays only for many columns: cases that pack apply from `columns` columns on, and below that the best tunings
 * without packing.
 */
function packedFrom(own: WeightTunings, times: Times<Choice>, columns: number): WeightTunings {
  const others = bestTunings(times, (choice) => panelOf(choice) === own.panel && tuningOf(choice).kind !== "packed");
  const pairs = (cases: readonly ProductCase[], rest: readonly ProductCase[]): readonly ProductCase[] =>
    cases.flatMap((c): readonly ProductCase[] => {
      const high = c.most ?? Infinity;
      const other = rest.find(({ most }) => (most ?? Infinity) >= high);
      return c.tuning.kind === "packed" && other
        ? [
            { ...c, columns },
            { ...other, most: c.most },
          ]
        : [c];
    });
  return {
    ...own,
    byWeight: pairs(own.byWeight, others?.tunings.byWeight ?? []),
    byWeightAnyRows: pairs(own.byWeightAnyRows, others?.tunings.byWeightAnyRows ?? []),
  };
}

interface ChosenTunings {
  readonly tunings: WeightTunings;
  readonly subgroupSize: number | null;
}

/** The best tunings for one shape; null if no candidate gains on the current tunings. */
function chooseWeightTunings(times: Times<Choice>, baseline: readonly (number | null)[]): ChosenTunings | null {
  const found = bestTunings(times, () => true);
  if (!found || found.loss + MIN_GAIN * times.sizes.length > lossOf(times, baseline)) return null;
  return {
    tunings: found.tunings,
    subgroupSize: found.choices.find((c) => c.tunings.subgroupSize !== null)?.tunings.subgroupSize ?? null,
  };
}

interface BestTunings {
  readonly tunings: WeightTunings;
  readonly loss: number;
  readonly choices: readonly Choice[];
}

/** The best tunings among the choices that `mayBe` allows; null if no panel width covers all sizes. */
function bestTunings(times: Times<Choice>, mayBe: (choice: Choice) => boolean): BestTunings | null {
  // A weight is packed with one panel width, so all its cases must have the same one. Cases that read unpacked weights
  // form a group of their own.
  const panels = new Set(times.choices.map(panelOf));
  let found: BestTunings | null = null;
  for (const panel of panels) {
    const allowed = (choice: Choice): boolean => panelOf(choice) === panel && mayBe(choice);
    const [known, any] = [chooseCases(times, MAX_CASES, allowed), chooseCases(times, MAX_CASES_ANY_ROWS, allowed)];
    if (!known || !any || any.loss >= (found?.loss ?? Infinity)) continue;
    const choices = [...known.cases, ...any.cases].map((c) => c.choice);
    found = {
      tunings: {
        panel: choices[0]!.tunings.panel,
        byWeight: casesOf(known.cases),
        byWeightAnyRows: casesOf(any.cases),
      },
      loss: any.loss,
      choices,
    };
  }
  return found;
}

const tuningOf = ({ tunings }: Choice): ProductCase["tuning"] => tunings.byWeight[0]!.tuning;

const panelOf = (choice: Choice): number | "given" =>
  tuningOf(choice).kind === "plain" ? "given" : choice.tunings.panel;

const casesOf = (cases: readonly Case<Choice>[]): readonly ProductCase[] =>
  cases.map(({ most, choice }) => ({ most, tuning: tuningOf(choice) }));

/** The baseline's loss as `chooseCases` counts it; infinite if the baseline does not run. */
export function lossOf(times: Times<unknown>, baseline: readonly (number | null)[]): number {
  const best = bestOf(times);
  return baseline.reduce<number>((sum, seconds, s) => sum + Math.log((seconds ?? Infinity) / best[s]!), 0);
}

/** All shapes as one: for each choice, the geometric mean over shapes of its time relative to the best time. */
export function combineShapes<C extends { readonly name: string }>(
  measured: readonly TimesWithBaseline<C>[],
): TimesWithBaseline<C> {
  const [first] = measured;
  const { sizes } = first!.times;
  const same = measured.filter((m) => m.times.sizes.join() === sizes.join());
  const choices = first!.times.choices;
  const mean = (of: (m: TimesWithBaseline<C>, s: number) => number | null, s: number): number | null => {
    const ratios = same.map((m) => {
      const seconds = of(m, s);
      return seconds === null ? null : Math.log(seconds / bestOf(m.times)[s]!);
    });
    return ratios.some((r) => r === null)
      ? null
      : Math.exp(ratios.reduce<number>((sum, r) => sum + r!, 0) / ratios.length);
  };
  const secondsOf = (m: TimesWithBaseline<C>, name: string, s: number): number | null =>
    m.times.seconds[m.times.choices.findIndex((c) => c.name === name)]?.[s] ?? null;
  return {
    times: {
      sizes,
      choices,
      seconds: choices.map(({ name }) => sizes.map((_, s) => mean((m) => secondsOf(m, name, s), s))),
    },
    baseline: sizes.map((_, s) => mean((m) => m.baseline[s] ?? null, s)),
  };
}
