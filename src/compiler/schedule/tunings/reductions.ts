// Tunings of long reductions, softmax, cross-entropy and threshold selections: how many invocations share a row.
import { among, flag, objectWith, whole } from "../../../runtime/program/reader.js";
import type { DeviceClass, Target } from "../../../runtime/program/target.js";
import type { Candidate, Family } from "./family.js";

export interface ReductionTunings {
  /**
   * Invocations that share a row, an output of a long reduction or the scores of a sequence, and combine results in
   * workgroup memory. The order of summation depends on it.
   */
  readonly lanes: number;
  /**
   * Rows of a softmax or cross-entropy of at most this many elements, if known at compile time, get one invocation
   * each.
   */
  readonly alone: number;
  /**
   * Whether selections by a threshold and of the likeliest token have 256 invocations for a sequence, and long
   * reductions for an output, each with eight values in flight. Default: `lanes` invocations with one value.
   */
  readonly wide?: boolean;
  /**
   * Lanes that sample from a vocabulary of thousands (256 from a smaller), each with eight values in flight, for which
   * Intel's compiler has too few registers; left out: 256, one at a time.
   */
  readonly sampling?: number;
}

const MOST_ALONE = 65_536;
/** Invocations of wide selections and reductions. */
const WIDE_LANES = 256;
const SAMPLING = [256, 512, 1024] as const;
const LANES = [4, 8, 16, 32, 64, 128, 256] as const;

/**
 * Measured on Mesa 25.0.7, two Zen 4 cores, softmax: 2048 rows of 64 take 1.1 ms by 8 lanes, 1.9 by 16, 3.3 by 32, 5.9
 * by 64; 512 rows of 1000 take 1.2, 1.3, 1.5, 1.9 ms; 512 rows of 50,000 take the same within noise. SwiftShader: 512
 * rows of 64 take 1.2 ms by 4 lanes, 2.3 by 8, 21 by 64. By one invocation against 8 lanes, with other work on the
 * cores: rows of 8 in a seventh of the time, of 64 in half, of 128 in two thirds, of 512 as fast, on both. GPUs were
 * not measured.
 */
const BY_CLASS: { readonly [C in DeviceClass]: ReductionTunings } = {
  portable: { lanes: 32, alone: 32, wide: true },
  "mesa-software": { lanes: 8, alone: 256 },
  swiftshader: { lanes: 8, alone: 256 },
  integrated: { lanes: 64, alone: 32, wide: true },
  discrete: { lanes: 64, alone: 32, wide: true, sampling: 1024 },
};

export const reductions: Family<ReductionTunings> = {
  defaults(target) {
    const ofClass = BY_CLASS[target.device];
    const { sampling, ...others } = ofClass;
    if (sampling === undefined) return ofClass;
    const most = SAMPLING.findLast((lanes) => lanes <= Math.min(sampling, target.limits.invocationsPerWorkgroup));
    return most === undefined ? others : { ...others, sampling: most };
  },
  candidates: (target: Target) =>
    LANES.filter((lanes) => lanes <= target.limits.invocationsPerWorkgroup)
      .map((lanes): Candidate<ReductionTunings> => ({ name: `${lanes} lanes`, tunings: { lanes, alone: 0 } }))
      .concat({ name: "one invocation", tunings: { lanes: 32, alone: MOST_ALONE } })
      .concat(
        target.limits.invocationsPerWorkgroup < WIDE_LANES
          ? []
          : { name: "32 lanes, wide", tunings: { lanes: 32, alone: 0, wide: true } },
      )
      .concat(
        SAMPLING.filter((n) => n > WIDE_LANES && n <= target.limits.invocationsPerWorkgroup).map((sampling) => ({
          name: `32 lanes, wide, ${sampling} for samples`,
          tunings: { lanes: 32, alone: 0, wide: true, sampling },
        })),
      ),
  read: objectWith({ lanes: among(LANES), alone: whole(0, MOST_ALONE) }, { wide: flag, sampling: among(SAMPLING) }),
  incompatibility({ lanes, wide = false, sampling = 0 }, target) {
    const needed = Math.max(lanes, wide ? WIDE_LANES : 0, sampling);
    return needed <= target.limits.invocationsPerWorkgroup ? null : `reductions need workgroups of ${needed}`;
  },
};
