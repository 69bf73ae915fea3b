// How far a device may be from the reference, and why: what operators have in common.
import type { OpName } from "../../../src/compiler/ir/vocabulary.js";
import type { Sample, Sampled } from "./samples.js";

export interface Tolerance {
  /** |device − reference| ≤ absolute + relative · |reference|, for f32 results. */
  readonly relative: number;
  readonly absolute: number;
  readonly why: string;
}

export const exact: Tolerance = {
  relative: 0,
  absolute: 0,
  why: "values are moved, counted or compared; none is computed",
};
/**
 * Inputs are 32-bit values; the reference keeps 64 bits of a result, the device 24: half a unit of the last place,
 * 2^−24.
 */
export const rounded: Tolerance = { relative: 1.2e-7, absolute: 0, why: "one correctly rounded operation" };
/** WGSL allows 2.5 units of the last place for a division, and 2 for inverseSqrt. */
export const divided: Tolerance = {
  relative: 3.6e-7,
  absolute: 1e-37,
  why: "WGSL's division may be wrong by 2.5 units of the last place, and flush subnormals",
};
/**
 * exp(x) may be wrong by 3 + 2|x| units; results of later operations are compared with the tolerance of real devices.
 */
export const exponential: Tolerance = {
  relative: 3e-6,
  absolute: 1e-7,
  why: "WGSL allows exp an error of 3 + 2|x| units of the last place",
};
export const logarithmic: Tolerance = {
  relative: 3e-6,
  absolute: 5e-7,
  why: "WGSL allows log an absolute error of 2^−21 between 0.5 and 2, else 3 units of the last place",
};
/**
 * Blocks of 32 and a sum of blocks: the error is that of some 64 additions at worst, of √64 in the usual case, relative
 * to Σ|x|.
 */
export const summed: Tolerance = {
  relative: 1e-6,
  absolute: 2e-6,
  why: "sums are blocked; where terms cancel the error is that of the sum of their sizes",
};
export const product: Tolerance = {
  relative: 2e-6,
  absolute: 6e-6,
  why: "sums of products in blocks of 64; where terms cancel the error is that of the sum of their sizes",
};
export const softened: Tolerance = {
  relative: 4e-6,
  absolute: 1e-9,
  why: "exp of a difference, a blocked sum and a division",
};

/** The samples of an operator, and how far a device may be from the reference on them. */
export const within = <K extends OpName>(tolerance: Tolerance, list: readonly Sample<K>[]): Sampled<K> => ({
  tolerance,
  list,
});
