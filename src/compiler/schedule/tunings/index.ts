// Tunings: the algorithms and tiles of kernels, by class of device and shape, as data that can be measured and saved.
import type { Target } from "../../../runtime/program/target.js";
import { attention, type AttentionTuning } from "./attention.js";
import { elements, type ElementTunings } from "./elements.js";
import type { Candidate, Family } from "./family.js";
import type { ProductTunings } from "./product-cases.js";
import { products } from "./products.js";
import { reductions, type ReductionTunings } from "./reductions.js";
import { rowSums, type RowSumsTuning } from "./row-sums.js";
import { scores, type ScoreTunings } from "./scores.js";
import { top, type TopTunings } from "./top.js";

export type { Candidate, Family } from "./family.js";
export type { ProductCase, ProductTuning, ProductTunings, WeightTunings } from "./product-cases.js";

/**
 * One field for each family of kernels. A new family is a file in this folder, a field here, and an entry in
 * `families`.
 */
export interface Tunings {
  readonly attention: AttentionTuning;
  readonly elements: ElementTunings;
  readonly products: ProductTunings;
  readonly reductions: ReductionTunings;
  readonly rowSums: RowSumsTuning;
  readonly scores: ScoreTunings;
  readonly top: TopTunings;
}
export type FamilyName = keyof Tunings;

/** Total by type. */
export const families: { readonly [F in FamilyName]: Family<Tunings[F]> } = {
  attention,
  elements,
  products,
  reductions,
  rowSums,
  scores,
  top,
};

/** The default tunings of a device. */
export const tuningsFor = (target: Target): Tunings => ({
  attention: attention.defaults(target),
  elements: elements.defaults(target),
  products: products.defaults(target),
  reductions: reductions.defaults(target),
  rowSums: rowSums.defaults(target),
  scores: scores.defaults(target),
  top: top.defaults(target),
});

/** The first tuning that a target cannot run, as a clause; null if it can run all. */
export function misfitOf(tunings: Tunings, target: Target): string | null {
  return (
    attention.incompatibility(tunings.attention, target) ??
    elements.incompatibility(tunings.elements, target) ??
    products.incompatibility(tunings.products, target) ??
    reductions.incompatibility(tunings.reductions, target) ??
    rowSums.incompatibility(tunings.rowSums, target) ??
    scores.incompatibility(tunings.scores, target) ??
    top.incompatibility(tunings.top, target)
  );
}

/** All candidates of a family on a target, each as tunings that use it for everything. */
export const candidates = <F extends FamilyName>(family: F, target: Target): readonly Candidate<Tunings[F]>[] =>
  families[family].candidates(target);
